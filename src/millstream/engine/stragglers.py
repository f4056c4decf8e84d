"""Messages of one channel that stay unfinished for long, outside the log: deferred, requeued with a delay, evicted.

`engine.channel` moves them here so that they never pin the log. Their frames lie in files beside the channel's journal
(`engine.log.Progress` says where) and are read back when somebody asks; here is one row of a table for each, an entry
of the calendar for those that are deferred, and an object only for those in flight. What is neither in flight nor in
the calendar is queued: the channel's redelivery has its sequence. Every change is noted in the journal at once.
Instants are in ns on the monotonic clock unless they say otherwise.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from millstream.base.clock import Clock
from millstream.engine.calendar import Calendar
from millstream.engine.instants import Instants
from millstream.engine.log import Progress
from millstream.protocol import raw
from millstream.protocol.straggler_table import Columns, Row, StragglerTable

DEFERRED: Final = 0
QUEUED: Final = 1
IN_FLIGHT: Final = 2

_ATTEMPTS_MAX: Final = 65535
_TIMESTAMP_AT: Final = 8
# Beyond every cap that can be configured: a due time that a failing disk has spoiled still fits a column.
_LATEST_WALL_NS: Final = 8 * 10**18


class Held:
    """What is in flight: with whom, until when, since when, and when it was published (on the wall clock)."""

    __slots__ = ("deadline_ns", "owner", "since_ns", "timestamp_ns")

    def __init__(self, owner: int, deadline_ns: int, since_ns: int, timestamp_ns: int) -> None:
        self.owner = owner
        self.deadline_ns = deadline_ns
        self.since_ns = since_ns
        self.timestamp_ns = timestamp_ns


class Stragglers:
    """By sequence. `lost_count` is how many messages of the channel could not be used when their turn came.

    What starts with `moving` says where `engine.moving` is: the places that it empties, and the sequence to go on at.
    """

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self.table = StragglerTable()
        self.calendar = Calendar()
        self.held: dict[int, Held] = {}
        self.instants = Instants(clock)
        self.lost_count = 0
        self._lost: list[int] = []
        self.moving_span = (0, 0)
        self.moving_from = 0
        self._progress = progress
        self._clock = clock

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self.table

    @property
    def deferred_count(self) -> int:
        """How many wait for their time."""
        return len(self.calendar)

    @property
    def next_due(self) -> int | None:
        """The earliest instant at which a deferred message is due or one in flight times out."""
        earliest = self.calendar.first_due_ns
        for held in self.held.values():
            if earliest is None or held.deadline_ns < earliest:
                earliest = held.deadline_ns
        return earliest

    # ------------------------------------------------------------------------------------------------ what comes here

    def add_deferred(self, found: Sequence[tuple[int, bytes, int]]) -> None:
        """Messages that were never delivered wait until instants on the wall clock: sequences, frames, instants."""
        sequences = [sequence for sequence, _, _ in found]
        wall_dues = [min(due_wall_ns, _LATEST_WALL_NS) for _, _, due_wall_ns in found]
        rows = self._progress.deferred(sequences, wall_dues, [frame for _, frame, _ in found])
        distance_ns = self.instants.distance_ns
        rows.dues = array("q", [due_wall_ns - distance_ns for due_wall_ns in wall_dues])
        self.table.put_all(rows)
        self.calendar.add_all(rows.dues, rows.sequences)

    def add_queued(self, sequence: int, frame: bytes, attempts: int) -> None:
        """A message waits for its next delivery; the caller sees to it that it is in the redelivery queue."""
        place = self._progress.straggler(sequence, 0, attempts, frame)
        self.table.put(Row(sequence, 0, attempts, place, len(frame)))

    def add_held(self, sequence: int, frame: bytes, attempts: int, owner: int, deadline_ns: int, since_ns: int) -> None:
        """A message is in flight with `owner`."""
        self.add_queued(sequence, frame, attempts)
        self.held[sequence] = Held(owner, deadline_ns, since_ns, raw.get64(frame, _TIMESTAMP_AT))

    def adopt(self, saved: StragglerTable) -> "array[int]":
        """Take over what a journal holds, with instants on the wall clock: the sequences that are to be queued."""
        self.table = saved
        distance_ns = self.instants.distance_ns
        for block in saved.blocks:
            block.dues = array("q", [due_ns - distance_ns if due_ns else 0 for due_ns in block.dues])
        self.calendar.fill([(block.dues, block.sequences) for block in saved.blocks])
        return self.calendar.take_due(self._clock.monotonic_ns())

    # ------------------------------------------------------------------------------------------- what happens to them

    def hold(self, sequence: int, frame: bytes, owner: int, deadline_ns: int, now_ns: int) -> int:
        """A queued message is in flight once more; its attempts, this one included. 0 when it is not queued."""
        row = self.table.get(sequence)
        if row is None or sequence in self.held or self.calendar.has(row.due_ns, sequence):
            return 0
        attempts = min(row.attempts + 1, _ATTEMPTS_MAX)
        self.table.change(sequence, due_ns=0, attempts=attempts)
        self.held[sequence] = Held(owner, deadline_ns, now_ns, raw.get64(frame, _TIMESTAMP_AT))
        self._progress.update(sequence, 0, attempts)
        return attempts

    def defer(self, sequence: int, delay_ns: int) -> None:
        """A message that was in flight waits for a while."""
        del self.held[sequence]
        row = self.table.get(sequence)
        if row is not None:
            due_ns = self._clock.monotonic_ns() + delay_ns
            self._set_due(row, due_ns, self.instants.wall_ns(due_ns))

    def queue(self, sequence: int) -> None:
        """A message that was in flight waits for its next delivery."""
        del self.held[sequence]

    def due(self, now_ns: int) -> "array[int]":
        """Queue what is due; the sequences."""
        return self.calendar.take_due(now_ns)

    def held_by(self, sequence: int, owner: int) -> Held | None:
        """What is in flight, when `owner` has it."""
        held = self.held.get(sequence)
        return held if held is not None and held.owner == owner else None

    def expire(self, now_ns: int) -> list[tuple[int, int]]:
        """Queue what is past its deadline: (sequence, owner)."""
        expired = [(sequence, held.owner) for sequence, held in self.held.items() if held.deadline_ns <= now_ns]
        for sequence, _ in expired:
            del self.held[sequence]
        return expired

    def abandon(self, owner: int) -> list[int]:
        """Queue what `owner` holds: it is gone."""
        abandoned = [sequence for sequence, held in self.held.items() if held.owner == owner]
        for sequence in abandoned:
            del self.held[sequence]
        return abandoned

    def finish(self, sequence: int) -> None:
        """The message is done with."""
        self.held.pop(sequence, None)
        row = self.table.remove(sequence)
        if row is not None:
            self.calendar.remove(row.due_ns, sequence)
            self._progress.done(row)

    def lose(self, sequence: int) -> None:
        """What the disk has of a message cannot be used: nobody will ever get it."""
        self.lost_count += 1
        self._lost.append(sequence)
        self.finish(sequence)

    def take_lost(self) -> list[int]:
        """What was lost since the last call."""
        lost = self._lost
        if lost:
            self._lost = []
        return lost

    def clear(self) -> None:
        """Forget all; the journal is told by whoever emptied the channel."""
        self.table.clear()
        self.calendar.clear()
        self.held.clear()

    # --------------------------------------------------------------------------------------------------- administrators

    def cancel(self, sequence: int) -> Row | None:
        """A deferred message is done with before its time; None when there is no such one."""
        row = self.table.get(sequence)
        if row is None or not self.calendar.remove(row.due_ns, sequence):
            return None
        self.table.remove(sequence)
        self._progress.done(row)
        return row

    def restore(self, row: Row) -> None:
        """A deferred message was cancelled, and that could not be kept: it waits on."""
        self.table.put(row)
        self.calendar.add(row.due_ns, row.sequence)
        due_wall_ns = self.instants.wall_ns(row.due_ns)
        self._progress.restored(row._replace(due_ns=due_wall_ns))

    def reschedule(self, sequence: int, due_wall_ns: int) -> Row | None:
        """A deferred message gets another time; what it was, or None when there is no such one."""
        row = self.table.get(sequence)
        if row is None or not self.calendar.remove(row.due_ns, sequence):
            return None
        due_wall_ns = min(due_wall_ns, _LATEST_WALL_NS)
        self._set_due(row, self.instants.monotonic_ns(due_wall_ns), due_wall_ns)
        return row

    def _set_due(self, row: Row, due_ns: int, due_wall_ns: int) -> None:
        self.table.change(row.sequence, due_ns=due_ns)
        self.calendar.add(due_ns, row.sequence)
        self._progress.update(row.sequence, due_wall_ns, row.attempts)

    # ------------------------------------------------------------------------------------------------------- questions

    def state_of(self, sequence: int) -> int | None:
        """DEFERRED, QUEUED or IN_FLIGHT; None for what is not here."""
        row = self.table.get(sequence)
        if row is None:
            return None
        if sequence in self.held:
            return IN_FLIGHT
        return DEFERRED if self.calendar.has(row.due_ns, sequence) else QUEUED

    def frame_of(self, sequence: int) -> bytes | None:
        """The frame of a message as stored, wherever it lies; None when it is not here, or cannot be used.

        Raises `StorageError` when it cannot be read now.
        """
        row = self.table.get(sequence)
        return None if row is None else self._progress.frame(row)

    def saved_columns(self) -> Iterator[Columns]:
        """All rows as a journal has them: with instants on the wall clock."""
        distance_ns = self.instants.distance_ns
        for block in self.table.blocks:
            columns = Columns()
            columns.sequences, columns.attempts = block.sequences, block.attempts
            columns.places, columns.sizes = block.places, block.sizes
            columns.dues = array("q", [due_ns + distance_ns if due_ns else 0 for due_ns in block.dues])
            yield columns
