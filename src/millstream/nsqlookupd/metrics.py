"""`/metrics`: what Prometheus scrapes of one nsqlookupd.

`nsqlookupd.service` adds the route and the count of requests to the router; the figures are read from the registry,
the sessions and those who wait at that moment.
"""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from millstream.base.exposition import CONTENT_TYPE, NO_LABELS, Exposition, Labels
from millstream.base.system import open_descriptors, resident_bytes
from millstream.base.version import NSQ_VERSION, VERSION
from millstream.net.http import Handler, Later, Request, Response, Router
from millstream.net.http_auth import BearerTokens
from millstream.nsqlookupd.keeper import Keeper
from millstream.nsqlookupd.records import RegistryStats
from millstream.nsqlookupd.registry import Registry
from millstream.nsqlookupd.session import SessionHost
from millstream.nsqlookupd.waiting import LookupWaiters

# Name, help, and how to read it.
REGISTRY_GAUGES: Final[tuple[tuple[str, str, Callable[[RegistryStats], int]], ...]] = (
    ("nsqlookupd_topics", "Topics that are known.", lambda stats: stats.topics),
    ("nsqlookupd_channels", "Channels that are known.", lambda stats: stats.channels),
    ("nsqlookupd_tombstones", "Topics of nsqd that a tombstone hides now.", lambda stats: stats.tombstones),
    (
        "nsqlookupd_registrations",
        "Topics, channels, and the nsqd under each: what --max-registrations bounds.",
        lambda stats: stats.entries,
    ),
    (
        "nsqlookupd_restored_producers",
        "Producers known from the snapshot that have not connected since.",
        lambda stats: stats.restored_producers,
    ),
)


class MetricsApi:
    """The endpoint of one nsqlookupd, and the count of its HTTP requests."""

    def __init__(
        self, registry: Registry, sessions: SessionHost, waiters: LookupWaiters, keeper: Keeper | None = None
    ) -> None:
        self.http_connections: Callable[[], int] = lambda: 0
        self.tokens: BearerTokens | None = None
        self._registry = registry
        self._sessions = sessions
        self._waiters = waiters
        self._keeper = keeper
        self._requests: Counter[str] = Counter()

    def join(self, router: Router) -> None:
        """Add the route."""
        router.add("GET", "/metrics", self.show, nsq_header=False)

    def count(self, router: Router) -> None:
        """Count the requests of each route that the router has, whatever they are answered, but for lack of a token."""
        router.wrap(self._counted)

    def show(self, _request: Request) -> Response:
        """Everything, in Prometheus' text format."""
        out = Exposition()
        python = ".".join(map(str, sys.version_info[:3]))
        build = {"version": VERSION, "nsq_version": NSQ_VERSION, "python": python}
        out.gauge("nsqlookupd_build_info", "What runs here; always 1.", [(build, 1)])
        stats = self._registry.stats()
        for name, text, read in REGISTRY_GAUGES:
            out.gauge(name, text, _one(read(stats)))
        inactive = stats.producers - stats.active_producers
        states: list[tuple[Labels, float]] = [
            ({"state": "active"}, stats.active_producers),
            ({"state": "inactive"}, inactive),
        ]
        out.gauge("nsqlookupd_producers", "The nsqd that are known; an inactive one has not pinged in time.", states)
        self._traffic(out)
        if self._keeper is not None:
            out.counter("nsqlookupd_snapshot_writes_total", "Snapshots written.", _one(self._keeper.writes))
            out.counter("nsqlookupd_snapshot_failures_total", "Snapshots not written.", _one(self._keeper.failures))
        out.gauge("process_resident_memory_bytes", "Memory of the process in RAM.", _one(resident_bytes()))
        out.gauge("process_open_fds", "Open files and sockets.", _one(open_descriptors()))
        return Response(200, out.encode(), CONTENT_TYPE)

    def _traffic(self, out: Exposition) -> None:
        sessions, waiters = self._sessions, self._waiters
        connections: list[tuple[Labels, float]] = [
            ({"protocol": "tcp"}, sessions.connections),
            ({"protocol": "http"}, self.http_connections()),
        ]
        out.gauge("nsqlookupd_connections", "Open connections.", connections)
        out.counter("nsqlookupd_refused_connections_total", "nsqd that were too many.", _one(sessions.refused))
        out.counter(
            "nsqlookupd_commands_total",
            "Commands of nsqd.",
            [({"command": name}, count) for name, count in sorted(sessions.commands.items())],
        )
        out.counter(
            "nsqlookupd_http_requests_total",
            "HTTP requests by endpoint.",
            [({"path": path}, count) for path, count in sorted(self._requests.items())],
        )
        unauthorized = self.tokens.refused if self.tokens is not None else 0
        out.counter(
            "nsqlookupd_http_unauthorized_total", "HTTP requests without a token of the file.", _one(unauthorized)
        )
        out.gauge("nsqlookupd_lookup_waiters", "Lookups that wait for a change.", _one(waiters.count))
        out.counter(
            "nsqlookupd_lookup_waiters_refused_total", "Lookups for which there was no room.", _one(waiters.refused)
        )

    def _counted(self, _method: str, path: str, handler: Handler) -> Handler:
        requests = self._requests

        def counted(request: Request) -> Response | Later | Awaitable[Response]:
            requests[path] += 1
            return handler(request)

        return counted


def _one(value: float) -> list[tuple[Labels, float]]:
    return [(NO_LABELS, value)]
