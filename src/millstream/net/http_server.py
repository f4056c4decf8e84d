"""The HTTP server of a daemon: makes the protocol of each connection and ends them all.

`net.listener.listen(address, server.protocol)` feeds it; several listeners (plain and TLS) may share one server.
"""

import asyncio

from millstream.base.clock import Clock
from millstream.base.system import SystemClock
from millstream.net.http_connection import HttpConnection
from millstream.net.http_limits import HttpLimits
from millstream.net.http_router import Router
from millstream.net.http_shared import Gate, HttpShared


class HttpServer:
    """Answers requests by the routes of `router`. Its connections belong to one event loop."""

    def __init__(
        self,
        router: Router,
        *,
        limits: HttpLimits | None = None,
        clock: Clock | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._shared = HttpShared(router, limits or HttpLimits(), clock or SystemClock(), gate)

    def protocol(self) -> asyncio.Protocol:
        """Make the protocol of one accepted connection."""
        return HttpConnection(self._shared)

    @property
    def connection_count(self) -> int:
        """Open connections, those being closed included."""
        return len(self._shared.connections)

    @property
    def refused_count(self) -> int:
        """Connections refused so far because there were too many, of all or of one address."""
        return self._shared.refused

    async def close(self, *, grace_ms: int = 5_000) -> None:
        """Answer what is in flight, at most for `grace_ms`, then drop what is left; close the listener first.

        Idle connections are closed at once. On return no connection and no task of a handler is left.
        """
        shared = self._shared
        shared.closing = True
        try:
            for connection in list(shared.connections):
                connection.shut()
            if shared.connections:
                async with asyncio.timeout(grace_ms / 1000):
                    await shared.empty.wait()
        except TimeoutError:
            pass
        finally:
            for connection in list(shared.connections):
                connection.abort()
            if shared.tasks:
                await asyncio.wait(list(shared.tasks))
            if shared.connections:
                await shared.empty.wait()
