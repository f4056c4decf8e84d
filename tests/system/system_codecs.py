"""Compression as NSQ's clients do it, for the clients of the tests beside this file and below it.

It is made of the libraries alone, so that a mistake in `millstream.net` cannot hide itself.
"""

import zlib
from typing import Final

import cramjam

SNAPPY_IDENTIFIER: Final = b"\xff\x06\x00\x00sNaPpY"


class Snappy:
    """The framing format: an identifier before every write, as pynsq does it; whole chunks are read."""

    def __init__(self) -> None:
        self._pending = b""

    def encode(self, data: bytes) -> bytes:
        return bytes(cramjam.snappy.compress(data))

    def decode(self, data: bytes) -> bytes:
        self._pending += data
        plain = b""
        while len(self._pending) >= 4:
            end = 4 + int.from_bytes(self._pending[1:4], "little")
            if len(self._pending) < end:
                break
            chunk, self._pending = self._pending[:end], self._pending[end:]
            if chunk != SNAPPY_IDENTIFIER:
                plain += bytes(cramjam.snappy.decompress(SNAPPY_IDENTIFIER + chunk))
        return plain


class Deflate:
    """Raw, with sync flushes."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        self._decompressor = zlib.decompressobj(-15)

    def encode(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, data: bytes) -> bytes:
        return self._decompressor.decompress(data)
