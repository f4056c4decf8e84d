"""What lies in a channel's line and is none to deliver: deferred records, and spans that were dropped or taken out.

The cursor of `engine.channel` steps over them when it gets there; until then they must count neither as depth nor as
something that a deferred message is taken from. Spans are [start, end), sorted, and do not touch.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, Protocol

from millstream.protocol.chunks import ChunkQueue, Cursor

_ENDLESS: Final = 1 << 63


class Line(Protocol):
    """The part of a channel that is looked at."""

    log: ChunkQueue
    cursor: Cursor
    visible_seq: int
    holes: list[tuple[int, int]]


def passed_by(line: Line) -> int:
    """How many sequences between the cursor and the line's end are none to deliver."""
    return gaps_between(line, line.cursor.sequence, line.visible_seq)


def gaps_between(line: Line, start: int, end: int) -> int:
    """How many of the sequences of [start, end) are none to deliver."""
    deferred = line.log.deferred
    count = _between(deferred, start, end) if deferred else 0
    holes = line.holes
    at = bisect_right(holes, start, key=_end)
    while at < len(holes) and holes[at][0] < end:
        low, high = max(holes[at][0], start), min(holes[at][1], end)
        count += high - low - (_between(deferred, low, high) if deferred else 0)
        at += 1
    return count


def _between(deferred: "array[int]", start: int, end: int) -> int:
    return bisect_left(deferred, end) - bisect_left(deferred, start)


def is_dropped(line: Line, sequence: int) -> bool:
    """Whether a record is none of the line's any more, before it was delivered."""
    at = bisect_right(line.holes, (sequence, _ENDLESS)) - 1
    return at >= 0 and sequence < line.holes[at][1]


def add_hole(line: Line, start: int, end: int) -> None:
    """Remember a span, wherever it lies; what touches another one becomes one with it."""
    if start >= end:
        return
    holes = line.holes
    first = bisect_left(holes, start, key=_end)
    last = bisect_right(holes, (end, _ENDLESS))
    if first < last:
        start, end = min(start, holes[first][0]), max(end, holes[last - 1][1])
    holes[first:last] = [(start, end)]


def _end(hole: tuple[int, int]) -> int:
    return hole[1]


def stop_of_gap(line: Line) -> int:
    """Where the gap ends that the cursor stands in front of; the cursor's own place when it stands before a message."""
    return _stop_of_gap(line, line.cursor.sequence)


def _stop_of_gap(line: Line, sequence: int) -> int:
    deferred = line.log.deferred
    holes = line.holes
    while sequence < line.visible_seq:
        at = bisect_left(deferred, sequence)
        if at < len(deferred) and deferred[at] == sequence:
            while at < len(deferred) and deferred[at] == sequence:
                at += 1
                sequence += 1
            continue
        at = bisect_right(holes, (sequence, _ENDLESS)) - 1
        if at < 0 or sequence >= holes[at][1]:
            break
        sequence = holes[at][1]
    return min(sequence, line.visible_seq)


def runs(line: Line, end: int) -> Iterator[tuple[int, int]]:
    """The spans of messages from the cursor up to `end`, in order. The line must not change meanwhile."""
    deferred = line.log.deferred
    holes = line.holes
    end = min(end, line.visible_seq)
    start = stop_of_gap(line)
    while start < end:
        stop = end
        at = bisect_left(deferred, start)
        if at < len(deferred):
            stop = min(stop, deferred[at])
        at = bisect_left(holes, (start, start))
        if at < len(holes):
            stop = min(stop, holes[at][0])
        yield start, stop
        start = _stop_of_gap(line, stop)


def stop_of_count(line: Line, count: int) -> int:
    """The sequence behind the first `count` messages from the cursor on, or the line's end when there are fewer."""
    if not line.holes and not line.log.deferred:
        return min(line.cursor.sequence + count, line.visible_seq)
    for start, stop in runs(line, line.visible_seq):
        if stop - start >= count:
            return start + count
        count -= stop - start
    return line.visible_seq
