"""Runs sync handlers in worker threads, a whole batch of messages for each hop between threads.

Batches come from `queuereader.consumer`; the answers gather in `queuereader.answers` and are drained when a batch is
done, and every few milliseconds while one is under way: a slow handler does not hold back the FINs of those before it.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError
from millstream.queuereader.handling import Handler, Handling
from millstream.queuereader.message import NsqMessage

_DRAIN_INTERVAL_S: Final = 0.02
# With several threads a batch is cut so that each gets about this many parts of it: a slow part then delays few.
_PARTS_PER_THREAD: Final = 4

Job = Callable[[], None]


class HandlerStuck(MillstreamError):
    """A sync handler took longer than `handler_timeout_ms`; a thread cannot be stopped, so the process has to end."""


class Threads:
    """Daemon threads that run jobs in the order in which they come; an exception of a job is raised by `watch`."""

    def __init__(self, count: int, *, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._is_started = False
        self._failed: asyncio.Future[None] = self._loop.create_future()

    async def watch(self) -> None:
        """Wait, and raise when a thread ends or is stuck."""
        await asyncio.shield(self._failed)

    def fail_stuck(self, message: NsqMessage) -> None:
        """The handler of this message has had its time, and nothing can free its thread: fail as a whole."""
        text = f"the handler of message {message.id.decode('ascii', 'replace')} exceeds handler_timeout_ms"
        _set_exception(self._failed, HandlerStuck(text))

    def submit(self, job: Job) -> None:
        """Run `job` in the next thread that is free."""
        if not self._is_started:
            self._is_started = True
            for number in range(self._count):
                # Daemons: a handler that never returns must not keep the process.
                threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()
        self._jobs.put(job)

    async def call(self, handler: Handler, event: Any, message: NsqMessage) -> Any:
        """Run a handler in a thread and await what it returns."""
        result: asyncio.Future[Any] = self._loop.create_future()

        def job() -> None:
            try:
                value = handler(event, message)
            except Exception as error:  # noqa: BLE001 - it is raised again where it is awaited
                self._tell(_set_exception, result, error)
            else:
                self._tell(_set_result, result, value)

        self.submit(job)
        return await result

    def close(self) -> None:
        """Let each thread end after what it does now."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - a handler may raise SystemExit, which a thread would swallow
                self._tell(_set_exception, self._failed, MillstreamError(f"a worker thread ended: {error!r}"))
                return

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop is closed: the process is ending, and waits for this thread no longer.
            return


class ThreadWorkers:
    """`queuereader.consumer.Workers` for sync handlers."""

    def __init__(self, handling: Handling, threads: Threads, *, count: int, clock: Clock, drain: Job) -> None:
        """`drain` carries out the answers given so far; it is called on the loop."""
        self._handling = handling
        self._threads = threads
        self._count = count
        self._clock = clock
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self._batches = 0
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, messages: Sequence[NsqMessage]) -> None:
        """Hand the batch over, in one part for each thread or more."""
        size = len(messages) if self._count == 1 else max(1, len(messages) // (self._count * _PARTS_PER_THREAD))
        for start in range(0, len(messages), size or 1):
            self._batches += 1
            part = messages[start : start + size]
            self._threads.submit(partial(self._handle, part))
        if self._batches and self._timer is None:
            self._timer = self._loop.call_later(_DRAIN_INTERVAL_S, self._tick)

    async def run(self) -> None:
        """Raise when a thread ends."""
        await self._threads.watch()

    def expire(self, message: NsqMessage) -> None:
        """Fail as a whole: nothing can free the thread."""
        self._threads.fail_stuck(message)

    def close(self) -> None:
        """Let the threads end."""
        if self._timer is not None:
            self._timer.cancel()
        self._threads.close()

    def _handle(self, messages: Sequence[NsqMessage]) -> None:
        handle, now_ns = self._handling.handle, self._clock.monotonic_ns
        for message in messages:
            if message.verdict is None:
                message.started_ns = now_ns()
                handle(message)
        try:
            self._loop.call_soon_threadsafe(self._finish_batch)
        except RuntimeError:
            # The loop is closed: there is nobody left to send answers.
            return

    def _finish_batch(self) -> None:
        self._batches -= 1
        self._drain()

    def _tick(self) -> None:
        self._drain()
        self._timer = self._loop.call_later(_DRAIN_INTERVAL_S, self._tick) if self._batches else None


def _set_result(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _set_exception(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
