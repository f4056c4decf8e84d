"""Bodies that prove themselves: whatever is delivered says which message it is, when it was due, and that it is whole.

`torture.publisher` makes them, `torture.consumer` reads them back. Layout, big-endian: CRC-32 of all that follows (4),
the run (4), the topic's place in the plan (2), the message's number in its topic (8), its delay in ms (4), filler.
"""

import struct
from dataclasses import dataclass
from typing import Final
from zlib import crc32

FILLER_BYTES_MAX: Final = 100_000

_CHECKSUM: Final = struct.Struct(">I")
_HEADER: Final = struct.Struct(">IHQI")
_FILLER: Final = bytes(range(256)) * (FILLER_BYTES_MAX // 256 + 1)


@dataclass(frozen=True, slots=True)
class Content:
    """What a body says of its message."""

    run: int
    topic: int
    number: int
    delay_ms: int


def make_body(run: int, topic: int, number: int, *, delay_ms: int = 0, filler_bytes: int = 0) -> bytes:
    """The body of a message, of 22 bytes and its filler."""
    rest = _HEADER.pack(run, topic, number, delay_ms) + _FILLER[:filler_bytes]
    return _CHECKSUM.pack(crc32(rest)) + rest


def read_body(body: bytes) -> Content | None:
    """What a body says; None when it is not whole."""
    if len(body) < _CHECKSUM.size + _HEADER.size:
        return None
    (checksum,) = _CHECKSUM.unpack_from(body)
    if crc32(memoryview(body)[_CHECKSUM.size :]) != checksum:
        return None
    return Content(*_HEADER.unpack_from(body, _CHECKSUM.size))
