import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.queuereader.coroutines import CoroutineWorkers
from millstream.queuereader.decode import decoder_for
from millstream.queuereader.handling import Handler, Handling
from millstream.queuereader.message import LocalMessage, NsqMessage, Touch
from millstream.queuereader.threads import HandlerStuck, Threads
from millstream.queuereader.verdict import FINISH, REQUEUE


class Bench:
    """Coroutine workers whose answers are kept."""

    def __init__(self, handler: Handler, *, concurrency: int = 4, threads: Threads | None = None) -> None:
        self.answered: list[NsqMessage | Touch] = []
        self._changed = asyncio.Event()
        handling = Handling(reader_name="spam", handler=handler, decode=decoder_for(dict))
        self.workers = CoroutineWorkers(handling, concurrency=concurrency, clock=SystemClock(), threads=threads)

    def _put(self, item: NsqMessage | Touch) -> None:
        self.answered.append(item)
        self._changed.set()

    def messages(self, count: int) -> list[NsqMessage]:
        return [NsqMessage(LocalMessage(b'{"n":%d}' % number), self._put) for number in range(count)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.workers.run())
            yield
            task.cancel()


async def test_every_message_of_every_batch_is_handled() -> None:
    seen: list[Any] = []

    async def handler(event: Any, _: NsqMessage) -> None:
        await asyncio.sleep(0)
        seen.append(event["n"])

    bench = Bench(handler)
    async with bench.running():
        bench.workers.submit(bench.messages(30))
        await asyncio.sleep(0)
        bench.workers.submit(bench.messages(3))
        await bench.until(lambda: len(bench.answered) == 33)

    assert sorted(seen) == sorted([*range(30), *range(3)])


async def test_as_many_handlers_run_at_a_time_as_concurrency_says() -> None:
    release, running, most = asyncio.Event(), 0, 0

    async def handler(_: Any, __: NsqMessage) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            release.set()
        await release.wait()
        running -= 1

    bench = Bench(handler, concurrency=3)
    async with bench.running():
        bench.workers.submit(bench.messages(12))
        await bench.until(lambda: len(bench.answered) == 12)

    assert most == 3


async def test_an_expired_handler_is_cancelled_and_its_worker_goes_on() -> None:
    started = asyncio.Event()

    async def handler(event: Any, _: NsqMessage) -> None:
        if event["n"] == 0:
            started.set()
            await asyncio.Event().wait()

    bench = Bench(handler, concurrency=1)
    messages = bench.messages(2)
    async with bench.running():
        bench.workers.submit(messages)
        await asyncio.wait_for(started.wait(), 3)
        messages[0].has_expired = True
        bench.workers.expire(messages[0])
        await bench.until(lambda: len(bench.answered) == 2)

    assert [message.verdict for message in messages] == [REQUEUE, FINISH]


async def test_a_handler_that_fails_does_not_end_its_worker() -> None:
    async def handler(event: Any, _: NsqMessage) -> None:
        if event["n"] == 0:
            raise OSError("no database")

    bench = Bench(handler, concurrency=1)
    messages = bench.messages(2)
    async with bench.running():
        bench.workers.submit(messages)
        await bench.until(lambda: len(bench.answered) == 2)

    assert [message.verdict for message in messages] == [REQUEUE, FINISH]


async def test_a_handler_that_is_stuck_in_a_thread_fails_the_workers() -> None:
    async def handler(_: Any, __: NsqMessage) -> None: ...

    threads = Threads(1, name="spam")
    bench = Bench(handler, threads=threads)
    bench.workers.expire(bench.messages(1)[0])

    with pytest.raises(BaseExceptionGroup) as raised:
        await asyncio.wait_for(bench.workers.run(), 3)
    assert raised.value.subgroup(HandlerStuck) is not None
    bench.workers.close()
