import asyncio
import itertools
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.base.system import SystemClock
from millstream.net.http import HttpError, HttpLimits, Request, Response, Router, json, text
from millstream.net.http_connection import HttpConnection
from millstream.net.http_shared import HttpShared

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def post(path: str, body: bytes, headers: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


class MemoryTransport(asyncio.Transport):
    """What a connection writes, and what it asks of the transport."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.eof = False
        self.closed = False
        self.reading = True
        self.unsent_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, data: Any) -> None:
        assert not self.eof
        assert not self.closed
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        self.eof = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


class Bench:
    """A connection over a transport in memory, and handlers that wait until they are told."""

    def __init__(self, **limits: int) -> None:
        self.futures: list[asyncio.Future[Response]] = []
        self.events: list[str] = []
        self.gate = asyncio.Event()
        router = Router()
        router.add("GET", "/ping", lambda _: text("OK"), nsq_header=False)
        router.add("GET", "/big", lambda _: Response(200, bytes(100_000)))
        router.add("GET", "/future", self._future)
        router.add("GET", "/task", self._task)
        router.add("GET", "/refuse", self._refuse)
        router.add("GET", "/bug", self._bug)
        router.add("GET", "/nonsense", lambda _: None)  # type: ignore[arg-type,return-value]  # a handler's mistake
        router.add("GET", "/split", lambda _: Response(headers=(("A", "b\r\nC: d"),)))
        router.add("GET", "/query", lambda request: json(request.query))
        router.add("POST", "/echo", lambda request: text(request.body), body_bytes_max=20)
        self.shared = HttpShared(router, HttpLimits(**limits), SystemClock())
        self.connection = HttpConnection(self.shared)
        self.transport = MemoryTransport()
        self.connection.connection_made(self.transport)

    def _future(self, _: Request) -> "asyncio.Future[Response]":
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return future

    async def _task(self, _: Request) -> Response:
        self.events.append("begun")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise
        return text("task")

    def _refuse(self, _: Request) -> Response:
        raise HttpError(404, "TOPIC_NOT_FOUND")

    def _bug(self, _: Request) -> Response:
        raise KeyError("bug")

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    @property
    def output(self) -> bytes:
        return b"".join(self.transport.written)

    @property
    def statuses(self) -> list[int]:
        return [status for status, _ in split_answers(self.output)]

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in split_answers(self.output)]

    async def turn(self) -> None:
        """Let callbacks and tasks that are ready run."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def lose(self) -> None:
        self.transport.closed = True
        self.connection.connection_lost(None)
        await self.turn()


def split_answers(data: bytes) -> list[tuple[int, bytes]]:
    """Split strictly: whatever is no whole answer fails."""
    found = []
    while data:
        if data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            data = data[25:]
            continue
        match = re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]+\r\n((?:[A-Za-z-]+: [^\r\n]+\r\n)+)\r\n", data)
        assert match, data
        length = re.search(rb"(?m)^Content-Length: (\d+)\r$", match[2])
        assert length, data
        end = match.end() + int(length[1])
        assert len(data) >= end
        found.append((int(match[1]), data[match.end() : end]))
        data = data[end:]
    return found


async def test_a_plain_answer_is_written_at_once_and_together_with_its_neighbours() -> None:
    bench = Bench()

    bench.send(PING + get("/query?a=b"))

    assert bench.bodies == [b"OK", b'{"a":"b"}']
    assert len(bench.transport.written) == 1
    assert b"X-Nsq" not in bench.transport.written[0].partition(b"OK")[0]
    assert not bench.shared.tasks
    await bench.lose()


async def test_answers_leave_in_the_order_of_the_requests() -> None:
    bench = Bench()
    bench.send(get("/future") + PING + get("/future") + get("/refuse"))

    bench.futures[1].set_result(text("second"))
    await bench.turn()
    assert bench.output == b""

    bench.futures[0].set_result(text("first"))
    await bench.turn()
    assert bench.bodies == [b"first", b"OK", b"second", b'{"message":"TOPIC_NOT_FOUND"}']
    assert not bench.shared.tasks
    await bench.lose()


