"""What readers and writers count, and the frozen records that `stats()` gives to users."""

from dataclasses import dataclass


@dataclass(slots=True)
class ReaderCounters:
    """The running counters of one reader; its parts add to them."""

    received: int = 0
    finished: int = 0
    requeued: int = 0
    touched: int = 0
    gave_up: int = 0
    late: int = 0
    refused: int = 0
    connects: int = 0
    connect_failures: int = 0
    held: int = 0
    dropped: int = 0
    heartbeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStats:
    """One connection of a reader."""

    nsqd_address: str
    rdy: int
    in_flight: int
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStats:
    """A reader at one moment; counts are since it was made.

    `late` counts answers to messages of a connection that was lost, `refused` those that nsqd refused because the
    message had timed out, `held` how often delivery was stopped because too much was unread. `unread` is what was
    received and not yet taken by the user, `dropped` what nobody had taken when its connection was lost.
    """

    connections: tuple[SubscriptionStats, ...]
    max_in_flight: int
    unread: int
    unread_bytes: int
    received: int
    finished: int
    requeued: int
    touched: int
    gave_up: int
    late: int
    refused: int
    held: int
    dropped: int
    heartbeats: int
    connects: int
    connect_failures: int
    lookups: int
    lookup_failures: int
    backoff_counter: int
    is_paused: bool
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStats:
    """A writer at one moment; counts are since it was made, in publishes (a `publish_many` is one)."""

    nsqd_address: str
    pending: int
    pending_bytes: int
    published: int
    failed: int
    resent: int
    heartbeats: int
    connects: int
    connect_failures: int
    last_error: str
