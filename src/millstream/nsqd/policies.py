"""The policies of one nsqd: those of its configuration file, and `<data-path>/policies.json`, those set over HTTP.

`nsqd.service` reads them before the broker is loaded, `nsqd.http_policy` and a reload change them; the broker gets a
`PolicyBook` each time. What was set over HTTP comes after the file's, so it wins, and outlives restarts.
"""

from typing import Any, Final

import msgspec

from millstream.base.errors import OptionError, StorageError
from millstream.base.log import get_logger
from millstream.base.options import from_mapping, to_table
from millstream.engine.broker import Broker
from millstream.engine.policies import ENTRIES_MAX, PolicyBook, PolicyEntry
from millstream.storage.files import FileSystem

log = get_logger(__name__)

FILE_NAME: Final = "policies.json"
FORMAT_VERSION: Final = 1
_BYTES_MAX: Final = 4 << 20


class Policies:
    """What the broker is told. Entries over HTTP stand in the order in which they were set."""

    def __init__(self, files: FileSystem, data_path: str, broker: Broker, *, sync: bool) -> None:
        self._files = files
        self._data_path = data_path
        self._path = f"{data_path}/{FILE_NAME}"
        self._broker = broker
        self._sync = sync

    @property
    def book(self) -> PolicyBook:
        """What holds now."""
        return self._broker.policies

    def load(self, config: tuple[PolicyEntry, ...]) -> None:
        """Take up both sources. A file that is damaged is set aside, which the log says, and nsqd goes on without it.

        Raises `StorageError` when the file cannot be read, or is of a newer format.
        """
        self._broker.set_policies(PolicyBook(config, self._read()))

    def set_config(self, config: tuple[PolicyEntry, ...]) -> bool:
        """The configuration file says this now; whether that is a change."""
        if config == self.book.config:
            return False
        self._broker.set_policies(PolicyBook(config, self.book.http))
        return True

    def put(self, entry: PolicyEntry) -> None:
        """Set an entry over HTTP, in place of one for the same names. Raises `OptionError` and `StorageError`."""
        others = [found for found in self.book.http if found.place != entry.place]
        if len(others) >= ENTRIES_MAX:
            raise OptionError(f"there are {ENTRIES_MAX} policies already: delete some, or use patterns")
        self._change((*others, entry))

    def delete(self, topic: str, channel: str | None) -> bool:
        """Remove an entry that was set over HTTP; False when there is none. Raises `StorageError`."""
        others = tuple(found for found in self.book.http if found.place != (topic, channel))
        if len(others) == len(self.book.http):
            return False
        self._change(others)
        return True

    def entry(self, topic: str, channel: str | None) -> PolicyEntry | None:
        """The entry for exactly these names that was set over HTTP."""
        return next((found for found in self.book.http if found.place == (topic, channel)), None)

    def _change(self, entries: tuple[PolicyEntry, ...]) -> None:
        content = {"version": FORMAT_VERSION, "policies": [to_table(entry) for entry in entries]}
        # First the file: what holds is what the next start finds.
        self._files.replace(self._path, msgspec.json.format(msgspec.json.encode(content)), sync=self._sync)
        self._broker.set_policies(PolicyBook(self.book.config, entries))

    def _read(self) -> list[PolicyEntry]:
        if FILE_NAME not in self._files.names(self._data_path):
            return []
        file = self._files.open(self._path)
        try:
            data = bytearray(min(file.size(), _BYTES_MAX))
            file.read_into(memoryview(data), 0)
        finally:
            file.close()
        try:
            return _decode(bytes(data), self._path)
        except (OptionError, ValueError, LookupError, TypeError, RecursionError, msgspec.MsgspecError) as error:
            self._set_aside(error)
            return []

    def _set_aside(self, error: Exception) -> None:
        aside = f"{self._path}.bad"
        try:
            self._files.rename(self._path, aside)
        except StorageError as failure:
            aside = f"where it is, because {failure}"
        trouble = f"{self._path} cannot be used: {error}"
        log.error("policies.damaged", error=f"{trouble}; no policy that was set over HTTP holds; it is kept as {aside}")


def _decode(data: bytes, path: str) -> list[PolicyEntry]:
    content: Any = msgspec.json.decode(data)
    version = content["version"]
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StorageError(
            f"{path} - was written by a newer version (format {version}, this one reads up to {FORMAT_VERSION}); start "
            "that version, or move the file away"
        )
    if version != FORMAT_VERSION:
        raise ValueError("it says no version")
    tables = msgspec.convert(content["policies"], list[dict[str, Any]])
    return [from_mapping(PolicyEntry, table) for table in tables]
