import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from millstream.net.http import HttpLimits, Request, Response, Router, text

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
Serve = Callable[..., Awaitable[Any]]


class Slow:
    """A handler that reports what happens to it and ends when told."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self, _: Request) -> Response:
        self.begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return text("slow")


def make_router(slow: Slow | None = None) -> Router:
    router = Router()
    router.add("GET", "/ping", lambda _: text("OK"), nsq_header=False)
    router.add("POST", "/pub", lambda request: text(request.body), body_bytes_max=1000, too_big="MSG_TOO_BIG")
    router.add("GET", "/big", lambda _: Response(200, bytes(4_000_000)))
    router.add("GET", "/slow", slow or Slow())
    return router


async def test_requests_are_answered_over_one_connection(serve: Serve) -> None:
    peer = await (await serve(make_router())).connect()

    first = await peer.ask(PING)
    second = await peer.ask(b"POST /pub?topic=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")

    assert (first.status_line, first.body) == ("HTTP/1.1 200 OK", b"OK")
    assert first.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "X-Nsq-Content-Type" not in first.headers
    assert second.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
    assert second.body == b"abc"


async def test_a_client_of_the_tcp_protocol_reads_http(serve: Serve) -> None:
    peer = await (await serve(make_router())).connect()

    peer.send(b"  V2")
    answer = await peer.answer()

    assert answer.status_line == "HTTP/1.1 400 Bad Request"
    assert answer.headers["Connection"] == "close"
    assert await peer.rest() == b""


async def test_a_body_too_large_is_answered_although_the_client_still_sends(serve: Serve) -> None:
    peer = await (await serve(make_router())).connect()

    peer.send(b"POST /pub?topic=a HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + bytes(100_000))
    answer = await peer.answer()

    assert answer.status_line == "HTTP/1.1 413 Request Entity Too Large"
    assert answer.body == b'{"message":"MSG_TOO_BIG"}'
    assert await peer.rest() == b""


async def test_head_has_no_body(serve: Serve) -> None:
    peer = await (await serve(make_router())).connect()

    peer.send(PING.replace(b"GET", b"HEAD") + PING)

    assert (await peer.answer(body=False)).status == 405
    assert (await peer.answer()).body == b"OK"


@pytest.mark.parametrize(
    ("sent", "limits"),
    [
        (b"GET /ping HTTP/1.1\r\nHo", HttpLimits(header_timeout_ms=20)),
        (b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", HttpLimits(body_timeout_ms=20)),
    ],
)
async def test_a_slow_request_times_out(serve: Serve, sent: bytes, limits: HttpLimits) -> None:
    peer = await (await serve(make_router(), limits)).connect()

    peer.send(sent)

    assert (await peer.answer()).status == 408
    assert await peer.rest() == b""


async def test_an_idle_connection_is_closed_without_a_word(serve: Serve) -> None:
    served = await serve(make_router(), HttpLimits(idle_timeout_ms=20))
    fresh, used = await served.connect(), await served.connect()
    assert (await used.ask(PING)).status == 200

    assert await fresh.rest() == b""
    assert await used.rest() == b""


async def test_a_client_that_reads_nothing_is_dropped(serve: Serve) -> None:
    served = await serve(make_router(), HttpLimits(write_timeout_ms=50))
    peer = await served.connect()
    assert served.server.connection_count == 1
    peer.writer.transport.pause_reading()

    peer.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 4)

    async with asyncio.timeout(20):
        while served.server.connection_count:  # noqa: ASYNC110 - the only sign is the count of open connections
            await asyncio.sleep(0)


async def test_a_large_answer_arrives_whole(serve: Serve) -> None:
    peer = await (await serve(make_router())).connect()

    peer.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + PING)

    for _ in range(3):
        assert len((await peer.answer()).body) == 4_000_000
    assert (await peer.answer()).body == b"OK"


async def test_a_client_that_leaves_cancels_its_handler(serve: Serve) -> None:
    slow = Slow()
    peer = await (await serve(make_router(slow))).connect()
    peer.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(20):
        await slow.begun.wait()

    peer.writer.close()

    async with asyncio.timeout(20):
        await slow.cancelled.wait()


async def test_one_connection_too_many_is_refused(serve: Serve) -> None:
    served = await serve(make_router(), HttpLimits(connections_max=1))
    first = await served.connect()
    assert (await first.ask(PING)).status == 200

    second = await served.connect()

    assert (await second.answer()).status == 503
    assert await second.rest() == b""
    assert served.server.refused_count == 1
    assert (await first.ask(PING)).status == 200


async def test_closing_finishes_what_is_in_flight(serve: Serve) -> None:
    slow = Slow()
    served = await serve(make_router(slow))
    idle, busy = await served.connect(), await served.connect()
    assert (await idle.ask(PING)).status == 200
    busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(20):
        await slow.begun.wait()

    served.listener.close()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tg:
        tg.create_task(served.server.close())
        assert await idle.rest() == b""
        slow.gate.set()
        answer = await busy.answer()

    assert answer.body == b"slow"
    assert answer.headers["Connection"] == "close"
    assert await busy.rest() == b""
    assert served.server.connection_count == 0


async def test_closing_drops_what_takes_too_long(serve: Serve) -> None:
    slow = Slow()
    served = await serve(make_router(slow))
    busy = await served.connect()
    busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(20):
        await slow.begun.wait()

    await served.server.close(grace_ms=10)

    assert slow.cancelled.is_set()
    assert served.server.connection_count == 0
    assert await busy.rest() == b""
