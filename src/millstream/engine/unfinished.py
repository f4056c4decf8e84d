"""One unfinished message of a channel, wherever it is kept: in the log and the window, or among the stragglers.

`engine.dooming`, `engine.shedding`, `engine.dead_letters` and `engine.redriving` look at messages one by one, which
nothing on the way of a delivery does; this is where they look.
"""

from typing import Protocol

from millstream.engine.log import Progress
from millstream.engine.sequence_queue import SequenceQueue
from millstream.engine.stragglers import Stragglers
from millstream.engine.window import FINISHED, Window
from millstream.protocol.chunks import ChunkQueue


class Keeping(Protocol):
    """The part of a channel that keeps what is unfinished."""

    log: ChunkQueue
    progress: Progress
    window: Window
    stragglers: Stragglers
    redelivery: SequenceQueue
    redriven: dict[int, int]
    is_changed: bool


def attempts_of(channel: Keeping, sequence: int) -> int:
    """How often an unfinished message was delivered."""
    row = channel.stragglers.table.get(sequence)
    return channel.window.attempts_of(sequence) if row is None else row.attempts


def frame_of(channel: Keeping, sequence: int) -> bytes | None:
    """A message as it is stored; None when it is nowhere any more. Raises `StorageError`."""
    if sequence in channel.stragglers:
        return channel.stragglers.frame_of(sequence)
    return channel.log.record(sequence)


def is_untried(channel: Keeping, sequence: int) -> bool:
    """Whether a message outside the log waits for its first delivery: it was deferred, or put back."""
    row = channel.stragglers.table.get(sequence)
    return row is not None and row.attempts == 0


def is_unfinished(channel: Keeping, sequence: int) -> bool:
    """Whether a channel was given a message, and is not done with it."""
    return sequence in channel.stragglers or channel.window.state_of(sequence) != FINISHED


def finish_queued(channel: Keeping, sequence: int) -> None:
    """A queued message that stands in no line any more is done with."""
    if sequence in channel.stragglers:
        channel.stragglers.finish(sequence)
    else:
        channel.window.drop(sequence)
        channel.window.advance()
    channel.is_changed = True


def put_back(channel: Keeping, sequence: int, frame: bytes, redriven: int) -> None:
    """A dead letter's message comes back: queued, and as if never delivered."""
    channel.stragglers.add_queued(sequence, frame, 0)
    channel.progress.redriven(sequence, redriven)
    channel.redriven[sequence] = redriven
    channel.redelivery.append(sequence)
    channel.is_changed = True
