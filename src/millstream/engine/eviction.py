"""Moves what stays unfinished for long out of a channel's window, into its stragglers: so it never pins the log.

`engine.channel` calls it when it saves, when its window is full, and for a message that is requeued with a delay.
"""

from typing import Final, Protocol

from millstream.engine.stragglers import Stragglers
from millstream.engine.window import IN_FLIGHT, Window
from millstream.protocol.chunks import ChunkQueue

_SPAN: Final = 1 << 16
_LIMIT: Final = 4096


class Evicting(Protocol):
    """The part of a channel that is looked at and changed."""

    log: ChunkQueue
    stragglers: Stragglers
    window: Window
    is_changed: bool


def unpin(channel: Evicting) -> None:
    """Let the floor go on when few unfinished messages hold it far behind the cursor."""
    window = channel.window
    span = window.cursor - window.floor
    if span <= _SPAN and not channel.log.is_far(window.floor, window.cursor):
        return
    if window.unfinished * 8 < span:
        evict(channel, window.floor + span // 2)


def evict(channel: Evicting, end: int) -> None:
    """Move the unfinished messages below `end` to the stragglers, and the floor behind them."""
    while True:
        found = channel.window.unfinished_between(channel.window.floor, end, _LIMIT)
        for sequence in found:
            evict_one(channel, sequence)
        channel.window.advance()
        if len(found) < _LIMIT:
            return


def evict_one(channel: Evicting, sequence: int) -> None:
    """Move one unfinished message to the stragglers as it stands, queued or in flight."""
    window = channel.window
    stored = channel.log.record(sequence)
    if stored is not None:
        attempts = window.attempts_of(sequence)
        if window.state_of(sequence) == IN_FLIGHT:
            owner, deadline_ns, since_ns = (
                window.owner_of(sequence),
                window.deadline_of(sequence),
                window.since_of(sequence),
            )
            channel.stragglers.add_held(sequence, stored, attempts, owner, deadline_ns, since_ns)
        else:
            channel.stragglers.add_queued(sequence, stored, attempts)
    window.drop(sequence)
    channel.is_changed = True
