"""The index beside a segment: where its records are and whether they are intact, so that a start need not walk them.

`storage.segment` appends to it, `storage.contents` reads it. After eight bytes of magic come entries of 24 bytes,
big-endian: sequence (8), position (8), checksum (4), and the CRC-32 of these 20 bytes (4), so that one damaged entry
says nothing of the others.

An entry says that the records before `sequence` end at `position`, and that the bytes from the entry before up to there
have this CRC-32 (0 where none was taken). With a negative position it means something else: -1 a deferred record of
this sequence, -2 the seal of a finished segment (its size as sequence), -3 that what begins at this sequence is damaged
up to the next known place.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from millstream.base.errors import StorageError
from millstream.storage.files import FileSystem

INDEX_MAGIC: Final = b"MSTRIDX\x01"
DEFERRED: Final = -1
SEALED: Final = -2
DAMAGED: Final = -3
_ENTRY = Struct(">qqI")
_CRC = Struct(">I")
_ENTRY_BYTES = _ENTRY.size + _CRC.size


class Entry(NamedTuple):
    """What one entry says."""

    sequence: int
    position: int
    checksum: int


def pack(entries: Iterable[tuple[int, int, int]]) -> bytearray:
    """The bytes of these entries."""
    data = bytearray()
    for entry in entries:
        packed = _ENTRY.pack(*entry)
        data += packed + _CRC.pack(crc32(packed))
    return data


def unpack(data: bytes | bytearray) -> list[Entry | None]:
    """The entries of an index, None in place of each that is damaged; none at all without a sound magic."""
    entries: list[Entry | None] = []
    if not data.startswith(INDEX_MAGIC):
        return entries
    for at in range(len(INDEX_MAGIC), len(data) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        packed = bytes(data[at : at + _ENTRY.size])
        is_sound = crc32(packed) == _CRC.unpack_from(data, at + _ENTRY.size)[0]
        entries.append(Entry(*_ENTRY.unpack(packed)) if is_sound else None)
    return entries


def read_index(files: FileSystem, path: str) -> list[Entry | None] | None:
    """What `unpack` makes of a file; None when there is none that could be read."""
    try:
        file = files.open(path)
    except StorageError:
        return None
    try:
        data = bytearray(file.size())
        file.read_into(memoryview(data), 0)
    finally:
        file.close()
    return unpack(data)
