"""Reads the files that nsq_to_file wrote: one message per line, plain or gzip, in batches.

`tools.replay.service` sends them on. A file that ends in the middle of a line or of its gzip stream, as one does that
is still written to or whose writer was killed, is read up to there.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, cast

from millstream.base.errors import MillstreamError

_GZIP_MAGIC: Final = b"\x1f\x8b"
_LINE_BYTES_MAX: Final = 64 << 20


class ArchiveFailed(MillstreamError):
    """A file cannot be read; the text says which, and after how many of its lines."""


def lines_of(path: Path) -> Iterator[bytes]:
    """The messages of one file. Raises `ArchiveFailed`; a gzip stream that breaks off ends the file."""
    count = 0
    try:
        with _open(path) as file:
            while line := file.readline(_LINE_BYTES_MAX):
                count += 1
                if not line.endswith(b"\n") and len(line) >= _LINE_BYTES_MAX:
                    raise ArchiveFailed(f"{path}: line {count} is longer than {_LINE_BYTES_MAX} bytes: no archive?")
                message = line.rstrip(b"\n")
                if message:
                    yield message
    except EOFError:
        return
    except (OSError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ArchiveFailed(f"{path}: {reason} (after {count} lines)") from error


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        is_packed = file.read(2) == _GZIP_MAGIC
    return cast("BinaryIO", gzip.open(path, "rb")) if is_packed else path.open("rb")


def batches_of(paths: Sequence[Path], *, skip: int, count_max: int, bytes_max: int) -> Iterator[list[bytes]]:
    """Messages of all files in order, without the first `skip`, in batches within both bounds (a large one alone)."""
    batch: list[bytes] = []
    size_bytes = 0
    for path in paths:
        for line in lines_of(path):
            if skip > 0:
                skip -= 1
                continue
            if batch and (len(batch) >= count_max or size_bytes + len(line) > bytes_max):
                yield batch
                batch, size_bytes = [], 0
            batch.append(line)
            size_bytes += len(line)
    if batch:
        yield batch


def counted(batch: Sequence[bytes]) -> bytes:
    """A batch as the body of `/mpub?binary=true`."""
    return len(batch).to_bytes(4, "big") + b"".join(len(one).to_bytes(4, "big") + one for one in batch)
