"""A data path: one directory `<topic>.topic` per topic, with its segments and a journal per channel.

`engine.broker` asks it for logs and journals (its `Store`). Names were checked against NSQ's rules before they come
here; the suffixes keep names such as `..` from meaning anything to the file system.
"""

from functools import partial
from typing import Final

from millstream.base.errors import StorageError
from millstream.protocol.chunks import BufferPool
from millstream.storage.contents import check_version
from millstream.storage.damage import JOURNAL, MISSING, Damage, DamageBook
from millstream.storage.entries import ProgressState
from millstream.storage.files import FileSystem
from millstream.storage.frames import owner_of
from millstream.storage.journal import check_journal_version
from millstream.storage.log import Log
from millstream.storage.progress import JOURNAL_SUFFIX, Progress
from millstream.storage.recovery import bases_of
from millstream.storage.settings import LogSettings

TOPIC: Final = ".topic"
# What the directory of a topic is called besides while it is being removed.
DELETED: Final = ".deleted"
POSITION: Final = "topic.position"


class DiskStore:
    """Logs and journals under one directory.

    `notes` has a sentence for everything that was not as it should be when they were opened, `damage` what is known to
    be damaged, also of what was found later.
    """

    def __init__(self, files: FileSystem, data_path: str, settings: LogSettings, pool: BufferPool) -> None:
        self._files = files
        self._data_path = data_path
        self._settings = settings
        self._pool = pool
        self._logs: dict[str, Log] = {}
        self.notes: list[str] = []
        self.damage = DamageBook()

    def _directory(self, topic: str) -> str:
        return f"{self._data_path}/{topic}{TOPIC}"

    def refuse_newer(self) -> None:
        """Raise `NewerFormat` when any file was written by a later version: call it before anything is opened."""
        for topic in self.saved_topics():
            directory = self._directory(topic)
            names = self._files.names(directory)
            for base in bases_of(names):
                check_version(self._files, directory, base)
            for name in names:
                if name.endswith(JOURNAL_SUFFIX) or name == POSITION:
                    check_journal_version(self._files, f"{directory}/{name}")

    def open_log(self, topic: str, origin: int) -> Log:
        """The log of a topic, recovered when there was one, else beginning at `origin`."""
        log = Log(self._files, self._directory(topic), self._settings, self._pool, origin)
        log.on_damage = partial(self._tell, topic)
        self._logs[topic] = log
        self.notes += log.recovered.notes
        for damage in log.recovered.damage:
            self.damage.add(topic, damage)
        return log

    def _tell(self, topic: str, damage: Damage) -> None:
        if topic in self._logs and not self._logs[topic].recovered.is_acknowledged(damage):
            self.damage.add(topic, damage)

    def open_progress(self, topic: str, channel: str, *, is_listed: bool = False) -> tuple[Progress, ProgressState]:
        """The journal of a channel, and what it says. One that `is_listed` elsewhere should be there."""
        progress, state = self._open(topic, f"{channel}{JOURNAL_SUFFIX}")
        log = self._logs.get(topic)
        if is_listed and not state.is_known and not state.is_damaged and log is not None and log.segments:
            text = f"{self._directory(topic)}/{channel}{JOURNAL_SUFFIX} is missing: it starts at the oldest record"
            mark = f"{channel}{JOURNAL_SUFFIX}.missing"
            self._note(topic, Damage(kind=JOURNAL, text=text, mark=mark, is_aside=False))
        return progress, state

    def open_position(self, topic: str) -> tuple[Progress, ProgressState]:
        """The journal of the topic itself: how far its messages went to channels."""
        return self._open(topic, POSITION)

    def _open(self, topic: str, name: str) -> tuple[Progress, ProgressState]:
        progress = Progress(
            self._files, f"{self._directory(topic)}/{name}", self._settings, has_frames=name != POSITION
        )
        state = progress.load()
        for damage in state.damage:
            self._note(topic, damage)
        known = {damage.text for damage in state.damage}
        self.notes += [note for note in state.notes if note not in known]
        if state.is_known and not state.is_damaged and self._settings.durability != "memory":
            self._look_for_the_front(topic, name, state)
        return progress, state

    def _look_for_the_front(self, topic: str, name: str, state: ProgressState) -> None:
        """Whether the records are there that the log keeps: all from the floors of its journals on."""
        log = self._logs.get(topic)
        if log is None:
            return
        if log.segments:
            first = log.segments[0]
            count = 0 if first.is_first else first.base - state.floor
            mark = f"{first.base:016x}.front.missing"
            text = f"{count} records are missing before {first.path}, by what {name} says"
        else:
            finished = sum(max(0, min(end, state.cursor) - max(start, state.floor)) for start, end in state.finished)
            count = state.cursor - state.floor - finished
            mark = "log.missing"
            text = f"{self._directory(topic)} has no records, and {count} are not finished by what {name} says"
        if count > 0:
            self._note(topic, Damage(kind=MISSING, text=text, mark=mark, is_aside=False))

    def _note(self, topic: str, damage: Damage) -> None:
        log = self._logs.get(topic)
        if log is None or not log.recovered.is_acknowledged(damage):
            self.notes.append(damage.text)
            self.damage.add(topic, damage)

    def acknowledge(self, topic: str) -> list[Damage]:
        """Somebody has seen what is damaged of a topic, or of the data path itself (""): it is told no more.

        Raises `StorageError`.
        """
        directory = self._directory(topic) if topic else self._data_path
        return self.damage.acknowledge(self._files, directory, topic)

    def delete_topic(self, topic: str) -> None:
        """Remove everything of a topic: whatever ends the process meanwhile, the next finds all of it or nothing.

        Raises `StorageError`.
        """
        self._logs.pop(topic, None)
        self.damage.forget(topic)
        directory = self._directory(topic)
        is_renamed = self._rename_deleted(directory)
        if not is_renamed:
            self._files.remove_directory(directory)
        if self._settings.durability == "fsync":
            self._files.sync_directory(self._data_path)
        if is_renamed:
            # Not before its name is gone for good: else a power loss could leave the half of it.
            self._files.remove_directory(directory + DELETED)

    def _rename_deleted(self, directory: str) -> bool:
        """Give the directory of a topic the name of one that is gone; False when there is none, or no room for that."""
        if not self._files.names(directory):
            return False
        try:
            self._files.remove_directory(directory + DELETED)
            self._files.rename(directory, directory + DELETED)
        except StorageError:
            return False
        return True

    def remove_deleted(self) -> None:
        """Finish what a deletion that was interrupted has left: call it at a start, behind `refuse_newer`."""
        for name in self._files.names(self._data_path):
            if name.endswith(TOPIC + DELETED):
                try:
                    self._files.remove_directory(f"{self._data_path}/{name}")
                except StorageError as error:
                    self.notes.append(f"what is left of a deleted topic takes room: {error}")

    def saved_channels(self, topic: str) -> list[str]:
        """The channels of a topic that have a journal. What channels that were being deleted have left is removed."""
        directory = self._directory(topic)
        names = self._files.names(directory)
        for name in names:
            owner, _ = owner_of(name)
            if owner and owner + JOURNAL_SUFFIX not in names:
                self._files.remove(f"{directory}/{name}")
        return [name.removesuffix(JOURNAL_SUFFIX) for name in names if name.endswith(JOURNAL_SUFFIX)]

    def saved_topics(self) -> list[str]:
        """The topics that have a directory."""
        return [name.removesuffix(TOPIC) for name in self._files.names(self._data_path) if name.endswith(TOPIC)]
