"""`/config`: every option that NSQ shows, and the two that may be changed."""

from typing import Final

from peer_script import Scenario, better, case, get, on, put

CONFIG: Final = (
    *(
        "nsqlookupd_tcp_addresses",
        "log_level",
        "mem_queue_size",
        "max_msg_size",
        "max_body_size",
        "max_rdy_count",
        "id",
    ),
    *("msg_timeout", "max_msg_timeout", "max_req_timeout", "max_heartbeat_interval", "broadcast_address", "node_id"),
    *("max_output_buffer_size", "max_output_buffer_timeout", "min_output_buffer_timeout", "output_buffer_timeout"),
    *(
        "max_channel_consumers",
        "sync_every",
        "sync_timeout",
        "log_prefix",
        "nothing",
        "tcp_address",
        "http_address",
        "verbose",
    ),
    *(
        "queue_scan_selection_count",
        "queue_scan_worker_pool_max",
        "http_client_connect_timeout",
        "LOG_LEVEL",
        "log-level",
    ),
    *("http_client_request_timeout", "broadcast_http_port", "broadcast_tcp_port", "version", "config", "worker_id"),
)
CONFIG_LATER: Final = (
    *(
        "statsd_address",
        "statsd_interval",
        "statsd_prefix",
        "statsd_mem_stats",
        "statsd_udp_packet_size",
        "deflate",
        "snappy",
    ),
    *(
        "statsd_exclude_ephemeral",
        "max_deflate_level",
        "tls_required",
        "tls_min_version",
        "tls_cert",
        "tls_client_auth_policy",
    ),
    *(
        "auth_http_addresses",
        "https_address",
        "e2e_processing_latency_window_time",
        "e2e_processing_latency_percentiles",
    ),
    *("tls_key", "tls_root_ca_file"),
)
LEVELS: Final = (b"debug", b"INFO", b"Warn", b"error", b"fatal", b"info ", b"3", b"", b'"info"', b"nothing", b"info")

SCENARIOS: Final[list[Scenario]] = [
    *(case(f"config/{name}", get(f"/config/{name}")) for name in CONFIG),
    *(case(f"config/{name}", get(f"/config/{name}")) for name in CONFIG_LATER),
    better(
        "a segment of the log, which is no queue file",
        case("config/max_bytes_per_file", get("/config/max_bytes_per_file")),
        "- b'104857600'",
        "+ b'67108864'",
    ),
    *(
        case(f"PUT of config/{name}", put(f"/config/{name}", b"1"))
        for name in ("mem_queue_size", "nothing", "max_rdy_count")
    ),
    *on(
        "alone",
        *(
            case(
                f"PUT of the log level {level!r}",
                put("/config/log_level", level),
                get("/config/log_level"),
                put("/config/log_level", b"info"),
            )
            for level in LEVELS
        ),
        *(
            case(
                f"PUT of the addresses {body!r}",
                put("/config/nsqlookupd_tcp_addresses", body),
                get("/config/nsqlookupd_tcp_addresses"),
                put("/config/nsqlookupd_tcp_addresses", b"[]"),
            )
            for body in (b"[]", b'["127.0.0.1:1"]', b"{}", b"x", b'"a"', b"[1]", b"", b'["127.0.0.1:1",')
        ),
        better(
            "null is no list, and empties it",
            case("PUT of the addresses null", put("/config/nsqlookupd_tcp_addresses", b"null")),
            "- b'null'",
            "+ JSON",
            "+  = []",
        ),
        better(
            "null is no address",
            case(
                "PUT of an address null",
                put("/config/nsqlookupd_tcp_addresses", b"[null]"),
                put("/config/nsqlookupd_tcp_addresses", b"[]"),
            ),
            "- HTTP 200 OK",
            "+ HTTP 400 Bad Request",
            '- [0] = ""',
            '+ .message = "INVALID_VALUE"',
        ),
    ),
]
