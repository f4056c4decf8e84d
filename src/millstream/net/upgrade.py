"""The compressions that a connection may switch to, as codecs: plain bytes in, the peer's bytes out, and back.

`net.layer` puts one between a transport and a protocol. A codec belongs to one connection and keeps what its two
streams need to know; it does no I/O. What is decoded comes in pieces, so that a small read that stands for a huge text
costs no more memory than one piece.
"""

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import cramjam

from millstream.base.errors import MillstreamError

PIECE_BYTES_MAX: Final = 256 << 10
WINDOW_BITS: Final = 15
DEFLATE_LEVEL_MAX: Final = 9

# Snappy's framing format: a chunk is a type, three bytes of length (little-endian), and that many bytes.
_STREAM_IDENTIFIER: Final = b"\xff\x06\x00\x00sNaPpY"
_IDENTIFIER_BODY: Final = _STREAM_IDENTIFIER[4:]
_COMPRESSED: Final = 0x00
_UNCOMPRESSED: Final = 0x01
_FIRST_SKIPPABLE: Final = 0x80
_IDENTIFIER: Final = 0xFF
_HEAD_BYTES: Final = 4
_CHECKSUM_BYTES: Final = 4
_CHUNK_PLAIN_BYTES_MAX: Final = 64 << 10
# What 64 KiB that cannot be compressed may become, behind the checksum.
_CHUNK_BYTES_MAX: Final = _CHECKSUM_BYTES + 32 + _CHUNK_PLAIN_BYTES_MAX + _CHUNK_PLAIN_BYTES_MAX // 6


class CorruptStream(MillstreamError):
    """What the peer sent is not what was agreed on. The codec cannot go on: end the connection."""


class Codec(Protocol):
    """A compression in both directions."""

    def encode(self, data: bytes) -> bytes:
        """What to send, so that the peer can read all of `data` at once."""
        ...

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes, in pieces of at most `PIECE_BYTES_MAX`, none empty.

        Whatever the chunking, the pieces joined are the same. Take all of them before the next call; whoever stops
        early cannot go on. Raises CorruptStream; what came right before the fault may be lost.
        """
        ...


class Deflate:
    """Raw DEFLATE (no zlib header), window of 15 bits; every `encode` ends with a sync flush."""

    def __init__(self, level: int) -> None:
        if not 1 <= level <= DEFLATE_LEVEL_MAX:
            raise ValueError(f"deflate level {level} is not 1 to {DEFLATE_LEVEL_MAX}")
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, -WINDOW_BITS)
        self._decompressor = zlib.decompressobj(-WINDOW_BITS)

    def encode(self, data: bytes) -> bytes:
        """Compress, up to a byte boundary."""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decompress. A peer that ends its stream cannot begin another: also the end is CorruptStream."""
        decompressor = self._decompressor
        rest = data
        while True:
            try:
                piece = decompressor.decompress(rest, PIECE_BYTES_MAX)
            except zlib.error as error:
                raise CorruptStream(f"deflate: {error}") from error
            if piece:
                yield piece
            if decompressor.eof:
                raise CorruptStream("deflate: the stream has ended")
            rest = decompressor.unconsumed_tail
            # A full piece may have left more behind it, in the decompressor itself.
            if not rest and len(piece) < PIECE_BYTES_MAX:
                return


class Snappy:
    """Snappy's framing format; every `encode` is whole chunks, the stream identifier before the first of them."""

    def __init__(self) -> None:
        self._compressor = cramjam.snappy.Compressor()
        self._pending = bytearray()
        self._skip_bytes = 0
        self._is_identified = False

    def encode(self, data: bytes) -> bytes:
        """Compress into chunks of at most 64 KiB of plain bytes."""
        self._compressor.compress(data)
        return bytes(self._compressor.flush())

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decompress the chunks that are complete, and keep at most one that is not.

        Identifiers may be repeated, as pynsq does; chunks of an unknown kind that may be skipped are, unread.
        """
        pending = self._pending
        pending += data
        run: list[bytes] = []
        run_bytes = at = 0
        while True:
            at += self._skip(len(pending) - at)
            if len(pending) - at < _HEAD_BYTES:
                break
            kind, size = pending[at], int.from_bytes(pending[at + 1 : at + _HEAD_BYTES], "little")
            self._check(kind, size)
            if kind >= _FIRST_SKIPPABLE and kind != _IDENTIFIER:
                self._skip_bytes = size
                at += _HEAD_BYTES
                continue
            end = at + _HEAD_BYTES + size
            if len(pending) < end:
                break
            if kind == _IDENTIFIER:
                self._identify(pending[at + _HEAD_BYTES : end])
            else:
                plain_bytes = _plain_bytes(kind, pending, at + _HEAD_BYTES, end)
                if run_bytes + plain_bytes > PIECE_BYTES_MAX:
                    yield from _decompressed(run)
                    run, run_bytes = [], 0
                run.append(bytes(pending[at:end]))
                run_bytes += plain_bytes
            at = end
        yield from _decompressed(run)
        del pending[:at]

    def _skip(self, available: int) -> int:
        """How many of the next bytes belong to a chunk that is skipped."""
        skipped = min(available, self._skip_bytes)
        self._skip_bytes -= skipped
        return skipped

    def _check(self, kind: int, size: int) -> None:
        """Refuse a chunk by its head, before a byte of it is kept."""
        if not self._is_identified and kind != _IDENTIFIER:
            raise CorruptStream("snappy: no stream identifier")
        if kind == _IDENTIFIER and size != len(_IDENTIFIER_BODY):
            raise CorruptStream("snappy: bad stream identifier")
        if _UNCOMPRESSED < kind < _FIRST_SKIPPABLE:
            raise CorruptStream(f"snappy: chunk of unknown type {kind}")
        if kind <= _UNCOMPRESSED and not _CHECKSUM_BYTES <= size <= _CHUNK_BYTES_MAX:
            raise CorruptStream(f"snappy: chunk of {size} bytes")

    def _identify(self, body: bytearray) -> None:
        if body != _IDENTIFIER_BODY:
            raise CorruptStream("snappy: bad stream identifier")
        self._is_identified = True


def _plain_bytes(kind: int, data: bytearray, start: int, end: int) -> int:
    """How many bytes a chunk says it stands for: no more than the format allows."""
    at = start + _CHECKSUM_BYTES
    size = end - at
    if kind == _COMPRESSED:
        size = shift = 0
        # A block begins with its plain size: seven bits per byte, the lowest first. 64 KiB take three bytes.
        while True:
            if at >= end or shift > 14:
                raise CorruptStream("snappy: block without its size")
            size |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                break
    if size > _CHUNK_PLAIN_BYTES_MAX:
        raise CorruptStream(f"snappy: chunk of {size} plain bytes")
    return size


def _decompressed(run: list[bytes]) -> Iterator[bytes]:
    """One piece of whole chunks; the checksums are checked on the way."""
    if not run:
        return
    try:
        piece = bytes(cramjam.snappy.decompress(_STREAM_IDENTIFIER + b"".join(run)))
    except cramjam.DecompressionError as error:
        raise CorruptStream(str(error)) from error
    if piece:
        yield piece
