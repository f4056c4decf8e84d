"""Options of readers and writers: defaults, units, bounds and help, with the names and bounds of NSQ's clients.

Users build these; command-line tools build them from flags with `base.options`. A value out of bounds raises
OptionError when the object is built.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from millstream.base.errors import OptionError
from millstream.base.options import check, option
from millstream.client.message import Message

_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60 * _SECOND_MS
_HOUR_MS: Final = 60 * _MINUTE_MS
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """What every connection to an nsqd needs to know."""

    connect_timeout_ms: int = option(
        1_000, "give up dialling, and resolving the name, after this", unit="ms", low=1, high=5 * _MINUTE_MS
    )
    handshake_timeout_ms: int = option(
        5_000, "give up on IDENTIFY and AUTH after this", unit="ms", low=1, high=5 * _MINUTE_MS
    )
    read_timeout_ms: int = option(
        60_000, "drop a connection that was silent this long", unit="ms", low=100, high=5 * _MINUTE_MS
    )
    write_timeout_ms: int = option(
        5_000, "drop a connection that takes no bytes for this long", unit="ms", low=100, high=5 * _MINUTE_MS
    )
    heartbeat_interval_ms: int = option(
        30_000, "ask nsqd for a heartbeat this often", unit="ms", low=1_000, high=5 * _MINUTE_MS
    )
    reconnect_delay_ms: int = option(
        500, "first delay before dialling a lost address again; doubles", unit="ms", low=1, high=5 * _MINUTE_MS
    )
    reconnect_delay_max_ms: int = option(60_000, "longest such delay", unit="ms", low=1, high=_HOUR_MS)
    output_bytes_max: int = option(
        64 * _MIB, "drop a connection with more than this unsent", unit="bytes", low=1 << 16, high=1 << 34
    )
    frame_bytes_max: int = option(
        64 * _MIB, "drop a connection that sends a larger frame", unit="bytes", low=1 << 10, high=1 << 31
    )
    client_id: str = option("", "name of this client; the host's first label when empty")
    hostname: str = option("", "name of this host; the host's own when empty")
    user_agent: str = option("", "name of the program; millstream and its version when empty")
    auth_secret: str = option("", "secret for nsqd that require AUTH")

    def __post_init__(self) -> None:
        """Raise OptionError when a value is out of bounds, or values contradict each other."""
        check(self)
        if self.read_timeout_ms < self.heartbeat_interval_ms:
            raise OptionError(
                f"read_timeout_ms is {self.read_timeout_ms}, below heartbeat_interval_ms"
                f" ({self.heartbeat_interval_ms}): an idle connection would be dropped between two heartbeats"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderOptions(ConnectionOptions):
    """How a Reader behaves. `gave_up` gets each message that exceeded `max_attempts`, before it is finished."""

    max_in_flight: int = option(1, "unanswered messages at most, over all connections", low=0, high=1_000_000)
    max_attempts: int = option(5, "finish unhandled what was delivered more often; 0 = never", low=0, high=65_535)
    default_requeue_delay_ms: int = option(
        90_000, "requeue for this long, times attempts", unit="ms", low=0, high=_HOUR_MS
    )
    max_requeue_delay_ms: int = option(900_000, "longest such delay", unit="ms", low=0, high=_HOUR_MS)
    backoff_strategy: str = option(
        "exponential", "how pauses grow with failures in a row", choices=("exponential", "full_jitter")
    )
    backoff_multiplier_ms: int = option(1_000, "unit of the pauses", unit="ms", low=0, high=_HOUR_MS)
    max_backoff_duration_ms: int = option(120_000, "longest pause; 0 = no backoff", unit="ms", low=0, high=_HOUR_MS)
    lookupd_poll_interval_ms: int = option(
        60_000, "ask nsqlookupd for nsqd this often", unit="ms", low=10, high=5 * _MINUTE_MS
    )
    lookupd_poll_jitter: float = option(0.3, "spread the first poll over this part of the interval", low=0, high=1)
    lookupd_poll_timeout_ms: int = option(5_000, "give up on one poll after this", unit="ms", low=1, high=_HOUR_MS)
    low_rdy_idle_timeout_ms: int = option(
        10_000, "take scarce RDY from a connection without messages for this long", unit="ms", low=1_000, high=300_000
    )
    low_rdy_timeout_ms: int = option(
        30_000, "take scarce RDY from a connection that had it for this long", unit="ms", low=1_000, high=300_000
    )
    rdy_redistribute_interval_ms: int = option(5_000, "share RDY anew this often", unit="ms", low=1, high=5_000)
    msg_timeout_ms: int = option(
        0, "answer within this, or nsqd requeues; 0 = nsqd's own", unit="ms", low=0, high=24 * _HOUR_MS
    )
    sample_rate: int = option(0, "take about this percentage of messages; 0 = all", low=0, high=99)
    output_buffer_size: int = option(
        16_384, "nsqd collects this much before it sends; -1 = nothing", unit="bytes", low=-1, high=1 << 30
    )
    output_buffer_timeout_ms: int = option(
        250, "nsqd sends what it collected after this; -1 = never", unit="ms", low=-1, high=_MINUTE_MS
    )
    unread_bytes_max: int = option(
        64 * _MIB, "RDY 0 while more than this was received and not taken", unit="bytes", low=1, high=1 << 34
    )
    connections_max: int = option(1_000, "nsqd connected at most", low=1, high=100_000)
    close_timeout_ms: int = option(30_000, "wait this long for answers when closing", unit="ms", low=0, high=_HOUR_MS)
    gave_up: Callable[[Message], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterOptions(ConnectionOptions):
    """How a Writer behaves."""

    publish_timeout_ms: int = option(
        10_000, "a publish fails when unconfirmed for this long", unit="ms", low=1, high=_HOUR_MS
    )
    response_timeout_ms: int = option(
        5_000, "drop an nsqd that leaves a publish unanswered this long", unit="ms", low=1, high=_HOUR_MS
    )
    publish_attempts_max: int = option(
        5, "a publish fails when as many connections were lost over it", low=1, high=1_000
    )
    pending_max: int = option(20_000, "publishes unconfirmed at most; more wait", low=1, high=10_000_000)
    pending_bytes_max: int = option(
        32 * _MIB, "bytes unconfirmed at most; more wait", unit="bytes", low=1 << 10, high=1 << 34
    )
    preferred_retry_ms: int = option(
        15_000, "try the first address again this often while using another", unit="ms", low=10, high=_HOUR_MS
    )
    close_timeout_ms: int = option(10_000, "wait this long for answers when closing", unit="ms", low=0, high=_HOUR_MS)
