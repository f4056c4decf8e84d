"""What the connections of one HTTP server have in common: routes, limits, the date, and the watch over deadlines."""

import asyncio
from email.utils import formatdate
from typing import Any, Protocol

from millstream.base.clock import Clock
from millstream.net.http_limits import HttpLimits
from millstream.net.http_messages import Response, encode_response
from millstream.net.http_router import Router


class Watched(Protocol):
    """A connection as the watch sees it."""

    @property
    def deadline(self) -> float:
        """In the loop's seconds."""
        ...

    def expire(self) -> None:
        """Called when the loop's time has passed `deadline`."""
        ...


class Gate(Protocol):
    """Says which addresses may connect; daemons have one for all their ports."""

    def admit(self, address: str) -> bool:
        """Count a new connection in, or refuse it."""
        ...

    def leave(self, address: str) -> None:
        """An admitted connection is gone."""
        ...


class HttpShared:
    """Owned by `HttpServer`; connections join and leave by themselves.

    One timer looks after all deadlines while there are connections: a timer of its own for each request would cost as
    much as parsing it. So timeouts are late by up to a quarter of the shortest of them.
    """

    _loop: asyncio.AbstractEventLoop

    def __init__(self, router: Router, limits: HttpLimits, clock: Clock, gate: Gate | None = None) -> None:
        self.router = router
        self.limits = limits
        self.connections: set[Any] = set()
        self.tasks: set[asyncio.Future[Any]] = set()
        self.date_line = b""
        self.closing = False
        self.refused = 0
        self.empty = asyncio.Event()
        self._clock = clock
        self._gate = gate
        self._admitted: dict[Any, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._encoded: tuple[Response | None, bytes, bool, bytes] = (None, b"", False, b"")
        self._interval_s = min(max(limits.shortest_ms() / 4000, 0.01), 1.0)

    def encoded(self, response: Response, *, nsq_header: bool) -> bytes:
        """The bytes of an answer on a connection that goes on; one that is given all the time is made once a second."""
        last, date_line, had_nsq_header, data = self._encoded
        if response is last and date_line is self.date_line and nsq_header is had_nsq_header:
            return data
        data = encode_response(response, self.date_line, nsq_header=nsq_header)
        self._encoded = (response, self.date_line, nsq_header, data)
        return data

    def now(self) -> float:
        """The loop's time in seconds."""
        return self._loop.time()

    def join(self, connection: Watched, address: str = "") -> bool:
        """Count a new connection in; False when it must be refused. Either way it has to leave when it is lost."""
        self._loop = asyncio.get_running_loop()
        accepted = not self.closing and len(self.connections) < self.limits.connections_max
        if accepted and self._gate is not None:
            accepted = self._gate.admit(address)
            if accepted:
                self._admitted[connection] = address
        self.refused += not accepted
        self.connections.add(connection)
        self.empty.clear()
        if self._timer is None:
            self._watch()
        return accepted

    def leave(self, connection: Watched) -> None:
        """Forget a lost connection; the last one stops the watch."""
        self.connections.discard(connection)
        admitted = self._admitted.pop(connection, None)
        if admitted is not None and self._gate is not None:
            self._gate.leave(admitted)
        if not self.connections:
            self.empty.set()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _watch(self) -> None:
        loop = self._loop
        self._timer = loop.call_later(self._interval_s, self._watch)
        self.date_line = b"Date: " + formatdate(self._clock.wall_ns() / 1e9, usegmt=True).encode("ascii") + b"\r\n"
        now = loop.time()
        for connection in [connection for connection in self.connections if connection.deadline < now]:
            connection.expire()