async def test_a_coroutine_finishes_before_the_next_request_begins() -> None:
    bench = Bench()
    bench.send(get("/task") + get("/task") + get("/future"))
    await bench.turn()
    assert bench.events == ["begun"]
    assert not bench.futures

    bench.gate.set()
    await bench.turn()
    assert bench.events == ["begun", "begun"]
    bench.futures[0].set_result(text("future"))
    await bench.turn()
    assert bench.bodies == [b"task", b"task", b"future"]
    assert not bench.shared.tasks
    await bench.lose()


@pytest.mark.parametrize("path", ["/bug", "/nonsense", "/split"])
async def test_a_bug_in_a_handler_is_an_internal_error(path: str) -> None:
    bench = Bench()

    bench.send(get(path) + PING)

    assert bench.statuses == [500, 200]
    assert bench.bodies[0] == b'{"message":"INTERNAL_ERROR"}'
    await bench.lose()


async def test_what_a_future_fails_with_is_answered() -> None:
    bench = Bench()
    bench.send(get("/future") * 3)

    bench.futures[0].set_exception(HttpError(503, "EXITING"))
    bench.futures[1].set_exception(KeyError("bug"))
    bench.futures[2].cancel()
    await bench.turn()

    assert bench.statuses == [503, 500, 500]
    await bench.lose()


async def test_losing_the_client_cancels_its_coroutine() -> None:
    bench = Bench()
    bench.send(get("/task"))
    await bench.turn()

    await bench.lose()

    assert bench.events == ["begun", "cancelled"]
    assert not bench.shared.tasks
    assert bench.output == b""


async def test_losing_the_client_leaves_a_future_to_its_maker() -> None:
    bench = Bench()
    bench.send(get("/future"))

    await bench.lose()

    assert not bench.futures[0].cancelled()
    bench.futures[0].set_exception(HttpError(503, "EXITING"))
    await bench.turn()
    assert bench.output == b""


async def test_a_half_closed_client_still_gets_its_answer() -> None:
    bench = Bench()
    bench.send(get("/future"))

    assert bench.connection.eof_received()
    bench.futures[0].set_result(text("late"))
    await bench.turn()

    assert bench.bodies == [b"late"]
    assert bench.transport.closed
    await bench.lose()


async def test_an_idle_client_that_closes_is_closed() -> None:
    bench = Bench()

    assert not bench.connection.eof_received()
    await bench.lose()


async def test_reading_stops_while_too_many_requests_wait() -> None:
    bench = Bench(pipelined_max=2)
    bench.send(get("/future") * 5)
    assert len(bench.futures) == 2
    assert not bench.transport.reading

    for index in range(5):
        bench.futures[index].set_result(text(str(index)))
        await bench.turn()

    assert bench.bodies == [b"0", b"1", b"2", b"3", b"4"]
    assert bench.transport.reading
    await bench.lose()


async def test_nothing_begins_while_the_client_does_not_read() -> None:
    bench = Bench()
    bench.connection.pause_writing()
    assert not bench.transport.reading

    bench.send(PING)
    assert bench.output == b""

    bench.connection.resume_writing()
    assert bench.bodies == [b"OK"]
    assert bench.transport.reading
    await bench.lose()


async def test_large_answers_of_one_read_are_not_piled_up() -> None:
    bench = Bench()

    bench.send(get("/big") * 3)

    assert len(bench.transport.written) == 3
    await bench.lose()


async def test_garbage_after_a_good_request_is_answered_after_it() -> None:
    bench = Bench()
    bench.send(get("/future") + b"garbage")
    assert bench.output == b""

    bench.futures[0].set_result(text("good"))
    await bench.turn()

    assert bench.statuses == [200, 400]
    assert bench.transport.eof
    assert not bench.transport.closed
    bench.send(b"more garbage")
    assert bench.statuses == [200, 400]
    await bench.lose()


async def test_continue_is_sent_in_its_turn() -> None:
    bench = Bench()
    head = post("/echo", b"abc", "Expect: 100-continue\r\n")[:-3]
    bench.send(get("/future") + head)
    assert bench.output == b""

    bench.futures[0].set_result(text("first"))
    await bench.turn()
    assert bench.output.endswith(b"firstHTTP/1.1 100 Continue\r\n\r\n")

    bench.send(b"abc")
    assert bench.bodies == [b"first", b"abc"]
    await bench.lose()


