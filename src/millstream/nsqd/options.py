"""The options of nsqd: NSQ's flags as far as they are offered, and our own, which are off or harmless by default."""

from dataclasses import dataclass

from millstream.base.errors import OptionError
from millstream.base.log import LEVELS
from millstream.base.options import check, option
from millstream.base.units import parse_address
from millstream.engine.policies import PolicyEntry
from millstream.protocol.identify import ServerFeatures

DURABILITIES = ("memory", "log", "fsync")
TOPOLOGY_AWARE = "topology-aware-consumption"
AUTO_CREATE = ("all", "declared")
TLS_REQUIRED = ("false", "true", "tcp-https", "0", "1", "f", "t")
TLS_VERSIONS = ("tls1.0", "tls1.1", "tls1.2", "tls1.3", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """Everything that can be set; `base.options.parse` reads it from flags and from a TOML file."""

    config: str = option("", "path of a TOML file with these options", key="")
    verbose: bool = option(False, "has no effect; accepted because NSQ accepts it", key="")
    worker_id: bool = option(False, "has no effect; use --node-id", key="")
    log_level: str = option("info", "write log events from this level on: debug, info, warn, error or fatal")
    log_prefix: str = option("[nsqd] ", "what each line of the log starts with")

    tcp_address: str = option("0.0.0.0:4150", "host:port, or path of a unix socket, to listen on for TCP clients")
    http_address: str = option(
        "0.0.0.0:4151", "host:port, or path of a unix socket, to listen on for HTTP; empty: no HTTP"
    )
    https_address: str = option(
        "0.0.0.0:4152", "host:port, or path of a unix socket, to listen on for HTTPS when there is a certificate"
    )
    http_auth_token_file: str = option(
        "",
        "file with the bearer tokens, one per line, that HTTP and HTTPS requests but /ping need one of; empty: none"
        " needed",
    )
    broadcast_address: str = option("", "address announced to nsqlookupd; empty: this host's name")
    broadcast_tcp_port: int = option(0, "TCP port announced to nsqlookupd; 0: the listening one", low=0, high=65_535)
    broadcast_http_port: int = option(0, "HTTP port announced to nsqlookupd; 0: the listening one", low=0, high=65_535)
    lookupd_tcp_address: tuple[str, ...] = option(
        (), "host:port of an nsqlookupd, may be repeated", key="nsqlookupd_tcp_addresses"
    )
    lookupd_http_auth_token_file: str = option(
        "", "file with the bearer token that nsqlookupd's HTTP API is asked with; empty: it is asked without one"
    )
    http_client_connect_timeout_ms: int = option(
        2_000, "longest wait for an HTTP connection to nsqlookupd", unit="ms", low=1
    )
    http_client_request_timeout_ms: int = option(
        5_000, "longest wait for an HTTP answer of nsqlookupd", unit="ms", low=1
    )
    node_id: int = option(-1, "has no effect: ids are unique without it", low=0, high=1023, key="id")

    data_path: str = option("", "directory of the logs and the metadata file; empty: the current one")
    durability: str = option(
        "log",
        "what OK means: memory (in the process), log (survives kill -9) or fsync (survives power loss)",
        choices=DURABILITIES,
    )
    mem_queue_size: int = option(
        10_000, "messages of a topic kept in memory beside the log; more never make the process grow", low=0
    )
    max_bytes_per_file: int = option(64 << 20, "bytes of a log's segment", unit="bytes", low=16 << 10, high=1 << 31)
    disk_warn_free: int = option(
        256 << 20,
        "warn when less of the data path's disk is free, on a small one less than a sixteenth of it; 0: never",
        unit="bytes",
        low=0,
    )
    disk_min_free: int = option(
        16 << 20,
        "take no more messages when less of the data path's disk is free, on a small one less than a thirty-second of"
        " it; 0: publish until it is full",
        unit="bytes",
        low=0,
    )
    policy: tuple[PolicyEntry, ...] = option(
        (), "limits, retention and dead letters of topics and channels by their names, one table each: see limits"
    )
    sync_every: int = option(2_500, "has no effect: see --durability", low=1)
    sync_timeout_ms: int = option(2_000, "has no effect: see --durability", unit="ms", low=1)
    queue_scan_selection_count: int = option(20, "has no effect: every channel is looked at in time", low=1)
    queue_scan_worker_pool_max: int = option(4, "has no effect: there are no workers", low=1)

    msg_timeout_ms: int = option(60_000, "requeue a message that was not answered in this time", unit="ms", low=1)
    max_msg_timeout_ms: int = option(900_000, "longest time a message may be held with TOUCH", unit="ms", low=1)
    max_msg_size: int = option(1 << 20, "largest message", unit="bytes", low=1, high=1 << 30)
    max_body_size: int = option(5 << 20, "largest command body", unit="bytes", low=1, high=1 << 30)
    max_req_timeout_ms: int = option(
        3_600_000,
        "longest delay of REQ and DPUB",
        unit="ms",
        low=0,
        high=876_000 * 3_600_000,
    )
    max_rdy_count: int = option(2_500, "highest RDY of a client", low=1, high=1 << 31)
    max_heartbeat_interval_ms: int = option(60_000, "longest heartbeat interval of a client", unit="ms", low=1_000)
    max_output_buffer_size: int = option(64 << 10, "largest output buffer a client may ask for", unit="bytes", low=64)
    max_output_buffer_timeout_ms: int = option(
        30_000, "longest output buffer timeout a client may ask for", unit="ms", low=1
    )
    min_output_buffer_timeout_ms: int = option(
        25, "shortest output buffer timeout a client may ask for", unit="ms", low=1
    )
    output_buffer_timeout_ms: int = option(250, "output buffer timeout of a client that asks for none", unit="ms")
    max_channel_consumers: int = option(0, "consumers of one channel on this nsqd; 0: no limit", low=0)
    max_connections: int = option(100_000, "TCP clients at once; further ones are closed", low=1)
    max_connections_per_address: int = option(
        0, "connections of one address at once, TCP and HTTP together; 0: no limit", low=0
    )
    max_connection_rate: int = option(
        0, "new connections of one address in a second, TCP and HTTP together; 0: no limit", low=0
    )
    enable_experiment: tuple[str, ...] = option(
        (),
        "an experiment to take part in, may be repeated: topology-aware-consumption gives messages to consumers in"
        " nsqd's own zone first, then to those in its region, then to others",
        key="enable_experiment",
    )
    topology_region: str = option(
        "", "the region that this nsqd is in: told to nsqlookupd, and compared with that of consumers"
    )
    topology_zone: str = option(
        "", "the zone that this nsqd is in: told to nsqlookupd, and compared with that of consumers"
    )
    auto_create: str = option(
        "all",
        "what clients may create by naming it: all, or declared (nothing: topics and channels are created over HTTP)",
        choices=AUTO_CREATE,
    )
    handshake_timeout_ms: int = option(
        10_000, "close a connection that has not sent its four bytes of magic in this time", unit="ms", low=1
    )

    auth_http_address: tuple[str, ...] = option(
        (), "host:port or URL of an auth server, may be repeated; clients must AUTH then", key="auth_http_addresses"
    )
    auth_http_request_method: str = option("get", "how the auth server is asked", choices=("get", "post"))

    tls_cert: str = option("", "path of the certificate, PEM; with it clients may ask for TLS, and there is HTTPS")
    tls_key: str = option("", "path of the certificate's private key, PEM, without a password")
    tls_client_auth_policy: str = option(
        "",
        "what TLS clients must have: require (a certificate, whoever issued it) or require-verify (one issued by"
        " --tls-root-ca-file); anything but empty makes --tls-required true",
    )
    tls_required: str = option(
        "false",
        "true: TCP clients must ask for TLS and HTTP is refused; tcp-https: HTTP is not",
        choices=TLS_REQUIRED,
        bare="true",
    )
    tls_root_ca_file: str = option("", "path of the CAs that issue clients' certificates, PEM; empty: the system's")
    tls_min_version: str = option(
        "tls1.0", "lowest version of TLS that is spoken: tls1.0, tls1.1, tls1.2 or tls1.3", choices=TLS_VERSIONS
    )
    tls_handshake_timeout_ms: int = option(5_000, "longest TLS handshake", unit="ms", low=1)
    deflate: bool = option(True, "let clients ask for deflate")
    max_deflate_level: int = option(6, "highest level of deflate a client may ask for", low=1, high=9)
    snappy: bool = option(True, "let clients ask for snappy")

    statsd_address: str = option("", "host:port of a statsd to push statistics to over UDP; empty: none")
    statsd_interval_ms: int = option(60_000, "time between two pushes to statsd", unit="ms", low=1)
    statsd_prefix: str = option(
        "nsq.%s", "what the names of all metrics start with; %s is replaced by the broadcast address and HTTP port"
    )
    statsd_mem_stats: bool = option(True, "push statistics of the process's memory, too")
    statsd_exclude_ephemeral: bool = option(False, "push nothing of ephemeral topics and channels")
    statsd_udp_packet_size: int = option(508, "largest datagram to statsd", unit="bytes", low=1, high=65_507)
    e2e_processing_latency_percentile: tuple[float, ...] = option(
        (),
        "a percentile of the time from publish to FIN that statistics show: above 0, at most 1; may be repeated, or a"
        " list with commas; none: nothing is measured",
        key="e2e_processing_latency_percentiles",
    )
    e2e_processing_latency_window_time_ms: int = option(
        600_000, "how far back the percentiles of end-to-end latency look", unit="ms", low=2
    )

    def __post_init__(self) -> None:
        check(self)
        for percentile in self.e2e_processing_latency_percentile:
            if not 0 < percentile <= 1:
                raise OptionError(f"invalid E2E processing latency percentile: {percentile:g}")
        # NSQ shows the highest first, however they were given.
        highest_first = tuple(sorted(self.e2e_processing_latency_percentile, reverse=True))
        object.__setattr__(self, "e2e_processing_latency_percentile", highest_first)
        if self.statsd_address:
            parse_address(self.statsd_address)
        if self.log_level.lower() not in LEVELS:
            raise OptionError(f"--log-level is {self.log_level!r}: use one of {', '.join(LEVELS)}")

    @property
    def tcp_needs_tls(self) -> bool:
        """Whether TCP clients must ask for TLS before anything else."""
        return self.tls_required not in {"false", "0", "f"} or bool(self.tls_client_auth_policy)

    @property
    def http_needs_tls(self) -> bool:
        """Whether plain HTTP is refused."""
        return self.tcp_needs_tls and self.tls_required != "tcp-https"

    @property
    def latency_window_ns(self) -> int:
        """How long end-to-end latency is kept; 0 when nobody asked for percentiles of it."""
        return self.e2e_processing_latency_window_time_ms * 1_000_000 if self.e2e_processing_latency_percentile else 0

    @property
    def is_topology_aware(self) -> bool:
        """Whether consumers that are near come first."""
        return TOPOLOGY_AWARE in self.enable_experiment

    def features(self) -> ServerFeatures:
        """What IDENTIFY negotiates within."""
        return ServerFeatures(
            max_rdy_count=self.max_rdy_count,
            max_msg_timeout_ms=self.max_msg_timeout_ms,
            tls=bool(self.tls_cert),
            deflate=self.deflate,
            max_deflate_level=self.max_deflate_level,
            snappy=self.snappy,
            msg_timeout_ms=self.msg_timeout_ms,
            auth_required=bool(self.auth_http_address),
            max_body_bytes=self.max_body_size,
            max_heartbeat_interval_ms=self.max_heartbeat_interval_ms,
            min_output_buffer_timeout_ms=self.min_output_buffer_timeout_ms,
            max_output_buffer_timeout_ms=self.max_output_buffer_timeout_ms,
            max_output_buffer_bytes=self.max_output_buffer_size,
            output_buffer_timeout_ms=self.output_buffer_timeout_ms,
            topology_region=self.topology_region,
            topology_zone=self.topology_zone,
        )
