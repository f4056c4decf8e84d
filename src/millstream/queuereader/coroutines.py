"""Runs async handlers on the loop: a fixed number of tasks, which take messages from one backlog.

Messages come from `queuereader.consumer` in batches; no task or queue is made for any of them. A handler that does not
wait for anything costs no turn of the loop.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from millstream.base.clock import Clock
from millstream.base.log import get_logger
from millstream.queuereader.handling import Handling
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.threads import Threads
from millstream.queuereader.verdict import REQUEUE

_log = get_logger(__name__)


class _Worker:
    """One task and the message that it handles now."""

    __slots__ = ("message", "task")

    def __init__(self) -> None:
        self.message: NsqMessage | None = None
        self.task: asyncio.Task[None] | None = None


class CoroutineWorkers:
    """`queuereader.consumer.Workers` for async handlers."""

    def __init__(self, handling: Handling, *, concurrency: int, clock: Clock, threads: Threads | None = None) -> None:
        """`threads` are those that sync handlers run in, below their middleware."""
        self._threads = threads
        self._handling = handling
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[NsqMessage] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._workers = [_Worker() for _ in range(concurrency)]

    def submit(self, messages: Sequence[NsqMessage]) -> None:
        """Put the batch behind what waits, and wake as many workers as it needs."""
        self._backlog.extend(messages)
        for _ in range(min(len(messages), len(self._idle))):
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)

    async def run(self) -> None:
        """Own the workers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                worker.task = group.create_task(self._work(worker))
            if self._threads is not None:
                group.create_task(self._threads.watch())

    def expire(self, message: NsqMessage) -> None:
        """Cancel the handler; its message is requeued. One that runs in a thread cannot be cancelled: `run` fails."""
        if self._threads is not None:
            self._threads.fail_stuck(message)
            return
        for worker in self._workers:
            if worker.message is message and worker.task is not None:
                worker.task.cancel()

    def close(self) -> None:
        """The tasks end with `run`."""
        self._backlog.clear()
        if self._threads is not None:
            self._threads.close()

    async def _work(self, worker: _Worker) -> None:
        backlog = self._backlog
        while True:
            while backlog:
                message = backlog.popleft()
                if message.verdict is None:
                    await self._handle(worker, message)
            waiting = self._loop.create_future()
            self._idle.append(waiting)
            await waiting

    async def _handle(self, worker: _Worker, message: NsqMessage) -> None:
        worker.message = message
        message.started_ns = self._clock.monotonic_ns()
        try:
            await self._handling.handle_async(message)
        except asyncio.CancelledError:
            if not message.has_expired:
                raise
            if worker.task is not None:
                worker.task.uncancel()
            _log.error("handler.timed_out", id=message.id, attempts=message.attempts)
            message.answer(REQUEUE)
        finally:
            worker.message = None
