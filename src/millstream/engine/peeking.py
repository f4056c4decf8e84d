"""Looks at the messages of a channel, or of a topic's log, without taking them: a page at a time, in order of ids.

`nsqd.http_peek` asks. Nothing changes: what is seen keeps its place, its attempts and its holder.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final

from millstream.engine.channel import Channel
from millstream.engine.gaps import is_dropped
from millstream.engine.stragglers import DEFERRED as WAITS
from millstream.engine.timestamps import timestamp_of
from millstream.engine.window import FINISHED, IN_FLIGHT
from millstream.protocol.chunks import ChunkQueue
from millstream.protocol.record import undeferred

READY: Final = "ready"
HELD_BY_CONSUMER: Final = "in_flight"
DEFERRED: Final = "deferred"
RETAINED: Final = "retained"
STORED: Final = "stored"
UNFINISHED: Final = (READY, HELD_BY_CONSUMER, DEFERRED)
STATES: Final = (READY, HELD_BY_CONSUMER, DEFERRED, RETAINED)

# One question looks at no more records than this, so that a page with few hits does not hold the loop.
LOOKED_AT_MAX: Final = 50_000
PAGE_BYTES: Final = 4 << 20
FOR_EVER_NS: Final = 1 << 63
_BODY: Final = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which messages: from id `start` on, taken in within [since_ns, until_ns) on the wall clock, `limit` at most."""

    states: Collection[str]
    start: int = 0
    since_ns: int = 0
    until_ns: int = FOR_EVER_NS
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One message. `due_ns` is on the wall clock; `owner` is the number of the consumer that holds it, or 0."""

    sequence: int
    state: str
    attempts: int
    frame: bytes
    due_ns: int = 0
    deadline_ns: int = 0
    owner: int = 0

    @property
    def timestamp_ns(self) -> int:
        """When nsqd took it in."""
        return timestamp_of(self.frame)

    @property
    def body(self) -> bytes:
        """What was published."""
        return self.frame[_BODY:]


@dataclass(frozen=True, slots=True)
class Page:
    """What was found, and the id to go on from; None when there is no more."""

    messages: list[Seen]
    following: int | None


def peek(channel: Channel, question: Question) -> Page:
    """Messages of a channel. Raises `StorageError` when the log cannot be read."""
    candidates = merge(channel.stragglers.table.sequences_from(question.start), _in_log(channel, question))
    return _page(candidates, question, lambda sequence: look_at(channel, sequence))


def peek_log(log: ChunkQueue, question: Question) -> Page:
    """Everything that a topic's log still has, whichever channel is done with it."""
    start = max(question.start, log.first_seq, log.first_since(question.since_ns) if question.since_ns else 0)
    stop = log.ready_seq
    if question.until_ns < FOR_EVER_NS:
        stop = min(stop, log.first_since(question.until_ns))
    return _page(iter(range(start, stop)), question, lambda sequence: _stored(log, sequence))


def _page(candidates: Iterator[int], question: Question, look: Callable[[int], Seen | None]) -> Page:
    found: list[Seen] = []
    size_bytes = 0
    for looked_at, sequence in enumerate(candidates):
        if looked_at >= LOOKED_AT_MAX or len(found) >= question.limit or size_bytes >= PAGE_BYTES:
            return Page(found, sequence)
        one = look(sequence)
        if one is None or one.state not in question.states:
            continue
        if question.since_ns <= one.timestamp_ns < question.until_ns:
            found.append(one)
            size_bytes += len(one.frame)
    return Page(found, None)


def _in_log(channel: Channel, question: Question) -> Iterator[int]:
    """Sequences of the log that may be in one of the states asked for."""
    log = channel.log
    start = max(question.start, log.first_seq)
    stop = channel.visible_seq
    if RETAINED not in question.states:
        start = max(start, channel.window.floor)
        if READY not in question.states:
            stop = channel.cursor.sequence
            if HELD_BY_CONSUMER not in question.states:
                return iter(())
    if question.since_ns:
        start = max(start, log.first_since(question.since_ns))
    if question.until_ns < FOR_EVER_NS:
        stop = min(stop, log.first_since(question.until_ns))
    known = channel.stragglers
    window, cursor = channel.window, channel.cursor.sequence
    keeps_finished = RETAINED in question.states
    return (
        sequence
        for sequence in range(start, stop)
        if sequence not in known and (keeps_finished or sequence >= cursor or window.state_of(sequence) != FINISHED)
    )


def look_at(channel: Channel, sequence: int) -> Seen | None:
    """One message by its id, in whatever state; None when there is none, not even a finished one in the log."""
    if sequence in channel.stragglers:
        return _straggler(channel, sequence)
    log = channel.log
    if not log.first_seq <= sequence < channel.visible_seq:
        return None
    frame = log.record(sequence)
    if frame is None:
        return None
    if sequence >= channel.cursor.sequence:
        if frame[6] or is_dropped(channel, sequence):
            return _retained(sequence, frame)
        return Seen(sequence=sequence, state=READY, attempts=0, frame=frame)
    state = channel.window.state_of(sequence)
    if state == FINISHED:
        return _retained(sequence, frame)
    attempts = channel.window.attempts_of(sequence)
    if state != IN_FLIGHT:
        return Seen(sequence=sequence, state=READY, attempts=attempts, frame=frame)
    return Seen(
        sequence=sequence,
        state=HELD_BY_CONSUMER,
        attempts=attempts,
        frame=frame,
        owner=channel.window.owner_of(sequence),
        deadline_ns=_on_the_wall(channel, channel.window.deadline_of(sequence)),
    )


def _straggler(channel: Channel, sequence: int) -> Seen | None:
    stragglers = channel.stragglers
    row, frame = stragglers.table.get(sequence), stragglers.frame_of(sequence)
    if row is None or frame is None:
        return None  # what the disk has of it is spoilt
    held = stragglers.held.get(sequence)
    if held is not None:
        return Seen(
            sequence=sequence,
            state=HELD_BY_CONSUMER,
            attempts=row.attempts,
            frame=frame,
            owner=held.owner,
            deadline_ns=_on_the_wall(channel, held.deadline_ns),
        )
    is_deferred = stragglers.state_of(sequence) == WAITS
    return Seen(
        sequence=sequence,
        state=DEFERRED if is_deferred else READY,
        attempts=row.attempts,
        frame=frame,
        due_ns=_on_the_wall(channel, row.due_ns) if is_deferred else 0,
    )


def _retained(sequence: int, frame: bytes) -> Seen:
    return Seen(sequence=sequence, state=RETAINED, attempts=0, frame=undeferred(frame)[0])


def _stored(log: ChunkQueue, sequence: int) -> Seen | None:
    frame = log.record(sequence)
    if frame is None:
        return None
    plain, due_ns = undeferred(frame)
    return Seen(sequence=sequence, state=STORED, attempts=0, frame=plain, due_ns=due_ns)


def _on_the_wall(channel: Channel, monotonic_ns: int) -> int:
    return channel.stragglers.instants.wall_ns(monotonic_ns)
