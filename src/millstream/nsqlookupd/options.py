"""The options of nsqlookupd: NSQ's flags, and the limits that keep strangers from using the daemon up."""

from dataclasses import dataclass

from millstream.base.errors import OptionError
from millstream.base.log import LEVELS
from millstream.base.options import check, option


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupdOptions:
    """Everything that can be set; `base.options.parse` reads it from flags and from a TOML file."""

    config: str = option("", "path of a TOML file with these options", key="")
    verbose: bool = option(False, "has no effect; accepted because NSQ accepts it", key="")
    log_level: str = option("info", "write log events from this level on: debug, info, warn, error or fatal")
    log_prefix: str = option("[nsqlookupd] ", "what each line of the log starts with")

    tcp_address: str = option("0.0.0.0:4160", "host:port to listen on for nsqd")
    http_address: str = option("0.0.0.0:4161", "host:port to listen on for HTTP clients")
    broadcast_address: str = option("", "address that is told to each nsqd; empty: this host's name")
    http_auth_token_file: str = option(
        "", "file with the bearer tokens, one per line, that HTTP requests but /ping need one of; empty: none needed"
    )
    snapshot_path: str = option("", "file that keeps the registry over a restart; empty: it starts empty")

    inactive_producer_timeout_ms: int = option(
        300_000, "leave an nsqd out of answers when it has not pinged for this long", unit="ms", low=1
    )
    tombstone_lifetime_ms: int = option(
        45_000, "leave an nsqd out of lookups of a topic for this long after it was tombstoned", unit="ms", low=0
    )

    max_connections: int = option(4_096, "nsqd connected at once; further ones are closed", low=1)
    max_registrations: int = option(
        1_000_000, "topics, channels, and the nsqd that have each of them, counted together", low=1
    )
    max_lookup_waiters: int = option(
        4_096, "lookups that wait for a change at once; further ones are answered without waiting", low=0
    )
    max_line_size_bytes: int = option(4_096, "longest command line of an nsqd", unit="bytes", low=256, high=1 << 20)
    max_identify_size_bytes: int = option(
        65_536, "longest IDENTIFY body of an nsqd", unit="bytes", low=256, high=16 << 20
    )
    handshake_timeout_ms: int = option(
        10_000,
        "close a connection that has sent no whole command, or reads no replies, for this long",
        unit="ms",
        low=1,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.log_level.lower() not in LEVELS:
            raise OptionError(f"--log-level is {self.log_level!r}: use one of {', '.join(LEVELS)}")
