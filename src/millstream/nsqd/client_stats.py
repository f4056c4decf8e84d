"""What is known of one client, as a frozen record that `/stats` and others read."""

from collections.abc import Mapping
from dataclasses import dataclass

from millstream.net.tls import TlsFacts
from millstream.nsqd.auth import Authorizations


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats:
    """Counters are totals since the connection was made; `message_counts` is what it published, by topic."""

    client_id: str
    hostname: str
    remote_address: str
    state: int
    ready_count: int
    in_flight_count: int
    message_count: int
    finish_count: int
    requeue_count: int
    connect_ts: int
    sample_rate: int
    user_agent: str
    topology_zone: str
    topology_region: str
    message_counts: Mapping[str, int]
    deflate: bool = False
    snappy: bool = False
    tls: TlsFacts | None = None
    granted: Authorizations | None = None
