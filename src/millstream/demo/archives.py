"""Reads back what nsq_to_file archived: the lines of all files of a topic, gzip or plain, torn ones too.

A process that was killed leaves an unfinished file: whatever can be read of it counts, for its messages come again in
the next file and are recognised by their event id.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 256 * 1024
_LINE_BYTES_MAX: Final = 2 * 1024 * 1024
_GZIP_WINDOW: Final = 31


def archived_lines(folder: Path, topic: str) -> Iterator[bytes]:
    """Every complete line in the archive files of a topic, in the order of the files' names."""
    for path in sorted(folder.glob(f"{topic}.*.log*")):
        yield from _lines(_plain(path) if path.suffix != ".gz" else _unpacked(path))


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > _LINE_BYTES_MAX:
            rest = b""


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _unpacked(path: Path) -> Iterator[bytes]:
    # A file is a chain of gzip members, one for each sync; the last may be cut anywhere.
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    for packed in _plain(path):
        rest = packed
        while rest:
            if unpacker.eof:
                unpacker = zlib.decompressobj(_GZIP_WINDOW)
            try:
                chunk = unpacker.decompress(rest, _CHUNK_BYTES)
            except zlib.error:
                return
            yield chunk
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
