"""Reads and writes `<data-path>/nsqd.dat`, NSQ's list of topics and channels.

`nsqd.host` asks for a write when a topic or channel comes, goes, or is paused; the content is `engine.metadata`'s.
The logs themselves say which topics exist: a lost file costs pauses and empty topics, no message. One that is of no use
is set aside, and nsqd starts without it.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.engine.metadata import MetadataError, TopicMetadata, decode, encode
from millstream.storage.damage import METADATA, Damage, free_name, set_aside_before
from millstream.storage.files import FileSystem

FILE_NAME: Final = "nsqd.dat"
_BYTES_MAX: Final = 256 << 20


class MetadataFile:
    """The metadata file of one data path. `damage` is what `read` has set aside, or an earlier process has."""

    def __init__(self, files: FileSystem, data_path: str, *, sync: bool) -> None:
        self.damage: list[Damage] = []
        self._files = files
        self._data_path = data_path
        self._path = f"{data_path}/{FILE_NAME}"
        self._sync = sync

    def read(self) -> list[TopicMetadata]:
        """What the file holds; nothing when there is none, or none of use. Raises `StorageError` when it is unreadable.

        Then nothing is changed: what cannot be read now may be readable later.
        """
        names = self._files.names(self._data_path)
        self.damage = set_aside_before(names, ())
        if FILE_NAME not in names:
            return []
        file = self._files.open(self._path)
        try:
            size = file.size()
            if size > _BYTES_MAX:
                raise StorageError(f"{self._path} - is larger than {_BYTES_MAX} bytes")
            data = bytearray(size)
            file.read_into(memoryview(data), 0)
        finally:
            file.close()
        try:
            return decode(bytes(data))
        except MetadataError as error:
            self._set_aside(error, free_name(names, f"{FILE_NAME}.bad"))
            return []

    def _set_aside(self, reason: MetadataError, aside: str) -> None:
        text = f"{self._path} {reason}"
        try:
            self._files.rename(self._path, f"{self._data_path}/{aside}")
        except StorageError as error:
            raise StorageError(f"{text}; move it away to start without it ({error})") from error
        text = f"{text}: pauses, and topics and channels without messages, are forgotten; it was set aside as {aside}"
        self.damage.append(Damage(kind=METADATA, text=text, mark=aside))

    def write(self, topics: list[TopicMetadata]) -> None:
        """Replace the content, wholly or not at all. Raises `StorageError`."""
        self._files.replace(self._path, encode(topics), sync=self._sync)
