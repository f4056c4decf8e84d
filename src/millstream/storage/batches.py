"""The batches of a journal, and where sound ones go on behind a damaged one.

`storage.progress` reads its file through this. A batch is its size (4 bytes, big-endian), its CRC-32 (4) and entries
that begin with a letter.
"""

import re
from struct import Struct
from typing import Final
from zlib import crc32

HEAD: Final = Struct(">II")
# Sizes below 16 MiB, and the first letter; what fits is compared with its checksum.
_BEGINNING: Final = re.compile(rb"(?=\x00.{7}[A-Z])", re.DOTALL)
_ENTRY_BYTES_MIN: Final = 9


def pack_batch(entries: bytes | bytearray) -> bytes:
    """A batch of these entries."""
    return HEAD.pack(len(entries), crc32(entries)) + entries


def batch_at(data: bytes, at: int) -> bytes | None:
    """The entries of the batch at `at`; None when there is no sound one."""
    if len(data) - at < HEAD.size:
        return None
    size, checksum = HEAD.unpack_from(data, at)
    entries = data[at + HEAD.size : at + HEAD.size + size]
    return entries if len(entries) == size and crc32(entries) == checksum else None


def next_batch(data: bytes, at: int) -> int | None:
    """Where, from `at` on, a sound batch begins; None when there is none."""
    for match in _BEGINNING.finditer(data, at):
        found = match.start()
        size = HEAD.unpack_from(data, found)[0]
        if _ENTRY_BYTES_MIN <= size <= len(data) - found - HEAD.size and batch_at(data, found) is not None:
            return found
    return None
