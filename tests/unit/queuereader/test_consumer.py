"""One Reader at work, with an nsqd that is a few lines of script: it delivers what it is told and notes the answers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest

from millstream.base.system import SystemClock
from millstream.client import ReaderOptions
from millstream.protocol.frames import encode_frame
from millstream.protocol.message import Message, encode_message
from millstream.queuereader.consumer import Consumer
from millstream.queuereader.handling import Handler
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.middleware import Next
from millstream.queuereader.reader import HandlerOptions, Reader, Registry
from millstream.queuereader.stats import StatsdReport
from millstream.queuereader.statsd import StatsdClient
from millstream.queuereader.verdict import Verdict

OK, CLOSE_WAIT, RESPONSE, MESSAGE = b"OK", b"CLOSE_WAIT", 0, 2


class ScriptedNsqd:
    """Delivers `bodies` to whoever subscribes, as soon as RDY allows; `commands` are what came back since."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self._bodies = bodies
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self.commands: list[str] = []
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def count(self, command: str) -> int:
        return sum(line.split()[0] == command for line in self.commands)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(4)
            await self._read_commands(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def _read_commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = (await reader.readuntil(b"\n")).decode().rstrip("\n")
            match line.split()[0]:
                case "IDENTIFY":
                    await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
                    writer.write(encode_frame(RESPONSE, OK))
                case "SUB":
                    writer.write(encode_frame(RESPONSE, OK))
                case "RDY" if not line.endswith(" 0") and self.count("RDY") == 0:
                    for number, body in enumerate(self._bodies):
                        message = Message(b"%016x" % number, body, 1, 1)
                        writer.write(encode_frame(MESSAGE, encode_message(message)))
                case "CLS":
                    writer.write(encode_frame(RESPONSE, CLOSE_WAIT))
            self.commands.append(line)
            self._changed.set()


class Topic:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def publish_many(self, topic: str, bodies: Sequence[bytes]) -> None:
        assert topic == "spam_api"
        self.bodies += bodies


def make_reader(nsqd: ScriptedNsqd, handler: Handler, **options: Any) -> Reader:
    handler_options = HandlerOptions(
        client=ReaderOptions(default_requeue_delay_ms=10, msg_timeout_ms=options.pop("msg_timeout_ms", 0)),
        stop_timeout_ms=options.pop("stop_timeout_ms", 2_000),
        handler_timeout_ms=options.pop("handler_timeout_ms", 60_000),
        max_threads=options.pop("max_threads", 1),
    )
    return Reader(
        "clicks",
        "spam",
        handler,
        nsqd_tcp_addresses=[nsqd.address],
        options=handler_options,
        registry=Registry(),
        **options,
    )


@asynccontextmanager
async def running(reader: Reader, topic: Topic | None = None) -> AsyncIterator[Consumer]:
    """The Reader at work; stopped gracefully at the end of the block."""
    stopping = asyncio.Event()
    consumer = Consumer(reader, clock=SystemClock(), publisher=topic, report=StatsdReport(StatsdClient(), "shop.spam"))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(consumer.run(stopping))
        yield consumer
        stopping.set()


def judge(event: dict[str, Any], _: NsqMessage) -> bool:
    return bool(event["o"] == "+")


async def judge_async(event: dict[str, Any], nsq_msg: NsqMessage) -> bool:
    await asyncio.sleep(0)
    return judge(event, nsq_msg)


BODIES = [b'{"o": "+"}', b'{"o": "-"}', b"not json", b'{"o": "+", "l": 1}', b'{"x": 1}']


async def pass_on(message: NsqMessage, next_: Next) -> Verdict:
    return await next_(message)


@pytest.mark.parametrize(
    ("handler", "middleware"), [(judge, ()), (judge_async, ()), (judge, (pass_on,)), (judge_async, (pass_on,))]
)
async def test_each_message_gets_the_answer_of_its_verdict(handler: Handler, middleware: Sequence[Any]) -> None:
    async with ScriptedNsqd(BODIES) as nsqd:
        reader = make_reader(nsqd, handler, validate_method=lambda event: "o" in event, middleware=middleware)
        async with running(reader):
            await nsqd.until(lambda: nsqd.count("FIN") + nsqd.count("REQ") == 5)

    assert nsqd.count("FIN") == 4
    assert [line for line in nsqd.commands if line.startswith("REQ")] == ["REQ 0000000000000001 10"]
    stats = reader.stats()
    assert (stats.received, stats.handled, stats.finished, stats.requeued, stats.rejected) == (5, 3, 2, 1, 2)
    assert stats.in_hand == 0


async def test_stopping_lets_a_handler_finish_what_is_in_hand() -> None:
    started, release = threading.Event(), threading.Event()

    def handler(_: Any, __: NsqMessage) -> None:
        started.set()
        release.wait(5)

    async with ScriptedNsqd([b"{}"] * 3) as nsqd:
        reader = make_reader(nsqd, handler)
        async with running(reader) as consumer:
            await asyncio.to_thread(started.wait, 4)
            asyncio.get_running_loop().call_later(0.05, release.set)

    assert nsqd.count("CLS") == 1
    assert nsqd.count("FIN") == 3
    assert not consumer.has_left_some


async def test_what_no_handler_began_with_in_time_goes_back() -> None:
    started, release = threading.Event(), threading.Event()

    def handler(_: Any, __: NsqMessage) -> None:
        started.set()
        release.wait(5)

    async with ScriptedNsqd([b"{}"] * 3) as nsqd:
        reader = make_reader(nsqd, handler, stop_timeout_ms=50)
        async with running(reader) as consumer:
            await asyncio.to_thread(started.wait, 4)
        release.set()

    assert [line for line in nsqd.commands if line.startswith("REQ")] == [
        "REQ 0000000000000001 0",
        "REQ 0000000000000002 0",
    ]
    assert consumer.has_left_some


async def test_a_long_handler_is_touched_with_those_that_wait_behind_it() -> None:
    release = threading.Event()

    def handler(_: Any, __: NsqMessage) -> None:
        release.wait(5)

    async with ScriptedNsqd([b"{}"] * 2) as nsqd:
        reader = make_reader(nsqd, handler, msg_timeout_ms=1_000)
        async with running(reader):
            await nsqd.until(lambda: nsqd.count("TOUCH") >= 2)
            release.set()
            await nsqd.until(lambda: nsqd.count("FIN") == 2)

    assert reader.stats().touched >= 2


async def test_an_async_handler_that_exceeds_its_time_is_requeued() -> None:
    async def handler(_: Any, __: NsqMessage) -> None:
        await asyncio.Event().wait()

    async with ScriptedNsqd([b"{}"]) as nsqd:
        reader = make_reader(nsqd, handler, handler_timeout_ms=100)
        async with running(reader):
            await nsqd.until(lambda: nsqd.count("REQ") == 1)

    assert reader.stats().timed_out == 1


async def test_a_sync_handler_that_is_stuck_fails_the_reader() -> None:
    release = threading.Event()
    async with ScriptedNsqd([b"{}"]) as nsqd:
        reader = make_reader(nsqd, lambda _, __: release.wait(5), handler_timeout_ms=100)
        with pytest.raises(BaseExceptionGroup, match="unhandled"):
            async with running(reader):
                await asyncio.Event().wait()
        release.set()

    assert reader.stats().timed_out == 1


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_a_handler_returns_is_published_before_the_message_is_finished(is_async: bool) -> None:
    def decide(event: dict[str, Any], _: NsqMessage) -> dict[str, Any]:
        return {"o": "+", "n": event["n"]}

    async def decide_async(event: dict[str, Any], nsq_msg: NsqMessage) -> dict[str, Any]:
        return decide(event, nsq_msg)

    topic = Topic()
    async with ScriptedNsqd([b'{"n": 1}', b'{"n": 2}']) as nsqd:
        reader = make_reader(nsqd, decide_async if is_async else decide, publish_to="spam_api")
        async with running(reader, topic):
            await nsqd.until(lambda: nsqd.count("FIN") == 2)

    assert topic.bodies == [b'{"o":"+","n":1}', b'{"o":"+","n":2}']
    assert reader.stats().published == 2


async def test_a_handler_may_answer_from_its_thread_and_touch_there() -> None:
    def handler(_: Any, nsq_msg: NsqMessage) -> None:
        nsq_msg.touch()
        nsq_msg.requeue(1_500)

    async with ScriptedNsqd([b"{}"]) as nsqd, running(make_reader(nsqd, handler)):
        await nsqd.until(lambda: nsqd.count("REQ") == 1)

    assert nsqd.commands.index("TOUCH 0000000000000000") < nsqd.commands.index("REQ 0000000000000000 1500")
