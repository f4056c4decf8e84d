"""What was found damaged in a data path, until somebody acknowledges it; and how damaged parts are set aside.

`storage.recovery`, `storage.log` and `storage.progress` find it, `storage.store` keeps the book, nsqd shows it in
`/stats` and `/metrics`. A part that is set aside is copied or renamed beside the file that it comes from; acknowledging
it puts `.ack` behind its name, so that later starts do not speak of it again. What has no file gets an empty one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from millstream.storage.files import File, FileSystem, replace_by_rename

TORN_TAIL: Final = "torn_tail"
RECORDS: Final = "records"
SEGMENT: Final = "segment"
MISSING: Final = "missing"
INDEX: Final = "index"
JOURNAL: Final = "journal"
METADATA: Final = "metadata"
KINDS: Final = (TORN_TAIL, RECORDS, SEGMENT, MISSING, INDEX, JOURNAL, METADATA)

ACKNOWLEDGED: Final = ".ack"
_PIECE_BYTES: Final = 1 << 20
_ASIDE: Final = re.compile(r"(\.seg|\.channel|^topic\.position|^nsqd\.dat)\.(bad(-\d+)?|cut-\d+)(\.\d+)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is not as it should be: its kind, a sentence, and the name by which it is known again.

    The name is that of the file that holds what was set aside, or, where `is_aside` is false, one that no file has.
    """

    kind: str
    text: str
    mark: str
    is_aside: bool = True


def kind_of_aside(name: str) -> str:
    """Which kind of damage a file in a topic's directory was set aside for; empty when it was not."""
    found = _ASIDE.search(name)
    if found is None:
        return ""
    if found[1] == ".seg":
        return TORN_TAIL if found[2].startswith("cut") else RECORDS if found[3] else SEGMENT
    return METADATA if found[1] == "nsqd.dat" else JOURNAL


def set_aside_before(names: Iterable[str], known: Iterable[Damage]) -> list[Damage]:
    """What earlier starts have set aside, as the names in a directory tell, without what is known of it already."""
    marks = {damage.mark for damage in known}
    return [
        Damage(kind=kind, text=f"{name} was set aside at an earlier start", mark=name)
        for name in names
        if name not in marks and (kind := kind_of_aside(name))
    ]


def free_name(names: Iterable[str], wanted: str) -> str:
    """The name, with a number behind it when it is taken."""
    taken = {name.removesuffix(ACKNOWLEDGED) for name in names}
    found, number = wanted, 1
    while found in taken:
        number += 1
        found = f"{wanted}.{number}"
    return found


def copy_aside(files: FileSystem, file: File, position: int, until: int, path: str) -> None:
    """Copy a part of a file to one of its own, which is there wholly or not at all. Raises `StorageError`."""

    def fill(copy: File) -> None:
        buffer = memoryview(bytearray(min(_PIECE_BYTES, until - position)))
        at = position
        while at < until:
            count = file.read_into(buffer[: until - at], at)
            if count == 0:
                break
            copy.write(buffer[:count], at - position)
            at += count

    replace_by_rename(files, path, fill, sync=True)


class DamageBook:
    """What is known to be damaged, by topic; the name "" stands for the data path itself."""

    def __init__(self) -> None:
        self.by_topic: dict[str, list[Damage]] = {}
        self._unsaid: list[tuple[str, Damage]] = []

    def add(self, topic: str, damage: Damage) -> None:
        """Something was found; what is known already is no news."""
        known = self.by_topic.setdefault(topic, [])
        if all(other.mark != damage.mark for other in known):
            known.append(damage)
            self._unsaid.append((topic, damage))

    def take_unsaid(self) -> list[tuple[str, Damage]]:
        """What was found since the last call."""
        found, self._unsaid = self._unsaid, []
        return found

    def of(self, topic: str) -> list[Damage]:
        """What is known of a topic."""
        return self.by_topic.get(topic, [])

    def forget(self, topic: str) -> None:
        """The topic is gone."""
        self.by_topic.pop(topic, None)

    def acknowledge(self, files: FileSystem, directory: str, topic: str) -> list[Damage]:
        """Somebody has seen what there is of a topic: it is shown no more, also not after a restart.

        Raises `StorageError` when a name cannot be changed; what was changed before is acknowledged.
        """
        done: list[Damage] = []
        found = self.by_topic.get(topic, [])
        names = set(files.names(directory)) if found else set()
        while found:
            damage = found[0]
            path = f"{directory}/{damage.mark}"
            if damage.mark in names:
                files.rename(path, path + ACKNOWLEDGED)
            elif not damage.is_aside and names:
                files.open(path + ACKNOWLEDGED, create=True).close()
            done.append(found.pop(0))
        self.forget(topic)
        return done
