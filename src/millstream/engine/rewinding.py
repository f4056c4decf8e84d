"""Sends a channel back in its topic's log: everything from there on is delivered to it once more.

`nsqd.http_replay` asks for it. What the channel has not finished of the time before keeps its place; what it holds of
the part that comes again is dealt anew, so a FIN that is under way for it fails, which is no error that closes a
connection.
"""

from itertools import takewhile

from millstream.base.errors import MillstreamError
from millstream.engine.channel import Channel
from millstream.engine.eviction import evict
from millstream.engine.journal import note_all
from millstream.engine.window import IN_FLIGHT as HELD


class NotBehind(MillstreamError):
    """The place is ahead of the channel: to skip messages is what emptying is for."""


def rewind(channel: Channel, sequence: int) -> int:
    """Go back to `sequence`, or to the oldest record that is still there; where the channel then stands.

    Raises `NotBehind`, and `StorageError` when the log cannot be read or the journal not be written; after the latter
    the channel stands where it was asked to, and a restart may find it where it stood before.
    """
    start = max(sequence, channel.log.first_seq)
    if start > channel.cursor.sequence:
        raise NotBehind(f"the channel stands at {channel.cursor.sequence:016x}, before {start:016x}")
    evict(channel, start)
    _let_go(channel, start)
    window = channel.window
    window.clear()
    window.jump(start)
    channel.cursor.move(start)
    channel.holes = _holes(channel, start)
    channel.scanned = start
    visible_seq, channel.visible_seq = channel.visible_seq, start
    channel.is_changed = True
    try:
        channel.see(visible_seq)
    finally:
        note_all(channel)
    channel.progress.flush()
    channel.progress.settle()
    return start


def _let_go(channel: Channel, start: int) -> None:
    """Whatever is held or waits of the part that comes again is nobody's now."""
    consumers = {consumer.number: consumer for consumer in channel.consumers}
    window, stragglers = channel.window, channel.stragglers
    owners = [
        window.owner_of(sequence)
        for sequence in window.unfinished_between(start, window.cursor, window.unfinished)
        if window.state_of(sequence) == HELD
    ]
    for sequence in list(takewhile(lambda found: found < channel.visible_seq, stragglers.table.sequences_from(start))):
        frame = channel.log.record(sequence)
        if frame is None or frame[6]:
            continue  # Gone from the log, or published with a delay: the cursor will not come to it.
        held = stragglers.held.get(sequence)
        if held is not None:
            owners.append(held.owner)
        stragglers.finish(sequence)
    for owner in owners:
        if owner in consumers:
            consumers[owner].in_flight -= 1
    again = [found for found in channel.redelivery if not start <= found < channel.visible_seq or found in stragglers]
    channel.redelivery.clear()
    channel.redelivery.extend(again)


def _holes(channel: Channel, start: int) -> list[tuple[int, int]]:
    """What lies before the channel and is no message: gaps that a start found in the log, and what it had to pass."""
    spans = sorted([*channel.holes, *channel.log.gaps])
    merged: list[tuple[int, int]] = []
    for low, high in spans:
        if high <= start:
            continue
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((max(low, start), high))
    return merged
