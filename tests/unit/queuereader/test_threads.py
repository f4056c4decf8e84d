import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millstream.base.errors import MillstreamError
from millstream.base.system import SystemClock
from millstream.queuereader.decode import decoder_for
from millstream.queuereader.handling import Handler, Handling
from millstream.queuereader.message import LocalMessage, NsqMessage, Touch
from millstream.queuereader.threads import HandlerStuck, Threads, ThreadWorkers
from millstream.queuereader.verdict import FINISH, REQUEUE


class Bench:
    """Thread workers whose answers are kept as they are drained."""

    def __init__(self, handler: Handler, *, count: int = 1) -> None:
        self.threads = Threads(count, name="spam")
        self.put: list[NsqMessage | Touch] = []
        self.drains: list[int] = []
        self._changed = asyncio.Event()
        handling = Handling(reader_name="spam", handler=handler, decode=decoder_for(dict))
        self.workers = ThreadWorkers(handling, self.threads, count=count, clock=SystemClock(), drain=self._drain)

    def _drain(self) -> None:
        self.drains.append(len(self.put))
        self._changed.set()

    def messages(self, count: int) -> list[NsqMessage]:
        return [NsqMessage(LocalMessage(b'{"n":%d}' % number), self.put.append) for number in range(count)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def test_a_batch_is_handled_in_order_in_one_thread_and_drained() -> None:
    seen: list[Any] = []
    names: set[str] = set()

    def handler(event: Any, _: NsqMessage) -> None:
        seen.append(event["n"])
        names.add(threading.current_thread().name)

    bench = Bench(handler)
    bench.workers.submit(bench.messages(100))
    await bench.until(lambda: bool(bench.drains) and bench.drains[-1] == 100)

    assert seen == list(range(100))
    assert names == {"spam-0"}
    assert all(isinstance(item, NsqMessage) and item.verdict is FINISH for item in bench.put)
    bench.workers.close()


async def test_answers_are_drained_while_a_slow_handler_runs() -> None:
    release = threading.Event()

    def handler(event: Any, _: NsqMessage) -> None:
        if event["n"] == 1:
            release.wait(5)

    bench = Bench(handler)
    bench.workers.submit(bench.messages(2))
    await bench.until(lambda: 1 in bench.drains)

    release.set()
    await bench.until(lambda: bench.drains[-1] == 2)
    bench.workers.close()


async def test_several_threads_share_a_batch() -> None:
    barrier = threading.Barrier(3, timeout=5)

    def handler(_: Any, __: NsqMessage) -> None:
        barrier.wait()

    bench = Bench(handler, count=3)
    bench.workers.submit(bench.messages(3))
    await bench.until(lambda: bool(bench.drains) and bench.drains[-1] == 3)

    assert all(isinstance(item, NsqMessage) and item.verdict is FINISH for item in bench.put)
    bench.workers.close()


async def test_a_message_that_is_answered_already_is_passed_over() -> None:
    seen: list[Any] = []
    bench = Bench(lambda event, _: seen.append(event["n"]))
    messages = bench.messages(2)
    messages[0].answer(REQUEUE)

    bench.workers.submit(messages)
    await bench.until(lambda: bool(bench.drains) and bench.drains[-1] == 2)

    assert seen == [1]
    bench.workers.close()


async def test_a_handler_that_ends_its_thread_fails_the_workers() -> None:
    def leave(_: Any, __: NsqMessage) -> None:
        raise SystemExit(3)

    bench = Bench(leave)
    bench.workers.submit(bench.messages(1))

    with pytest.raises(MillstreamError, match=r"SystemExit\(3\)"):
        await asyncio.wait_for(bench.workers.run(), 3)
    bench.workers.close()


async def test_a_stuck_handler_fails_the_workers() -> None:
    release = threading.Event()
    bench = Bench(lambda _, __: release.wait(5))
    messages = bench.messages(1)
    bench.workers.submit(messages)

    bench.workers.expire(messages[0])

    with pytest.raises(HandlerStuck, match="handler_timeout_ms"):
        await asyncio.wait_for(bench.workers.run(), 3)
    release.set()
    bench.workers.close()


async def test_call_returns_and_raises_what_the_handler_does() -> None:
    threads = Threads(1, name="spam")
    message = NsqMessage(LocalMessage(b"{}"), lambda _: None)

    def fail(_: Any, __: NsqMessage) -> None:
        raise KeyError("missing")

    assert await threads.call(lambda event, _: event, {"a": 1}, message) == {"a": 1}
    with pytest.raises(KeyError):
        await threads.call(fail, {}, message)
    threads.close()
