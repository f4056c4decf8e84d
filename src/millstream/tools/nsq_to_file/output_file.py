"""One file being written: bytes in, plain or in gzip members, and on the disk when `sync` returns.

`tools.nsq_to_file.file_series` opens one after the other and runs in a thread: every call may wait for the disk. What
the operating system refuses is raised as StorageError; the file is to be abandoned then.
"""

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from millstream.base.errors import StorageError

_DIRECTORY_MODE: Final = 0o770
_GZIP_WINDOW: Final = 31


@contextmanager
def _mapped(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, zlib.error) as error:
        raise StorageError(f"{verb} {path} - {getattr(error, 'strerror', None) or error}") from error


def make_directories(path: Path) -> None:
    """Create a folder and those above it, so that they are there after a loss of power too. Raises StorageError."""
    with _mapped("create folder", path):
        missing = []
        while not path.exists():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            folder.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
            _sync_directory(folder.parent)


def open_output(path: Path, *, is_exclusive: bool, gzip_level: int = 0) -> "OutputFile | None":
    """Open a file to write at its end; None when it is there already and `is_exclusive`. `gzip_level` 0 is plain.

    Raises StorageError.
    """
    with _mapped("open", path):
        try:
            file = path.open("xb" if is_exclusive else "ab+", buffering=0)
        except FileExistsError:
            if is_exclusive:
                return None
            raise
        try:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes == 0:
                _sync_directory(path.parent)
            elif _has_torn_end(file):
                # Left by a full disk or a loss of power: what is written next must not become part of it.
                file.write(b"\n")
        except BaseException:
            file.close()
            raise
        return OutputFile(path, file, size_bytes, gzip_level)


def _has_torn_end(file: io.FileIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class OutputFile:
    """An open file. `size_bytes` counts what was in it and what was written, before compression.

    Each sync ends a gzip member, and the next write begins another, so that a file is readable up to its last sync.
    """

    def __init__(self, path: Path, file: io.FileIO, size_bytes: int, gzip_level: int) -> None:
        """Made by `open_output`."""
        self.path = path
        self.size_bytes = size_bytes
        self._file = file
        self._gzip_level = gzip_level
        self._member: zlib._Compress | None = None
        self._has_unsynced = False

    def write(self, data: bytes) -> None:
        """Take data in; it is safe after the next `sync`."""
        self.size_bytes += len(data)
        self._has_unsynced = True
        with _mapped("write", self.path):
            if self._gzip_level == 0:
                self._write(data)
                return
            if self._member is None:
                self._member = zlib.compressobj(self._gzip_level, zlib.DEFLATED, _GZIP_WINDOW)
            self._write(self._member.compress(data))

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        if not self._has_unsynced:
            return
        if self._member is not None:
            with _mapped("write", self.path):
                self._write(self._member.flush())
            self._member = None
        with _mapped("sync", self.path):
            os.fsync(self._file.fileno())
        self._has_unsynced = False

    def close(self) -> None:
        """Sync, and let the file go."""
        if self._gzip_level and self.size_bytes == 0:
            self.write(b"")  # gzip tools take an empty member, but not an empty file
        self.sync()
        with _mapped("close", self.path):
            self._file.close()

    def abandon(self) -> None:
        """Let the file go as it is; what was not synced counts as not written."""
        try:
            self._file.close()
        except OSError:
            pass

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
