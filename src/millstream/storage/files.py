"""The file system as the log sees it: a port with the few calls that durability hangs on, and its real form.

Every call may raise `StorageError`, with the path and the operating system's reason in its text, and `DiskFull` when
that is room. Simulations put a file system behind the same port that fails, tears writes and forgets what was not
synced; who only looks takes `ReadOnlyFiles`.
"""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from millstream.base.errors import StorageError
from millstream.storage.os_file import OsFile, mapped


class File(Protocol):
    """An open file; offsets and sizes in bytes."""

    def write(self, data: memoryview | bytes | bytearray, offset: int) -> None:
        """Write all of `data` at `offset`."""
        ...

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; how many bytes there were."""
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend the file to `size`."""
        ...

    def size(self) -> int:
        """The file's size."""
        ...

    def sync(self) -> None:
        """Return when the data is on the disk. May be called from another thread than the rest."""
        ...

    def close(self) -> None:
        """Let the descriptor go; closing twice is nothing."""
        ...


class FileSystem(Protocol):
    """What the log asks of a directory tree."""

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing; with `create` the file may be new."""
        ...

    def replace(self, path: str, data: bytes, *, sync: bool) -> None:
        """Give `path` this content, wholly or not at all, also across a crash."""
        ...

    def rename(self, path: str, target: str) -> None:
        """Rename a file over `target`, or a directory to one that is not there; nothing is ever seen in between."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is nothing."""
        ...

    def names(self, directory: str) -> list[str]:
        """The sorted names in a directory; empty when there is none."""
        ...

    def make_directory(self, path: str) -> None:
        """Create a directory and its parents; an existing one is nothing."""
        ...

    def remove_directory(self, path: str) -> None:
        """Remove a directory and the files in it, one after the other; none is nothing."""
        ...

    def sync_directory(self, path: str) -> None:
        """Return when the names in a directory are on the disk."""
        ...

    def room(self, path: str) -> tuple[int, int]:
        """How many bytes are free on the disk of a directory for whoever asks, and how many it has; 0 if unknown."""
        ...


def replace_by_rename(files: FileSystem, path: str, fill: Callable[[File], None], *, sync: bool) -> None:
    """Give `path` the content that `fill` writes: a file beside it takes its place when it is whole.

    With `sync` that content is on the disk by then; the name is not. Raises `StorageError`, and leaves nothing behind.
    """
    temporary = path + ".tmp"
    try:
        file = files.open(temporary, create=True)
        try:
            file.truncate(0)
            fill(file)
            if sync:
                file.sync()
        finally:
            file.close()
        files.rename(temporary, path)
    except StorageError:
        # On a full disk half of a file would keep the room that everybody waits for.
        with suppress(StorageError):
            files.remove(temporary)
        raise


class OsFileSystem:
    """The real one. Files are created for their owner alone (mode 0600), as NSQ does."""

    def open(self, path: str, *, create: bool = False) -> OsFile:
        """Open for reading and writing; with `create` the file may be new."""
        with mapped(path, "open"):
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            return OsFile(path, os.open(path, flags, 0o600))

    def replace(self, path: str, data: bytes, *, sync: bool) -> None:
        """Give `path` this content, wholly or not at all."""
        replace_by_rename(self, path, lambda file: file.write(data, 0), sync=sync)
        if sync:
            self.sync_directory(os.path.dirname(path) or ".")

    def rename(self, path: str, target: str) -> None:
        """Rename over `target`."""
        with mapped(path, "rename"):
            os.replace(path, target)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is nothing."""
        with mapped(path, "remove"):
            try:
                os.unlink(path)
            except FileNotFoundError:
                return

    def names(self, directory: str) -> list[str]:
        """The sorted names in a directory; empty when there is none."""
        with mapped(directory, "list"):
            try:
                return sorted(os.listdir(directory))
            except FileNotFoundError:
                return []

    def make_directory(self, path: str) -> None:
        """Create a directory and its parents; an existing one is nothing."""
        with mapped(path, "create"):
            os.makedirs(path, mode=0o700, exist_ok=True)

    def remove_directory(self, path: str) -> None:
        """Remove a directory and the files in it."""
        for name in self.names(path):
            self.remove(os.path.join(path, name))
        with mapped(path, "remove"):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                return

    def sync_directory(self, path: str) -> None:
        """Return when the names in a directory are on the disk."""
        with mapped(path, "sync"):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def room(self, path: str) -> tuple[int, int]:
        """How many bytes are free on the disk of a directory for whoever asks, and how many it has; 0 if unknown."""
        try:
            found = os.statvfs(path)
        except OSError:
            return 0, 0
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


class ReadOnlyFiles(OsFileSystem):
    """The real one, for whoever looks at the files of a daemon that may be running: nothing is opened for writing."""

    def open(self, path: str, *, create: bool = False) -> OsFile:
        """Open for reading."""
        if create:
            raise StorageError(f"create {path} - the files are only looked at")
        with mapped(path, "open"):
            return OsFile(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def rename(self, path: str, target: str) -> None:
        """Refuse."""
        raise StorageError(f"rename {path} to {target} - the files are only looked at")

    def remove(self, path: str) -> None:
        """Refuse."""
        raise StorageError(f"remove {path} - the files are only looked at")

    def make_directory(self, path: str) -> None:
        """Refuse."""
        raise StorageError(f"create {path} - the files are only looked at")


class DirectoryLock:
    """Holds a data path for one process: an advisory lock on the directory itself, gone with the process."""

    def __init__(self, path: str) -> None:
        with mapped(path, "open"):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise StorageError(f"{path} - {error.strerror} (possibly in use by another instance of nsqd)") from error

    def release(self) -> None:
        """Let another process have the directory."""
        os.close(self._descriptor)
