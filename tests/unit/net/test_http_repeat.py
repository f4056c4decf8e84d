"""Requests that come again with another body: what their route's `repeat` makes of them, on one connection."""

import asyncio
import socket
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.net.http import Answer, HttpLimits, Repeat, Router, text
from millstream.net.http_connection import HttpConnection
from millstream.net.http_shared import HttpShared

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


def request(target: str, body: bytes = b"") -> bytes:
    return f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Transport(asyncio.Transport):
    """Keeps what a connection writes; with a `socket` that is what the socket does not take."""

    def __init__(self, own_socket: socket.socket | None = None) -> None:
        super().__init__()
        self.socket = own_socket
        self.unsent_bytes = 0
        self.written: list[bytes] = []
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Bytes come by hand."""

    def resume_reading(self) -> None:
        """Bytes come by hand."""


class Bench(Repeat):
    """A connection, and the answers that it is owed."""

    def __init__(self, own_socket: socket.socket | None = None) -> None:
        self.owed: list[Answer] = []
        router = Router()
        router.add("POST", "/again", lambda _: text("handler"), body_bytes_max=20, repeat=lambda _: self)
        router.add("POST", "/other", lambda _: text("other"))
        self.transport = Transport(own_socket)
        self.shared = HttpShared(router, HttpLimits(), SystemClock())
        self.connection = HttpConnection(self.shared)
        self.connection.connection_made(self.transport)

    def take(self, data: bytes, start: int, answer: Answer) -> bool:
        """What `/again` makes of a request that comes again: a body of x is left to the handler."""
        body = data[start:]
        if body == b"x":
            return False
        if body == b"bug":
            raise RuntimeError("a mistake")
        if body == b"gab":
            answer.give(text("gab"))
            raise RuntimeError("too late")
        if body == b"now":
            answer.give(text("now"))
        else:
            self.owed.append(answer)
        return True


def bodies(bench: Bench) -> list[bytes]:
    return [part.partition(b"\r\n\r\n")[2] for part in b"".join(bench.transport.written).split(b"HTTP/1.1 ")[1:]]


async def test_what_comes_again_is_taken_without_the_handler_and_answered_later() -> None:
    bench = Bench()
    for body in (b"a", b"b", b"x"):
        bench.connection.data_received(request("/again", body))
        if bench.owed:
            bench.owed.pop().give(text("taken"))

    bench.connection.data_received(request("/again", b"now"))
    bench.connection.data_received(request("/again", b"now"))

    assert bodies(bench) == [b"handler", b"taken", b"handler", b"handler", b"now"]


async def test_a_mistake_in_what_takes_it_is_answered_500_and_the_connection_goes_on() -> None:
    bench = Bench()
    for body in (b"abc", b"bug", b"now"):
        bench.connection.data_received(request("/again", body))

    assert bodies(bench) == [b"handler", b'{"message":"INTERNAL_ERROR"}', b"now"]


async def test_answers_keep_their_order_when_more_comes_before_the_first() -> None:
    bench = Bench()
    for body in (b"a", b"b", b"c"):
        bench.connection.data_received(request("/again", body))
    bench.connection.data_received(request("/other") + request("/other")[:10])
    assert bodies(bench) == [b"handler"]

    bench.owed.pop().give(text("taken"))

    assert len(bench.owed) == 0
    assert bodies(bench) == [b"handler", b"taken", b"handler", b"other"]
    bench.connection.data_received(request("/other")[10:])
    assert bodies(bench)[-1] == b"other"


@pytest.mark.parametrize("what", ["lost", "shut", "eof", "paused"])
async def test_what_happens_while_an_answer_is_owed_is_minded(what: str) -> None:
    bench = Bench()
    for body in (b"a", b"b"):
        bench.connection.data_received(request("/again", body))
    if what == "lost":
        bench.connection.connection_lost(None)
    elif what == "shut":
        bench.connection.shut()
    elif what == "eof":
        assert bench.connection.eof_received()
    else:
        bench.connection.pause_writing()

    bench.owed.pop().give(text("taken"))

    written = b"".join(bench.transport.written)
    assert bodies(bench) == [b"handler"] + [b"taken"] * (what != "lost")
    assert (b"Connection: close" in written, bench.transport.closed) == (
        (True, True) if what in {"shut", "eof"} else (False, False)
    )


async def test_a_mistake_behind_the_answer_changes_nothing() -> None:
    bench = Bench()
    for body in (b"abc", b"gab", b"now"):
        bench.connection.data_received(request("/again", body))

    assert bodies(bench) == [b"handler", b"gab", b"now"]


async def test_answers_have_the_date_of_their_second() -> None:
    bench = Bench()
    bench.connection.data_received(request("/again", b"now"))
    for second in (b"1", b"1", b"2"):
        bench.shared.date_line = b"Date: %b\r\n" % second
        bench.connection.data_received(request("/again", b"now"))

    written = b"".join(bench.transport.written)
    assert (written.count(b"Date: 1\r\n"), written.count(b"Date: 2\r\n")) == (2, 1)


async def test_silence_is_counted_from_the_last_answer() -> None:
    bench, now = Bench(), asyncio.get_running_loop().time
    for body in (b"now", b"own"):
        bench.connection.data_received(request("/again", body))
    assert bench.connection.deadline == float("inf")

    before_s = now()
    bench.owed.pop().give(text("taken"))

    idle_s = HttpLimits().idle_timeout_ms / 1000
    assert before_s + idle_s <= bench.connection.deadline <= now() + idle_s


async def test_what_the_socket_does_not_take_goes_through_the_transport_and_keeps_its_order() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        bench = Bench(ours)
        bench.connection.data_received(request("/again", b"now"))
        bench.connection.data_received(request("/again", b"now"))
        assert bench.transport.written == []
        assert theirs.recv(1 << 16).count(b"HTTP/1.1 200") == 2

        bench.transport.unsent_bytes = 1
        bench.connection.data_received(request("/again", b"now"))
        assert bodies(bench) == [b"now"]

        bench.transport.unsent_bytes = 0
        full = bytes(1 << 20)
        ours.send(full)
        bench.connection.data_received(request("/again", b"now"))
        assert bodies(bench) == [b"now"] * 2
