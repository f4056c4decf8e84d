"""Gives a file a new content that is written in parts, wholly or not at all, also across a crash.

`storage.progress` writes a journal anew with it, of whatever size, without having all of it in memory.
"""

from contextlib import suppress

from millstream.base.errors import StorageError
from millstream.storage.files import File, FileSystem


class Replacement:
    """A file under a temporary name, until `put_in_place`. `size` is what was written, in bytes."""

    def __init__(self, files: FileSystem, path: str, *, sync: bool) -> None:
        self._files = files
        self._path = path
        self._temporary = path + ".tmp"
        self._sync = sync
        self._file: File | None = None
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        """Add to the end. Raises `StorageError`: then `abandon` it."""
        if self._file is None:
            self._file = self._files.open(self._temporary, create=True)
            self._file.truncate(0)
        self._file.write(data, self.size)
        self.size += len(data)

    def put_in_place(self) -> None:
        """From now on this is the file. Raises `StorageError`: then it may be, or not; `abandon` it."""
        if self._file is None:
            raise StorageError(f"rename {self._temporary} - nothing was written")
        if self._sync:
            self._file.sync()
        self._close()
        self._files.rename(self._temporary, self._path)
        if self._sync:
            self._files.sync_directory(self._path.rpartition("/")[0])

    def abandon(self) -> None:
        """Forget what was written, and give the disk its room back if it lets us."""
        self._close()
        with suppress(StorageError):
            self._files.remove(self._temporary)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