async def test_a_request_that_says_close_is_the_last() -> None:
    bench = Bench()

    bench.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + PING)

    assert bench.bodies == [b"OK"]
    assert b"Connection: close\r\n" in bench.output
    assert bench.transport.closed
    await bench.lose()


async def test_an_idle_connection_is_shut_at_once() -> None:
    bench = Bench()
    bench.send(PING)

    bench.connection.shut()

    assert bench.transport.closed
    await bench.lose()


async def test_a_busy_connection_is_shut_after_its_answers() -> None:
    bench = Bench()
    bench.send(get("/future") + get("/task"))
    bench.connection.shut()
    assert not bench.transport.closed

    bench.gate.set()
    bench.futures[0].set_result(text("future"))
    await bench.turn()

    assert bench.bodies == [b"future", b"task"]
    assert bench.output.count(b"Connection: close\r\n") == 1
    assert bench.transport.closed
    await bench.lose()


async def test_a_request_half_received_is_finished_before_the_connection_is_shut() -> None:
    bench = Bench()
    request = post("/echo", b"abc")
    bench.send(request[:-1])
    bench.connection.shut()
    assert not bench.transport.closed

    bench.send(request[-1:])

    assert bench.bodies == [b"abc"]
    assert bench.transport.closed
    await bench.lose()


async def test_a_trickle_does_not_extend_the_time_for_headers() -> None:
    bench = Bench()
    bench.send(PING[:5])
    deadline = bench.connection.deadline

    bench.send(PING[5:10])

    assert bench.connection.deadline == deadline
    await bench.lose()


async def test_time_does_not_run_while_a_handler_works() -> None:
    bench = Bench()
    bench.send(get("/future"))

    assert bench.connection.deadline == float("inf")
    bench.futures[0].set_result(text("done"))
    await bench.turn()
    assert bench.connection.deadline < float("inf")
    await bench.lose()


async def test_time_does_not_run_while_reading_is_paused() -> None:
    bench = Bench(pipelined_max=1)

    bench.send(get("/future") + PING[:5])

    assert bench.connection.deadline == float("inf")
    bench.futures[0].set_result(text("done"))
    await bench.turn()
    assert bench.connection.deadline < float("inf")
    await bench.lose()


async def test_a_client_that_reads_slowly_is_kept_and_one_that_does_not_read_is_dropped() -> None:
    bench = Bench()
    bench.transport.unsent_bytes = 100
    bench.connection.pause_writing()

    bench.transport.unsent_bytes = 99
    bench.connection.expire()
    assert not bench.transport.closed

    bench.connection.expire()
    assert bench.transport.closed
    await bench.lose()


async def test_a_lingering_client_is_dropped_in_the_end() -> None:
    bench = Bench()
    bench.send(b"garbage")
    assert bench.transport.eof

    bench.connection.expire()

    assert bench.transport.closed
    await bench.lose()


GOOD = [
    PING,
    get("/task"),
    get("/nope"),
    get("/query?a=%zz"),
    post("/echo", b"abc"),
    post("/echo", bytes(30)),
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc",
    post("/echo", b"abc", "Expect: 100-continue\r\n"),
]
DOCUMENTED = {200, 400, 404, 405, 413, 417, 431, 501}


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.sampled_from(GOOD), st.binary(max_size=40)), max_size=8),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=2),
    st.lists(st.floats(0, 1), max_size=10),
)
async def test_hostile_bytes_get_nothing_but_documented_answers(
    parts: Sequence[bytes], damage: Sequence[tuple[float, bytes]], cuts: Sequence[float]
) -> None:
    bench = Bench(header_bytes_max=300, discard_bytes_max=50)
    bench.gate.set()
    data = b"".join(parts)
    for place, junk in damage:
        at = int(place * len(data))
        data = data[:at] + junk + data[at + 1 :]
    places = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]

    for begin, end in itertools.pairwise(places):
        if not bench.transport.closed:
            bench.send(data[begin:end])
            await bench.turn()

    assert set(bench.statuses) <= DOCUMENTED
    refused = [status for status in bench.statuses if status in {400, 413, 417, 431, 501}]
    if bench.transport.eof:
        assert refused or 404 in bench.statuses or 405 in bench.statuses
    await bench.lose()
    assert not bench.shared.tasks
    assert not bench.shared.connections
