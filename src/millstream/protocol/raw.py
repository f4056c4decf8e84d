"""Byte primitives on buffers: the leaf that the compiled modules take their pointers from.

`raw.pxd` beside this file has the same functions as C inlines; a compiled module cimports those, an uncompiled one
imports these. Bounds are the caller's duty in both. Integers are big-endian, as everywhere on NSQ's wire.
"""

from struct import Struct
from typing import Final

HEADER_BYTES: Final = 34

_U32 = Struct(">I")
_U64 = Struct(">Q")
_HEADER = Struct(">IIQH16s")
_HEX = frozenset(b"0123456789abcdef")

Bytes = bytes | bytearray | memoryview
Memory = bytearray | memoryview


def get32(data: Bytes, at: int) -> int:
    """The unsigned 32-bit integer at `at`."""
    return _U32.unpack_from(data, at)[0]  # type: ignore[no-any-return]  # struct is untyped


def get64(data: Bytes, at: int) -> int:
    """The unsigned 64-bit integer at `at`."""
    return _U64.unpack_from(data, at)[0]  # type: ignore[no-any-return]


def put32(data: Memory, at: int, value: int) -> None:
    """Store an unsigned 32-bit integer."""
    _U32.pack_into(data, at, value)


def put64(data: Memory, at: int, value: int) -> None:
    """Store an unsigned 64-bit integer."""
    _U64.pack_into(data, at, value)


def copy(target: Memory, at: int, source: Bytes, start: int, size: int) -> None:
    """Copy `size` bytes; the two buffers are never the same memory."""
    target[at : at + size] = source[start : start + size]


def put_header(data: Memory, at: int, body_bytes: int, timestamp_ns: int, sequence: int) -> None:
    """The 34 bytes before a body: size, frame type 2, timestamp, attempts 1, and the id, which is the sequence."""
    _HEADER.pack_into(data, at, body_bytes + 30, 2, timestamp_ns, 1, b"%016x" % sequence)


def get_id(data: Bytes, at: int) -> int:
    """The sequence that the 16 lower-case hex characters at `at` stand for; -1 when they are none of ours."""
    text = bytes(data[at : at + 16])
    if len(text) != 16 or not _HEX.issuperset(text):
        return -1
    value = int(text, 16)
    return value if value < 1 << 63 else -1


def is_id(data: Bytes, at: int, sequence: int) -> bool:
    """Whether the 16 characters at `at` are the id of `sequence`, which is not negative."""
    return data[at : at + 16] == b"%016x" % sequence


def is_stored(data: Bytes, at: int, sequence: int) -> bool:
    """Whether the 34 bytes at `at` are how the log stores the beginning of record `sequence`, with a possible size."""
    size, kind, _, attempts, text = _HEADER.unpack_from(data, at)
    if text != b"%016x" % sequence or attempts != 1:
        return False
    return bool(size >= 31 if kind == 2 else kind == 258 and size >= 39)


def find_newline(data: Bytes, at: int, end: int) -> int:
    """Where the next newline before `end` is, or -1."""
    if isinstance(data, memoryview):
        found = bytes(data[at:end]).find(b"\n")
        return found + at if found >= 0 else -1
    return data.find(b"\n", at, end)


def same(data: Bytes, at: int, size: int, text: bytes) -> bool:
    """Whether the `size` bytes at `at` are exactly `text`."""
    return size == len(text) and data[at : at + size] == text
