"""Keeps an eye on the room of the data path's disk: warns, and stops publishing before there is none left.

`nsqd.timers` has it look; `nsqd.host` asks before a topic is published to, and `nsqd.turn` tells when a write found the
disk full. What `--disk-min-free` leaves is for journals and metadata: with them finished segments are given back, and
publishing goes on by itself. Where somebody else fills the disk all the same, a file of reserved room is given up for
them, and made again when there is room.
"""

from collections.abc import Callable
from typing import Final

from millstream.base.errors import DiskFull, StorageError
from millstream.base.log import get_logger
from millstream.base.units import format_size
from millstream.storage.files import FileSystem

log = get_logger(__name__)

RESERVE_NAME: Final = "nsqd.reserve"
RESERVE_BYTES_MAX: Final = 1 << 20
# Of a small disk, the marks are at most this part: a thirty-second, and a sixteenth.
_MIN_PART: Final = 32
_WARN_PART: Final = 16
# Polls that a reserve is given up for: so long those who need its room have to take it.
_GIVEN_UP_POLLS: Final = 12
# Publishing goes on, and the warning ends, at a quarter more than the mark.
_EASE: Final = 4


class DiskReserved(DiskFull):
    """What is left of the disk is kept for journals and metadata."""


class DiskGuard:
    """The disk of one data path as `poll` saw it last: `text` says why publishes are refused.

    Marks in bytes; 0 for none. `on_change` is called when publishes begin to be refused, or are no longer.
    """

    def __init__(self, files: FileSystem, data_path: str, *, warn_free: int, min_free: int) -> None:
        self.is_low = False
        self.is_refusing = False
        self.on_change: Callable[[], None] = _nothing
        self._files = files
        self._data_path = data_path
        self._reserve = f"{data_path}/{RESERVE_NAME}"
        self._warn_free = warn_free
        self._min_free = min_free
        self.free_bytes = self.total_bytes = 0
        self._has_reserve = RESERVE_NAME in files.names(data_path)
        self._given_up_polls = 0
        self._was_given_up = False
        self._is_reserve_possible = True

    def set_marks(self, *, warn_free: int, min_free: int) -> None:
        """From now on."""
        self._warn_free, self._min_free = warn_free, min_free
        self.poll()

    @property
    def min_bytes(self) -> int:
        """Below this publishes are refused."""
        return min(self._min_free, self.total_bytes // _MIN_PART)

    @property
    def warn_bytes(self) -> int:
        """Below this there is a warning."""
        return max(min(self._warn_free, self.total_bytes // _WARN_PART), self.min_bytes if self._warn_free else 0)

    @property
    def text(self) -> str:
        """Why publishes are refused; empty when they are not."""
        if not self.is_refusing:
            return ""
        goal = self._eased(self.min_bytes) + (0 if self._has_reserve else self._reserve_bytes)
        return (
            f"disk of {self._data_path} is nearly full: {format_size(self.free_bytes)} left, "
            f"publishing goes on at {format_size(goal)}"
        )

    def admit(self) -> None:
        """Raise `DiskReserved` when nothing may be published now."""
        if self.is_refusing:
            raise DiskReserved(self.text)

    @property
    def _reserve_bytes(self) -> int:
        return min(RESERVE_BYTES_MAX, self.min_bytes // 2)

    @staticmethod
    def _eased(mark: int) -> int:
        return mark + mark // _EASE

    def poll(self) -> None:
        """Look at the disk."""
        self.free_bytes, self.total_bytes = self._files.room(self._data_path)
        self._look_at_reserve()
        mark = self.warn_bytes
        is_low = self.free_bytes < (self._eased(mark) if self.is_low else mark)
        if is_low != self.is_low:
            self.is_low = is_low
            say = log.warning if is_low else log.info
            say("disk.low" if is_low else "disk.not_low", path=self._data_path, free=format_size(self.free_bytes))
        mark = self.min_bytes
        is_refusing = self._was_given_up or self.free_bytes < (self._eased(mark) if self.is_refusing else mark)
        if is_refusing != self.is_refusing:
            self.is_refusing = is_refusing
            say = log.error if is_refusing else log.info
            say(
                "disk.refusing" if is_refusing else "disk.resumed",
                path=self._data_path,
                free=format_size(self.free_bytes),
            )
            self.on_change()

    def _look_at_reserve(self) -> None:
        if not self._min_free:
            if self._has_reserve:
                self._remove_reserve()
            self._was_given_up = False
        elif self._given_up_polls:
            self._given_up_polls -= 1
        elif not self._has_reserve and self._is_reserve_possible:
            self._make_reserve()

    def _make_reserve(self) -> None:
        if not 0 < self._eased(self.min_bytes) + self._reserve_bytes <= self.free_bytes:
            return
        try:
            self._files.replace(self._reserve, bytes(self._reserve_bytes), sync=False)
        except DiskFull:
            return
        except StorageError as error:
            log.warning("disk.no_reserve", error=error)
            self._is_reserve_possible = False
        else:
            self._has_reserve = True
        self._was_given_up = False
        self.free_bytes, self.total_bytes = self._files.room(self._data_path)

    def _remove_reserve(self) -> bool:
        try:
            self._files.remove(self._reserve)
        except StorageError as error:
            log.error("disk.no_reserve", error=error)
            return False
        self._has_reserve = False
        return True

    def found_full(self, *, is_journal: bool) -> None:
        """A write found no room. Journals and the metadata may have that which is kept for them."""
        if is_journal:
            self.give_up_reserve()
        else:
            self.poll()

    def give_up_reserve(self) -> None:
        """A journal or the metadata found no room: it may have that which was kept for them."""
        if self._has_reserve and self._min_free and self._remove_reserve():
            self._was_given_up, self._given_up_polls = True, _GIVEN_UP_POLLS
            log.warning("disk.reserve_given_up", path=self._data_path)
        self.poll()


def _nothing() -> None:
    """Nobody has to be told."""
