"""Sends one request at a time on each of many connections: the next one goes out when the answer has come.

Answers over TCP are not read one by one: with one request under way an edge of the descriptor is an answer, and what
the answers were is read, and compared, a run at a time. That leaves the load one system call per message and a share
of a wait, which is less than any broker has to do. HTTP answers may come in pieces, so they are read at once.
"""

import select
import time
from dataclasses import dataclass
from typing import Final

from millstream.base.units import Address
from millstream.bench import wire
from millstream.bench.wire import LoadFailed

RUN_ANSWERS: Final = 64
READ_BYTES: Final = 64 << 10
HTTP_END: Final = b"\r\n\r\nOK"
HTTP_STATUS: Final = b"HTTP/1.1 200 "

_NO_HEARTBEATS: Final = {"heartbeat_interval": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPlan:
    """What the clients are to do: `requests` times `request`, shared by the connections; `batch` messages in each."""

    address: Address
    request: bytes
    connections: int
    requests: int
    batch: int = 1
    is_http: bool = False

    @property
    def messages(self) -> int:
        """How many messages that makes."""
        return self.requests // self.connections * self.connections * self.batch

    def build(self) -> "Requesters":
        """Connect, ready to run."""
        return Requesters(self)


class Requesters:
    """Connections that each send their share and insist on the right answer to every request."""

    def __init__(self, plan: RequestPlan) -> None:
        self._plan = plan
        self._requesters: dict[int, Requester] = {}
        try:
            for _ in range(plan.connections):
                requester = Requester(plan)
                self._requesters[requester.socket.fileno()] = requester
        except BaseException:
            self.close()
            raise

    def run(self, deadline_s: float) -> int:
        """Send and check everything; how many messages were acknowledged. Raises LoadFailed at the deadline."""
        edge = 0 if self._plan.is_http else select.EPOLLET
        requesters = self._requesters
        running = len(requesters)
        with select.epoll() as poll:
            for descriptor, requester in requesters.items():
                poll.register(descriptor, select.EPOLLIN | edge)
                requester.ask()
            while running:
                ready = poll.poll(max(0.0, deadline_s - time.monotonic()), 512)
                if not ready and time.monotonic() >= deadline_s:
                    raise LoadFailed(f"{running} connections were not answered in time")
                for descriptor, _ in ready:
                    requester = requesters[descriptor]
                    if requester.answered():
                        running -= 1
                        poll.unregister(descriptor)
        return sum(requester.answers for requester in requesters.values()) * self._plan.batch

    def close(self) -> None:
        """Close the connections."""
        for requester in self._requesters.values():
            requester.socket.close()


class Requester:
    """One connection with one request under way."""

    def __init__(self, plan: RequestPlan) -> None:
        if plan.is_http:
            self.socket = wire.dial(plan.address)
        else:
            self.socket = wire.connect(plan.address, "bench-requester", negotiates=True, wishes=_NO_HEARTBEATS)
        self.socket.setblocking(False)
        self._send = self.socket.send
        self._request = plan.request
        self._left = plan.requests // plan.connections
        self._is_http = plan.is_http
        self._ok = b"" if plan.is_http else wire.response(wire.OK)
        self._unread = 0
        self._received = b""
        self.answers = 0

    def ask(self) -> None:
        """Send the next request: the socket has room, since nothing else is in it."""
        self._left -= 1
        if self._send(self._request) != len(self._request):
            raise LoadFailed("a socket took less than one request")

    def answered(self) -> bool:
        """An answer came: send the next request; True when it was the last one."""
        if self._is_http:
            if not self._read_http():
                return False
        else:
            self._unread += 1
            if self._unread == RUN_ANSWERS or not self._left:
                self._read_run()
        self.answers += 1
        if not self._left:
            return True
        self.ask()
        return False

    def _read_run(self) -> None:
        """Compare the answers that have come. Before the next request: an answer read early would take its edge along.

        An edge without an answer would show here, too, as one OK too few.
        """
        received = self.socket.recv(READ_BYTES)
        if received != self._ok * self._unread:
            raise LoadFailed(f"the broker answered {wire.readable(received)} to {self._unread} requests")
        self._unread = 0

    def _read_http(self) -> bool:
        self._received += self.socket.recv(READ_BYTES)
        if not self._received.endswith(HTTP_END):
            if not self._received or len(self._received) >= READ_BYTES:
                raise LoadFailed("the broker closed the connection, or never ends its answer")
            return False
        if not self._received.startswith(HTTP_STATUS):
            raise LoadFailed(f"the broker answered {wire.readable(self._received)}")
        self._received = b""
        return True


def http_request(address: Address, path: str, body: bytes) -> bytes:
    """A POST that keeps the connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
