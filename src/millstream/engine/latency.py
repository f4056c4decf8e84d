"""End-to-end latency of a channel, from publish to FIN, over a window of time; and what its oldest message is.

`engine.channel` tells of each FIN when the process was asked for percentiles; `nsqd.stats` and `nsqd.metrics` ask for
them. The instant of publish is in the record itself, so nothing is kept per message. Instants are in ns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import StorageError
from millstream.base.quantiles import Sketch, quantiles
from millstream.protocol import raw
from millstream.protocol.chunks import ChunkQueue

_TIMESTAMP_AT: Final = 8
_FIN_BYTES: Final = 21
_ID_AT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStats:
    """How many messages of the window were measured, and (fraction, ns) for each percentile that was asked for.

    `total_ns` and `total_count` are sums since the start.
    """

    count: int
    percentiles: tuple[tuple[float, int], ...]
    total_ns: int
    total_count: int


class Latencies:
    """Two sketches, each covering half of the window: at each half's end the older one is begun anew."""

    def __init__(self, clock: Clock, window_ns: int) -> None:
        self._clock = clock
        self._half_ns = max(1, window_ns // 2)
        self._current = Sketch()
        self._previous = Sketch()
        self._until_ns = clock.monotonic_ns() + self._half_ns
        self.total_ns = 0
        self.total_count = 0

    def finished_run(self, log: ChunkQueue, data: bytearray, start: int, stop: int) -> None:
        """The `FIN <id>` lines in data[start:stop] were carried out."""
        now_ns = self._clock.wall_ns()
        self._turn()
        while start < stop:
            self._add(now_ns, timestamp_of(log, raw.get_id(data, start + _ID_AT)))
            start += _FIN_BYTES

    def finished(self, log: ChunkQueue, sequence: int) -> None:
        """One message of the log was finished."""
        self._turn()
        self._add(self._clock.wall_ns(), timestamp_of(log, sequence))

    def finished_at(self, timestamp_ns: int) -> None:
        """One message outside the log was finished, which was published at this instant."""
        self._turn()
        self._add(self._clock.wall_ns(), timestamp_ns)

    def _add(self, now_ns: int, timestamp_ns: int | None) -> None:
        if timestamp_ns is None:
            return
        # The wall clock may have been set back meanwhile.
        latency_ns = max(0, now_ns - timestamp_ns)
        self._current.add(latency_ns)
        self.total_ns += latency_ns
        self.total_count += 1

    def _turn(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._until_ns:
            return
        halves = (now_ns - self._until_ns) // self._half_ns + 1
        self._until_ns += halves * self._half_ns
        self._previous, self._current = self._current, self._previous
        self._current.clear()
        if halves > 1:
            self._previous.clear()

    def sketches(self) -> tuple[Sketch, Sketch]:
        """Both halves as they are now."""
        self._turn()
        return self._current, self._previous


def merged(latencies: Iterable[Latencies], fractions: Sequence[float]) -> LatencyStats:
    """One figure for several channels, or for one."""
    found = list(latencies)
    sketches = [sketch for one in found for sketch in one.sketches()]
    return LatencyStats(
        count=sum(sketch.count for sketch in sketches),
        percentiles=tuple(zip(fractions, quantiles(sketches, fractions), strict=True)),
        total_ns=sum(one.total_ns for one in found),
        total_count=sum(one.total_count for one in found),
    )


def timestamp_of(log: ChunkQueue, sequence: int) -> int | None:
    """When a record was published; None when it is gone or cannot be read.

    Whoever finishes a message was sent it lately, so its record is nearly always in memory.
    """
    try:
        chunk = log.find(sequence)
    except StorageError:
        return None
    if chunk is None or chunk.base > sequence or chunk.view is None:
        return None
    return raw.get64(chunk.view, chunk.locate(sequence) + _TIMESTAMP_AT)
