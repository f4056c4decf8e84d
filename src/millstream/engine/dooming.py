"""Takes messages that were delivered often enough out of a channel's line: they are to go to its dead-letter topic.

`engine.channel` asks when a message would wait for another delivery, and `engine.shedding` when a limit is passed.
What is doomed is neither dealt nor finished: `engine.dead_letters` writes it where it belongs, and finishes it then.
"""

from typing import Final, Protocol

from millstream.base.clock import Clock
from millstream.engine.consumer import Consumer
from millstream.engine.unfinished import Keeping, attempts_of

REQUEUE: Final = "requeue"
TIMEOUT: Final = "timeout"
DISCONNECT: Final = "disconnect"
MAX_ATTEMPTS: Final = "max_attempts"


class Doom:
    """Why a message goes: the limit that it is beyond, what happened last, when (wall clock), and who had it."""

    __slots__ = ("client", "event", "reason", "time_ns")

    def __init__(self, reason: str, time_ns: int, event: str = "", client: object = None) -> None:
        self.reason = reason
        self.time_ns = time_ns
        self.event = event
        self.client = client


class Judged(Keeping, Protocol):
    """The part of a channel that is looked at and changed."""

    clock: Clock
    max_attempts: int
    doomed: dict[int, Doom]


def doom_spent(channel: Judged, sequence: int, event: str, consumer: Consumer | None) -> bool:
    """Doom a queued message when it may not be delivered again; whether that was so."""
    if attempts_of(channel, sequence) < channel.max_attempts:
        return False
    client = None if consumer is None else consumer.client
    channel.doomed[sequence] = Doom(MAX_ATTEMPTS, channel.clock.wall_ns(), event, client)
    channel.is_changed = True
    return True


def unspent(channel: Judged, sequences: list[int], event: str, consumer: Consumer | None) -> list[int]:
    """Those of some queued messages that may be delivered again; the others are doomed."""
    return [sequence for sequence in sequences if not doom_spent(channel, sequence, event, consumer)]


def judge_line(channel: Judged) -> None:
    """Another policy holds: doom what has used up its attempts, and give everybody else their place in the line."""
    doomed = dict(channel.doomed)
    line = [*doomed, *channel.redelivery]
    channel.doomed.clear()
    channel.redelivery.clear()
    for sequence in line:
        if not channel.max_attempts or not doom_spent(channel, sequence, "", None):
            channel.redelivery.append(sequence)
        elif sequence in doomed and doomed[sequence].reason == MAX_ATTEMPTS:
            channel.doomed[sequence] = doomed[sequence]
