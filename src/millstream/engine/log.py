"""What the engine needs kept: a topic's log and a channel's progress, as it sees them.

The log is a `protocol.chunks.ChunkQueue`: as it is for what lives in memory only, and with files under it as
`storage.log.Log`. The journal has the shape `Progress`, with `ForgetfulProgress` for memory. A broker is given a
`Store` that makes the durable forms. Instants in a journal are on the wall clock, 0 for "at once".
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from millstream.protocol.chunks import ChunkQueue
from millstream.protocol.straggler_table import Columns, Row, StragglerTable


class ProgressState(Protocol):
    """What a journal says of a channel."""

    is_known: bool
    floor: int
    cursor: int
    scanned: int

    @property
    def finished(self) -> Sequence[tuple[int, int]]:
        """Finished runs beyond the floor."""
        ...

    @property
    def replays(self) -> Sequence[tuple[int, int]]:
        """Spans of the log that are to be delivered once more."""
        ...

    @property
    def attempts(self) -> Mapping[int, int]:
        """Attempts of unfinished messages that were tried more than once."""
        ...

    @property
    def stragglers(self) -> StragglerTable:
        """Messages outside the log; whoever restores the channel takes the table over."""
        ...

    @property
    def redriven(self) -> Mapping[int, int]:
        """How often some of them came back from the dead-letter topic."""
        ...


class Progress(Protocol):
    """A channel's journal: entries are noted, then flushed as one."""

    @property
    def saved_floor(self) -> int:
        """The floor that a restart would find."""
        ...

    @property
    def wants_snapshot(self) -> bool:
        """Whether the next flush should carry everything."""
        ...

    def begin_snapshot(self) -> None:
        """What is noted from now on replaces the journal."""
        ...

    def clear(self) -> None:
        """As `begin_snapshot`, and there are no stragglers any more."""
        ...

    def position(self, floor: int, cursor: int, scanned: int) -> None:
        """How far the channel has come."""
        ...

    def finished(self, start: int, end: int) -> None:
        """A run finished beyond the floor."""
        ...

    def replays(self, spans: Sequence[tuple[int, int]]) -> None:
        """Spans of the log that are still to be delivered once more, in place of those noted before."""
        ...

    def attempts(self, sequence: int, attempts: int) -> None:
        """How often an unfinished message was tried."""
        ...

    def straggler(self, sequence: int, due_ns: int, attempts: int, frame: bytes) -> int:
        """A message left the log: where its frame lies from now on."""
        ...

    def deferred(self, sequences: Sequence[int], dues_ns: Sequence[int], frames: list[bytes]) -> Columns:
        """As `straggler`, for many that were never tried: all that is to be known of them."""
        ...

    def stragglers(self, columns: Columns) -> None:
        """Stragglers as they are, for a snapshot, or raise `StorageError`."""
        ...

    def restored(self, row: Row) -> None:
        """A straggler that was said to be done is still there."""
        ...

    def update(self, sequence: int, due_ns: int, attempts: int) -> None:
        """A straggler changed."""
        ...

    def redriven(self, sequence: int, count: int) -> None:
        """A straggler came back from the dead-letter topic, this time included so often."""
        ...

    def done(self, row: Row) -> None:
        """A straggler is finished."""
        ...

    def frame(self, row: Row) -> bytes | None:
        """The frame of a straggler, None when something else lies at its place, or raise `StorageError`."""
        ...

    @property
    def thin(self) -> tuple[int, int] | None:
        """Places [from, to) whose frames are to be moved, so that the space between them can be given back."""
        ...

    def move(self, row: Row, frame: bytes) -> int:
        """Lay the frame of a straggler down anew: where it lies from now on."""
        ...

    def leave_thin(self) -> None:
        """What lies at the places of `thin` cannot be moved: it stays."""
        ...

    def flush(self) -> None:
        """Write what was noted, or raise `StorageError`."""
        ...

    def postpone(self) -> None:
        """There is no place to write to yet: what was noted is forgotten, and the first flush wants a snapshot."""
        ...

    def settle(self) -> None:
        """Make what was flushed as durable as the log."""
        ...

    def rest(self) -> bool:
        """Let go of the file until there is more to write; False when it cannot be let go of now."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...

    def delete(self) -> None:
        """Remove the journal."""
        ...


class ForgetfulProgress:
    """The journal of what lives in memory only: it knows the floor and the stragglers' frames, and forgets the rest."""

    def __init__(self) -> None:
        self.saved_floor = 0
        self.wants_snapshot = False
        self._frames: dict[int, bytes] = {}
        self._next_place = 0

    def begin_snapshot(self) -> None:
        """Nothing is kept."""

    def clear(self) -> None:
        """There are no stragglers any more."""
        self._frames.clear()

    def position(self, floor: int, cursor: int, scanned: int) -> None:
        """The floor lets the log go on."""
        del cursor, scanned
        self.saved_floor = floor

    def finished(self, start: int, end: int) -> None:
        """Nothing is kept."""

    def replays(self, spans: Sequence[tuple[int, int]]) -> None:
        """Nothing is kept."""

    def attempts(self, sequence: int, attempts: int) -> None:
        """Nothing is kept."""

    def straggler(self, sequence: int, due_ns: int, attempts: int, frame: bytes) -> int:
        """A message left the log, and its frame is here."""
        del sequence, due_ns, attempts
        place = self._next_place
        self._next_place += 1
        self._frames[place] = frame
        return place

    def deferred(self, sequences: Sequence[int], dues_ns: Sequence[int], frames: list[bytes]) -> Columns:
        """Messages left the log, and their frames are here."""
        columns = Columns()
        for sequence, due_ns, frame in zip(sequences, dues_ns, frames, strict=True):
            columns.append(Row(sequence, due_ns, 0, self.straggler(sequence, due_ns, 0, frame), len(frame)))
        return columns

    def stragglers(self, columns: Columns) -> None:
        """Nothing is kept."""

    def restored(self, row: Row) -> None:
        """Nothing is ever restored: no change can fail to be kept."""

    def update(self, sequence: int, due_ns: int, attempts: int) -> None:
        """Nothing is kept."""

    def redriven(self, sequence: int, count: int) -> None:
        """Nothing is kept."""

    def done(self, row: Row) -> None:
        """A straggler is finished."""
        self._frames.pop(row.place, None)

    def frame(self, row: Row) -> bytes | None:
        """The frame of a straggler."""
        return self._frames.get(row.place)

    @property
    def thin(self) -> tuple[int, int] | None:
        """What is finished takes no space."""
        return None

    def move(self, row: Row, frame: bytes) -> int:
        """It stays where it is."""
        del frame
        return row.place

    def leave_thin(self) -> None:
        """There is nothing to move."""

    def flush(self) -> None:
        """Nothing is kept."""

    def postpone(self) -> None:
        """Nothing is kept."""

    def settle(self) -> None:
        """Nothing is kept."""

    def rest(self) -> bool:
        """Nothing is kept."""
        return True

    def close(self) -> None:
        """Nothing is kept."""

    def delete(self) -> None:
        """Nothing is kept."""


class Store(Protocol):
    """Makes and removes what a broker keeps; names are checked before they come here."""

    def open_log(self, topic: str, origin: int) -> ChunkQueue:
        """The log of a topic, recovered when there was one, else beginning at `origin`."""
        ...

    def open_progress(self, topic: str, channel: str, *, is_listed: bool = False) -> tuple[Progress, ProgressState]:
        """The journal of a channel, and what it says. One that `is_listed` elsewhere should be there."""
        ...

    def open_position(self, topic: str) -> tuple[Progress, ProgressState]:
        """The journal of the topic itself: how far its messages went to channels."""
        ...

    def delete_topic(self, topic: str) -> None:
        """Remove everything of a topic."""
        ...

    def saved_channels(self, topic: str) -> list[str]:
        """The channels of a topic that have a journal."""
        ...

    def saved_topics(self) -> list[str]:
        """The topics that have a log."""
        ...
