"""Watches a data path from a thread, so that a kill can strike just when a file changes.

Polls names, sizes and inodes; knows the files of this nsqd and of the original by their names, and nothing of what is
in them. `torture.aim` says what to wait for.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

_POLL_S: Final = 0.0003
_SHRUNK_BYTES: Final = 8 << 10
_SEGMENT: Final = re.compile(r"\.(seg|frames)$|\.diskqueue\.\d+\.dat$")
_JOURNAL: Final = re.compile(r"\.(channel|position)$|\.diskqueue\.meta\.dat$")


class Change(Enum):
    """Something that happens to the files of a data path."""

    NEW_SEGMENT = "a segment of a log is new"
    SEGMENT_GONE = "a segment of a log was removed"
    JOURNAL_WRITTEN = "a journal grew, or is new"
    JOURNAL_REPLACED = "a journal was rewritten and put in place"
    JOURNAL_SHRUNK = "a journal that had grown was rewritten and put in place"
    ANY = "whatever it is"


# Which files matter for a change (all, when None), and whether more of them than the names.
_LOOKS: Final[Mapping[Change, tuple[re.Pattern[str] | None, bool]]] = {
    Change.NEW_SEGMENT: (_SEGMENT, False),
    Change.SEGMENT_GONE: (_SEGMENT, False),
    Change.JOURNAL_WRITTEN: (_JOURNAL, True),
    Change.JOURNAL_REPLACED: (_JOURNAL, True),
    Change.JOURNAL_SHRUNK: (_JOURNAL, True),
    Change.ANY: (None, True),
}


class FileState(NamedTuple):
    """What can be seen of a file from outside."""

    inode: int
    size: int


Snapshot = Mapping[str, FileState]


def look(folder: Path, change: Change) -> Snapshot:
    """What has to be known of the files in a folder, and in those below it, to tell that change later."""
    wanted, needs_sizes = _LOOKS[change]
    found: dict[str, FileState] = {}
    nothing = FileState(0, 0)
    for entry in _files(str(folder)):
        if wanted is None or wanted.search(entry.name):
            with suppress(OSError):
                state = entry.stat(follow_symlinks=False) if needs_sizes else None
                found[entry.path] = nothing if state is None else FileState(state.st_ino, state.st_size)
    return found


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    """Files here and one level below; what goes while one looks is not there."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry


def has_happened(change: Change, before: Snapshot, after: Snapshot) -> bool:
    """Whether that lies between two looks."""
    match change:
        case Change.NEW_SEGMENT:
            return bool(after.keys() - before.keys())
        case Change.SEGMENT_GONE:
            return bool(before.keys() - after.keys())
        case Change.JOURNAL_WRITTEN:
            return any(name not in before or state.size > before[name].size for name, state in after.items())
        case Change.JOURNAL_REPLACED:
            return any(name in before and state.inode != before[name].inode for name, state in after.items())
        case Change.JOURNAL_SHRUNK:
            return any(
                name in before and state.inode != before[name].inode and state.size < before[name].size - _SHRUNK_BYTES
                for name, state in after.items()
            )
        case Change.ANY:
            return before != after


class Watch:
    """One wait for a change. `stop` ends it from another thread."""

    def __init__(self, folder: Path, change: Change, then: Callable[[], None]) -> None:
        """The first look is taken at once; `then` is called from the watching thread."""
        self._folder = folder
        self._change = change
        self._then = then
        self._before = look(folder, change)
        self._stopped = threading.Event()

    def run(self) -> bool:
        """Wait until it happens, and act; False when `stop` came first. Blocks: for a thread of its own."""
        while not self._stopped.is_set():
            after = look(self._folder, self._change)
            if has_happened(self._change, self._before, after):
                self._then()
                return True
            self._before = after
            # Not the event's own wait: that is ten times as long.
            time.sleep(_POLL_S)
        return False

    def stop(self) -> None:
        """Nothing is to happen any more."""
        self._stopped.set()
