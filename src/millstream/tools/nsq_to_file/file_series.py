"""The files of one topic, one after the other: records in, a new file when name, age or size ask for one.

`tools.nsq_to_file.archive` calls from threads, because every call may wait for the disk; `synced` tells it how many
of its records are on the disk. Records are message bodies, each followed by a line feed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.tools.nsq_to_file.file_name import FileName
from millstream.tools.nsq_to_file.options import ToFileOptions
from millstream.tools.nsq_to_file.output_file import OutputFile, make_directories, open_output

_NS_PER_MS: Final = 1_000_000
# More revisions of one name than this, and something else is wrong.
_REVISION_MAX: Final = 999_999

_log = get_logger("millstream.nsq_to_file")


class FileSeries:
    """Writes records in the order given; `synced` of them are on the disk. One call runs at a time, others wait.

    Raises StorageError; after that every call does, because nobody knows what the disk holds of the last records.
    """

    def __init__(self, options: ToFileOptions, file_name: FileName, clock: Clock) -> None:
        """Nothing is opened before there is something to write."""
        self.synced = 0
        self._options = options
        self._folder = Path(options.output_dir)
        self._file_name = file_name
        self._clock = clock
        self._lock = Lock()
        self._failure: StorageError | None = None
        self._written = 0
        self._file: OutputFile | None = None
        self._name = ""
        self._revision = 0
        self._opened_ns = 0

    def write(self, records: Sequence[bytes], *, sync: bool = False) -> None:
        """Write records to the file of this moment, and bring them to the disk at once if `sync`."""
        with self._exclusively():
            for part in self._parts(records):
                file = self._current_file()
                file.write(b"\n".join([*part, b""]))
                self._written += len(part)
            if sync:
                self._sync()

    def sync(self) -> None:
        """Bring everything written to the disk."""
        with self._exclusively():
            self._sync()

    def tick(self) -> None:
        """Sync, and rotate when it is due; without `skip_empty_files` there is always a file of this moment."""
        with self._exclusively():
            if self._options.skip_empty_files:
                if self._file is not None and self._is_due(self._file):
                    self._close()
            else:
                self._current_file()
            self._sync()

    def close(self) -> None:
        """Sync, and end the file; a later write begins another (or, without revisions, goes on with this one)."""
        with self._exclusively():
            self._close()

    def abandon(self) -> None:
        """Let the file go as it is. For the end, after an error; what was not synced counts as not written."""
        with self._lock:
            if self._file is not None:
                self._file.abandon()
                self._file = None

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._lock:
            if self._failure is not None:
                raise StorageError(f"given up after: {self._failure}") from self._failure
            try:
                yield
            except StorageError as error:
                self._failure = error
                raise

    def _parts(self, records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """Split records so that size is looked at before each one that might be too many for the file."""
        limit_bytes = self._options.rotate_size_bytes
        if not limit_bytes:
            yield records
            return
        part: list[bytes] = []
        size_bytes = self._current_file().size_bytes
        for record in records:
            if size_bytes > limit_bytes:
                yield part
                part, size_bytes = [], self._current_file().size_bytes
            part.append(record)
            size_bytes += len(record) + 1
        yield part

    def _current_file(self) -> OutputFile:
        file = self._file
        if file is not None and not self._is_due(file):
            return file
        self._close()
        return self._open_next()

    def _is_due(self, file: OutputFile) -> bool:
        options = self._options
        return (
            self._file_name.at(self._clock.wall_ns()) != self._name
            or 0 < options.rotate_interval_ms * _NS_PER_MS < self._clock.monotonic_ns() - self._opened_ns
            or 0 < options.rotate_size_bytes < file.size_bytes
        )

    def _open_next(self) -> OutputFile:
        name = self._file_name.at(self._clock.wall_ns())
        self._revision = self._revision + 1 if name == self._name else 0
        self._name = name
        while self._revision <= _REVISION_MAX:
            path = self._folder / self._file_name.with_revision(name, self._revision)
            file = self._open(path)
            if file is not None:
                _log.info("file.opened", path=path, size_bytes=file.size_bytes)
                self._file = file
                self._opened_ns = self._clock.monotonic_ns()
                return file
            self._revision += 1
        raise StorageError(f"open {self._folder / name} - every revision up to {_REVISION_MAX} is taken")

    def _open(self, path: Path) -> OutputFile | None:
        """Open a file, or None when the next revision is to be tried."""
        options = self._options
        make_directories(path.parent)
        file = open_output(
            path, is_exclusive=options.opens_exclusively, gzip_level=options.gzip_level if options.gzip else 0
        )
        if file is not None and 0 < options.rotate_size_bytes < file.size_bytes:
            file.close()
            return None
        return file

    def _sync(self) -> None:
        if self._file is not None:
            self._file.sync()
        self.synced = self._written

    def _close(self) -> None:
        if self._file is None:
            return
        self._file.close()
        _log.info("file.closed", path=self._file.path, size_bytes=self._file.size_bytes)
        self._file = None
        self.synced = self._written
