"""Takes records that were published with a delay out of a channel's line, and into its stragglers.

`engine.channel` calls it when its topic shows more of the log and the log has deferred records there.
"""

from bisect import bisect_left
from typing import Final, Protocol

from millstream.engine.gaps import Line, is_dropped
from millstream.engine.stragglers import Stragglers
from millstream.protocol.record import undeferred

_AT_ONCE: Final = 256


class DeferringLine(Line, Protocol):
    """The part of a channel that is looked at and changed."""

    stragglers: Stragglers
    scanned: int
    is_changed: bool


def take_deferred(channel: DeferringLine, visible_seq: int) -> None:
    """Take out those below `visible_seq` that were not seen yet.

    Raises `StorageError` when one cannot be read: then the line ends in front of the few that it was read with.
    """
    deferred = channel.log.deferred
    at, stop = bisect_left(deferred, channel.scanned), bisect_left(deferred, visible_seq)
    while at < stop:
        # A few at a time: a topic without a channel may have had millions of them.
        part = deferred[at : min(at + _AT_ONCE, stop)]
        found: list[tuple[int, bytes, int]] = []
        may_be_here = channel.stragglers.table.last_sequence >= part[0]
        for sequence in part:
            if (may_be_here and sequence in channel.stragglers) or (channel.holes and is_dropped(channel, sequence)):
                continue
            stored = channel.log.record(sequence)
            if stored is not None:
                found.append((sequence, *undeferred(stored)))
        channel.stragglers.add_deferred(found)
        channel.scanned = channel.visible_seq = part[-1] + 1
        channel.is_changed = True
        at += len(part)
