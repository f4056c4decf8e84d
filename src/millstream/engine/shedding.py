"""Takes messages that wait out of a channel's line because it is too long, too large or too old.

`engine.enforcement` says how many; they are dropped, or doomed when they are to go to the dead-letter topic. What is in
flight or deferred is never touched. `engine.redriving` finishes messages in the middle of the line with the same means.
"""

from typing import Protocol

from millstream.engine.dooming import Doom
from millstream.engine.eviction import evict
from millstream.engine.gaps import Line, add_hole, gaps_between, is_dropped, runs, stop_of_count
from millstream.engine.unfinished import Keeping, finish_queued, is_untried


class Shedding(Line, Keeping, Protocol):
    """The part of a channel that is looked at and changed."""

    doomed: dict[int, Doom]
    dropped_count: int

    def skip_to(self, sequence: int) -> None:
        """Count everything before `sequence` that was never delivered as finished."""
        ...


def shed_first(channel: Shedding, count: int, doom: Doom | None) -> None:
    """Take `count` messages out of the line, the first in it first. Without a doom they are dropped."""
    while count > 0 and channel.redelivery:
        _take_queued(channel, channel.redelivery.popleft(), doom)
        count -= 1
    if count > 0:
        _take_fresh(channel, stop_of_count(channel, count), doom, count)


def shed_older(channel: Shedding, sequence: int, doom: Doom | None, count_max: int) -> None:
    """Take up to `count_max` of those out of the line that were published before `sequence`.

    What waits for its first delivery although it is old stays: it was published with a delay, or put back.
    """
    old: list[int] = []
    if channel.redelivery:
        line = list(channel.redelivery)
        old = [found for found in line if found < sequence and not is_untried(channel, found)][:count_max]
    if old:
        gone = set(old)
        channel.redelivery.clear()
        channel.redelivery.extend(found for found in line if found not in gone)
    for found in old:
        _take_queued(channel, found, doom)
    if channel.cursor.sequence < sequence:
        _take_fresh(channel, min(sequence, channel.visible_seq), doom, count_max - len(old))


def _take_queued(channel: Shedding, sequence: int, doom: Doom | None) -> None:
    if doom is None:
        finish_queued(channel, sequence)
        channel.dropped_count += 1
    else:
        channel.doomed[sequence] = doom
    channel.is_changed = True


def _take_fresh(channel: Shedding, end: int, doom: Doom | None, count_max: int) -> None:
    start = channel.cursor.sequence
    if doom is None:
        count = max(0, end - start) - gaps_between(channel, start, end)
        channel.skip_to(end)
        channel.dropped_count += count
    else:
        for low, high in list(runs(channel, end)):
            wanted = min(high - low, count_max)
            if wanted <= 0 or _set_aside(channel, low, wanted, doom) < wanted:
                break
            count_max -= wanted
    channel.is_changed = True


def _set_aside(channel: Shedding, start: int, count: int, doom: Doom) -> int:
    """Doom messages that were never delivered: they get slots in the window; for how many there was room."""
    channel.skip_to(start)
    window = channel.window
    if window.room(count) < count:
        evict(channel, window.cursor)
    count = window.room(count)
    window.set_aside(count)
    channel.cursor.move(start + count)
    for sequence in range(start, start + count):
        channel.doomed[sequence] = doom
        channel.progress.attempts(sequence, 0)
    return count


def finish_waiting(channel: Shedding, sequences: list[int]) -> int:
    """Finish messages wherever they wait in the line; how many there were. What does not wait is left alone."""
    wanted = set(sequences)
    queued = [sequence for sequence in channel.redelivery if sequence in wanted]
    if queued:
        line = [sequence for sequence in channel.redelivery if sequence not in wanted]
        channel.redelivery.clear()
        channel.redelivery.extend(line)
        for sequence in queued:
            finish_queued(channel, sequence)
    fresh = sorted(sequence for sequence in wanted if waits_fresh(channel, sequence))
    at = 0
    while at < len(fresh):
        stop = at + 1
        while stop < len(fresh) and fresh[stop] == fresh[stop - 1] + 1:
            stop += 1
        add_hole(channel, fresh[at], fresh[stop - 1] + 1)
        channel.progress.finished(fresh[at], fresh[stop - 1] + 1)
        at = stop
    if fresh:
        channel.is_changed = True
    return len(queued) + len(fresh)


def waits_fresh(channel: Shedding, sequence: int) -> bool:
    """Whether a message waits for its first delivery, between the cursor and the line's end."""
    if not channel.cursor.sequence <= sequence < channel.visible_seq or is_dropped(channel, sequence):
        return False
    return gaps_between(channel, sequence, sequence + 1) == 0
