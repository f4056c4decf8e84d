from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from millstream.base.exposition import CONTENT_TYPE
from millstream.base.system import SystemClock
from millstream.net.http import Request, Response, Router, text
from millstream.nsqlookupd.metrics import MetricsApi
from millstream.nsqlookupd.records import Producer
from millstream.nsqlookupd.registry import Registry
from millstream.nsqlookupd.session import SessionHost, SessionLimits
from millstream.nsqlookupd.waiting import LookupWaiters
from millstream.protocol.lookup import Identity

DOCS = Path(__file__).parents[3] / "docs" / "nsqlookupd.md"
LIMITS = SessionLimits(connections_max=1, line_bytes_max=1_000, body_bytes_max=1_000, handshake_timeout_ms=1_000)


def documented() -> set[str]:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    return {line.split("`")[1] for line in lines if line.startswith(("| `nsqlookupd_", "| `process_"))}


def call(router: Router, path: str) -> Response:
    route = router.match("GET", path).route
    assert route is not None
    response = route.handler(Request("GET", path))
    assert isinstance(response, Response)
    return response


@pytest.mark.shows("nsqlookupd GET /metrics", beyond="statistics for Prometheus, listed in nsqlookupd.md")
async def test_everything_is_told_in_the_format_of_prometheus() -> None:
    registry = Registry(SystemClock(), inactive_after_ms=300_000, tombstone_lifetime_ms=45_000)
    identity = Identity(broadcast_address="h", tcp_port=4150, http_port=4151, version="1.3.0")
    registry.identify(Producer(connection_id=1, remote_address="10.0.0.1:1", identity=identity))
    registry.register(1, "t", "c")
    registry.create_topic("u")
    registry.tombstone("t", "h:4151")
    sessions = SessionHost(registry, LIMITS)
    sessions.commands["REGISTER"] += 3
    metrics = MetricsApi(registry, sessions, LookupWaiters(registry, waiters_max=1))
    metrics.http_connections = lambda: 7
    router = Router()
    router.add("GET", "/ping", lambda _: text("OK"))
    metrics.join(router)
    metrics.count(router)

    call(router, "/ping")
    call(router, "/ping")
    response = call(router, "/metrics")

    assert response.content_type == CONTENT_TYPE
    families = list(text_string_to_metric_families(response.body.decode()))
    values = {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}
    assert {one.name for family in families for one in family.samples} <= documented()
    assert values["process_resident_memory_bytes",] > 1 << 20
    del values["process_resident_memory_bytes",], values["process_open_fds",]
    assert {key: value for key, value in values.items() if key[0] != "nsqlookupd_build_info"} == {
        ("nsqlookupd_topics",): 2,
        ("nsqlookupd_channels",): 1,
        ("nsqlookupd_tombstones",): 1,
        ("nsqlookupd_registrations",): 5,
        ("nsqlookupd_restored_producers",): 0,
        ("nsqlookupd_producers", "active"): 1,
        ("nsqlookupd_producers", "inactive"): 0,
        ("nsqlookupd_connections", "tcp"): 0,
        ("nsqlookupd_connections", "http"): 7,
        ("nsqlookupd_refused_connections_total",): 0,
        ("nsqlookupd_commands_total", "REGISTER"): 3,
        ("nsqlookupd_http_requests_total", "/ping"): 2,
        ("nsqlookupd_http_requests_total", "/metrics"): 1,
        ("nsqlookupd_http_unauthorized_total",): 0,
        ("nsqlookupd_lookup_waiters",): 0,
        ("nsqlookupd_lookup_waiters_refused_total",): 0,
    }
