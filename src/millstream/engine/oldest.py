"""When the oldest waiting message of a topic or a channel was published, read from the log when somebody asks.

`nsqd.metrics` asks at each scrape. A record that is no longer in memory costs a read of the disk, so what was read is
remembered, and the reads of one scrape are limited. Instants are in ns on the wall clock.
"""

from typing import Final
from weakref import WeakKeyDictionary

from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.gaps import stop_of_gap
from millstream.engine.latency import timestamp_of
from millstream.engine.stragglers import Stragglers
from millstream.engine.topic import Topic
from millstream.protocol import raw
from millstream.protocol.chunks import ChunkQueue

READS_MAX: Final = 64
_TIMESTAMP_AT: Final = 8


class OldestMessages:
    """Answers for one round at a time: call `begin`, then ask for as many as there are."""

    def __init__(self, reads_max: int = READS_MAX) -> None:
        self._reads_max = reads_max
        self._reads_left = reads_max
        self._known: WeakKeyDictionary[object, tuple[int, int]] = WeakKeyDictionary()

    def begin(self) -> None:
        """Another round of questions."""
        self._reads_left = self._reads_max

    def of_topic(self, topic: Topic) -> int | None:
        """Of what no channel was given yet; 0 when there is nothing, None when it cannot be known cheaply."""
        if topic.depth <= 0:
            return 0
        return self._timestamp(topic, topic.log, topic.moved_seq)

    def of_channel(self, channel: Channel) -> int | None:
        """Of what waits for a delivery; 0 when there is nothing, None when it cannot be known cheaply."""
        if channel.depth <= 0:
            return 0
        found: list[int | None] = []
        if channel.redelivery.count:
            found.append(self._requeued(channel, channel.redelivery.first()))
        has_gaps = bool(channel.holes or channel.log.deferred)
        sequence = stop_of_gap(channel) if has_gaps else channel.cursor.sequence
        if sequence < channel.visible_seq:
            found.append(self._timestamp(channel, channel.log, sequence))
        return min((timestamp for timestamp in found if timestamp is not None), default=None)

    def _requeued(self, channel: Channel, sequence: int) -> int | None:
        if sequence in channel.stragglers:
            return self._outside(channel.stragglers, sequence)
        return timestamp_of(channel.log, sequence) if _is_hot(channel.log, sequence) else None

    def _outside(self, stragglers: Stragglers, sequence: int) -> int | None:
        known = self._known.get(stragglers)
        if known is not None and known[0] == sequence:
            return known[1]
        if self._reads_left <= 0:
            return None
        self._reads_left -= 1
        try:
            frame = stragglers.frame_of(sequence)
        except StorageError:
            return None
        if frame is None:
            return None
        timestamp_ns = raw.get64(frame, _TIMESTAMP_AT)
        self._known[stragglers] = (sequence, timestamp_ns)
        return timestamp_ns

    def _timestamp(self, line: object, log: ChunkQueue, sequence: int) -> int | None:
        known = self._known.get(line)
        if known is not None and known[0] == sequence:
            return known[1]
        if not _is_hot(log, sequence):
            if self._reads_left <= 0:
                return None
            self._reads_left -= 1
        timestamp_ns = timestamp_of(log, sequence)
        if timestamp_ns is not None:
            self._known[line] = (sequence, timestamp_ns)
        return timestamp_ns


def _is_hot(log: ChunkQueue, sequence: int) -> bool:
    return bool(log.chunks) and sequence >= log.chunks[0].base
