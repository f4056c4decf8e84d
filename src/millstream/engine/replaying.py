"""Puts messages into one channel only: a span of its topic's log once more, or new ones that no other channel gets.

`nsqd.http_replay` asks for it. A span is kept as two numbers in the channel's journal, and `engine.broker` has it fed
in parts as time passes and the channel works off what waits: a replay of millions costs neither heap nor journal. What
is fed is a straggler (`engine.stragglers`): it has left the log, and is delivered like any message that waits for
another delivery.
"""

from collections.abc import Sequence
from typing import Final

from millstream.engine.channel import Channel
from millstream.engine.gaps import is_dropped
from millstream.engine.window import FINISHED
from millstream.protocol.chunks import ChunkQueue
from millstream.protocol.frames import MESSAGE, encode_frame
from millstream.protocol.message import Message, encode_message
from millstream.protocol.record import undeferred

FEED_BELOW: Final = 4_096
FEED_COUNT: Final = 4_096
FEED_BYTES: Final = 4 << 20
# Far from whatever ids the log may ever give out.
CLEAR_OF_THE_LOG: Final = 1 << 48


def replay(channel: Channel, start: int, end: int) -> int:
    """Have [start, end) of the log delivered once more, but for what is unfinished; of how many sequences at most.

    The next `save` makes it outlive the process. Raises `StorageError` when the log cannot be read.
    """
    start, end = max(start, channel.log.first_seq), min(end, channel.visible_seq)
    if start >= end:
        return 0
    channel.replays.append((start, end))
    channel.is_changed = True
    feed(channel)
    return end - start


def feed(channel: Channel) -> bool:
    """Queue the next messages of what is replayed, if few are waiting; whether there were any.

    Raises `StorageError` when the log cannot be read: the span stays as it is.
    """
    spans = channel.replays
    if not spans or len(channel.redelivery) >= FEED_BELOW:
        return False
    start, end = spans[0]
    found: list[tuple[int, bytes]] = []
    size_bytes = 0
    while start < end and len(found) < FEED_COUNT and size_bytes < FEED_BYTES:
        frame = channel.log.record(start)
        if frame is not None and not _comes_anyway(channel, start, frame):
            plain, _ = undeferred(frame)
            found.append((start, plain))
            size_bytes += len(plain)
        start += 1
    for sequence, frame in found:
        queue(channel, sequence, frame)
    if start < end:
        spans[0] = (start, end)
    else:
        del spans[0]
    channel.progress.replays(spans)
    channel.is_changed = True
    return True


def _comes_anyway(channel: Channel, sequence: int, frame: bytes) -> bool:
    """Whether a message is unfinished: still in line, waiting for its time or for another delivery, or held."""
    if sequence in channel.stragglers:
        return True
    if sequence < channel.cursor.sequence:
        return channel.window.state_of(sequence) != FINISHED
    # The cursor steps over what was published with a delay, and over what the topic dropped.
    return not frame[6] and not is_dropped(channel, sequence)


def left_to_replay(channel: Channel) -> int:
    """How many sequences of the log are still to be fed."""
    return sum(end - start for start, end in channel.replays)


def queue(channel: Channel, sequence: int, frame: bytes, attempts: int = 0) -> None:
    """Let one message wait for a delivery, first in line after those that wait for another one already."""
    channel.stragglers.add_queued(sequence, frame, attempts)
    channel.redelivery.append(sequence)
    channel.is_changed = True


def publish(channel: Channel, bodies: Sequence[bytes], first_id: int, timestamp_ns: int) -> None:
    """Queue new messages with the ids from `first_id` on, which `is_clear`. They are safe after the next save."""
    for number, body in enumerate(bodies):
        identity = b"%016x" % (first_id + number)
        message = encode_message(Message(identity, body, timestamp_ns, 1))
        queue(channel, first_id + number, encode_frame(MESSAGE, message))


def is_clear(channel: Channel, first_id: int, count: int) -> bool:
    """Whether no message has, or will have, one of these ids."""
    log: ChunkQueue = channel.log
    if first_id < log.next_seq + CLEAR_OF_THE_LOG and first_id + count > log.first_seq - CLEAR_OF_THE_LOG:
        return False
    return not any(first_id + number in channel.stragglers for number in range(count))
