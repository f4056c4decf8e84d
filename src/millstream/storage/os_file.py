"""A file of the operating system, and what its errors are called.

`storage.files` opens them. `put` is for the log, which writes a few hundred bytes per turn of the loop.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from millstream.base import syscalls
from millstream.base.errors import DiskFull, StorageError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def failure(path: str, verb: str, error: OSError) -> StorageError:
    """The error to raise for one of the operating system's."""
    kind = DiskFull if error.errno in _NO_ROOM else StorageError
    return kind(f"{verb} {path} - {error.strerror or error}")


@contextmanager
def mapped(path: str, verb: str) -> Iterator[None]:
    """Raise `StorageError` where the operating system's error is raised inside."""
    try:
        yield
    except OSError as error:
        raise failure(path, verb, error) from error


class OsFile:
    """An open file; it is a `files.File`."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def put(self, data: bytearray, start: int, size: int, offset: int) -> None:
        """Write `size` bytes of `data`, from `start` on, at `offset`."""
        self._put(data, start, size, offset)

    def _put(self, data: bytearray, start: int, size: int, offset: int) -> None:
        while size > 0:
            count = syscalls.write_at(self._descriptor, data, start, size, offset)
            if count < 0:
                raise failure(self.path, "write", OSError(-count, os.strerror(-count)))
            start += count
            offset += count
            size -= count

    def write(self, data: memoryview | bytes | bytearray, offset: int) -> None:
        """Write all of `data` at `offset`."""
        with mapped(self.path, "write"):
            done = os.pwrite(self._descriptor, data, offset)
            while done < len(data):
                done += os.pwrite(self._descriptor, memoryview(data)[done:], offset + done)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; how many bytes there were."""
        with mapped(self.path, "read"):
            done = 0
            while done < len(buffer):
                count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
                if count == 0:
                    break
                done += count
            return done

    def truncate(self, size: int) -> None:
        """Cut or extend the file to `size`."""
        with mapped(self.path, "truncate"):
            os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        """The file's size."""
        with mapped(self.path, "stat"):
            return os.fstat(self._descriptor).st_size

    def sync(self) -> None:
        """Return when the data is on the disk."""
        descriptor = self._descriptor
        if descriptor < 0:
            # Python would call that a ValueError, and the thread that syncs would end with it.
            raise StorageError(f"sync {self.path} - Bad file descriptor")
        with mapped(self.path, "sync"):
            os.fdatasync(descriptor)

    def close(self) -> None:
        """Let the descriptor go."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with mapped(self.path, "close"):
                os.close(descriptor)
