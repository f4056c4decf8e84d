"""What a Reader counts: `Counters` on the way, a frozen `ReaderStats` for whoever asks, and its way to statsd."""

from dataclasses import asdict, dataclass, fields
from typing import Final

from millstream.queuereader.statsd import StatsdClient

_GAUGES: Final = frozenset({"in_hand"})


@dataclass(slots=True)
class Counters:
    """The running counters of one Reader; changed on the loop only."""

    received: int = 0
    handled: int = 0
    finished: int = 0
    requeued: int = 0
    rejected: int = 0
    gave_up: int = 0
    failed: int = 0
    timed_out: int = 0
    touched: int = 0
    published: int = 0
    publish_failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStats:
    """A Reader at one moment; counts are since it was made, in messages.

    `handled` were given to the handler; each message received ends as one of `finished`, `requeued`, `rejected` (not
    valid, or not JSON) and `gave_up`. `failed` handlers raised, `timed_out` ones took longer than `handler_timeout_ms`.
    `published` and `publish_failed` count events. `in_hand` is what is not answered yet.
    """

    received: int
    handled: int
    finished: int
    requeued: int
    rejected: int
    gave_up: int
    failed: int
    timed_out: int
    touched: int
    published: int
    publish_failed: int
    in_hand: int


def snapshot(counters: Counters, *, in_hand: int) -> ReaderStats:
    """The counters as they are now."""
    return ReaderStats(**asdict(counters), in_hand=in_hand)


class StatsdReport:
    """Sends what changed since the last time as `<prefix>.<counter>`."""

    def __init__(self, client: StatsdClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._sent: dict[str, int] = {}

    def send(self, stats: ReaderStats) -> None:
        """To be called now and then, and once at the end."""
        if not self._client.is_enabled:
            return
        for field in fields(stats):
            value = getattr(stats, field.name)
            key = f"{self._prefix}.{field.name}"
            if field.name in _GAUGES:
                self._client.gauge(key, value)
            elif value != self._sent.get(key, 0):
                self._client.incr(key, value - self._sent.get(key, 0))
                self._sent[key] = value
