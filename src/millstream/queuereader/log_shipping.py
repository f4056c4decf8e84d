"""Ships log records of this process as JSON events to a topic, from a thread of its own.

Records come from `logging` (`queuereader.logatron_client` installs the handler), wait in a bounded queue, and are
published in batches through a Writer. Nobody who logs ever waits: a record that finds the queue full is counted, and
the next batch says how many were lost. When publishing fails, the records of the batch are written to stderr instead.
"""

import asyncio
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

from millstream.base.errors import MillstreamError
from millstream.base.log import Event
from millstream.base.system import host_name, process_id
from millstream.queuereader.answers import Publisher

_QUEUE_MAX: Final = 10_000
_BATCH_MAX: Final = 200
_TEXT_LENGTH_MAX: Final = 20_000


class LogShipper(logging.Handler):
    """A handler of `logging`; its thread starts with the first record."""

    def __init__(
        self,
        *,
        service: str,
        topic: str,
        open_writer: Callable[[], AbstractAsyncContextManager[Publisher]],
        queue_max: int = _QUEUE_MAX,
        fallback: TextIO | None = None,
    ) -> None:
        """`open_writer` is called in the thread; `fallback` (stderr when None) gets what could not be published."""
        super().__init__()
        self._service = service
        self._topic = topic
        self._open_writer = open_writer
        self._fallback = fallback
        self._queue: deque[bytes] = deque()
        self._queue_max = queue_max
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._is_closing = False
        self._host = host_name()
        self._process = process_id()
        self.lost = 0
        self.shipped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; never waits, never raises."""
        thread = self._thread
        if self._is_closing or (thread is not None and record.thread == thread.ident):
            # What the Writer itself has to say about a broken connection would only make more of it.
            return
        try:
            if len(self._queue) >= self._queue_max:
                self.lost += 1
                return
            self._queue.append(self._encode(record))
        except Exception:  # noqa: BLE001 - as every handler of `logging`
            self.handleError(record)
            return
        if thread is None:
            self._thread = threading.Thread(target=self._run, name="logatron", daemon=True)
            self._thread.start()
        self._notify()

    def close_within(self, timeout_s: float) -> None:
        """Publish what waits, at most for `timeout_s`; later records are not shipped."""
        self._is_closing = True
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._notify()
            thread.join(timeout_s)

    def _notify(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:
                # The thread is through; `close_within` was called at the same moment.
                return

    def _encode(self, record: logging.LogRecord) -> bytes:
        message = record.msg
        event = message if isinstance(message, Event) else None
        document: dict[str, object] = {
            "service": self._service,
            "host": self._host,
            "pid": self._process,
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event.name if event is not None else "",
            "message": record.getMessage()[:_TEXT_LENGTH_MAX],
            "fields": {key: _plain(value) for key, value in event.fields.items()} if event is not None else {},
        }
        if record.exc_info:
            document["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-_TEXT_LENGTH_MAX:]
        return msgspec.json.encode(document)

    def _run(self) -> None:
        try:
            asyncio.run(self._ship())
        except MillstreamError as error:
            self._write_locally([f"logatron: {error}".encode()])
            self._is_closing = True

    async def _ship(self) -> None:
        """The life of the thread: until `close_within`, then what is left."""
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with self._open_writer() as writer:
            while True:
                while self._queue:
                    await self._ship_batch(writer)
                if self._is_closing:
                    return
                await self._wake.wait()
                self._wake.clear()

    async def _ship_batch(self, writer: Publisher) -> None:
        bodies = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH_MAX))]
        lost, self.lost = self.lost, 0
        if lost:
            bodies.append(msgspec.json.encode({"service": self._service, "event": "logatron.lost", "count": lost}))
        try:
            await writer.publish_many(self._topic, bodies)
            self.shipped += len(bodies)
        except MillstreamError as error:
            self._write_locally([*bodies, f"logatron: not published: {error}".encode()])

    def _write_locally(self, lines: list[bytes]) -> None:
        stream = self._fallback or sys.stderr
        stream.write("".join(line.decode("utf-8", "replace") + "\n" for line in lines))
        stream.flush()


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text[:_TEXT_LENGTH_MAX]
