"""Carries answers from handlers to nsqd: events are published first, then the FIN or REQ goes out, and is counted.

Handlers append to a queue, from any thread (`put` on the loop's side, `put_from_thread` on the worker's); `drain`
empties it on the loop, many answers at a time, so that they leave in one write. `publish` is the task of a Reader that
emits events: while one publish is awaited, the next events gather, and go as one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger
from millstream.client import PublishFailed
from millstream.queuereader.in_hand import InHand
from millstream.queuereader.message import NsqMessage, Touch
from millstream.queuereader.stats import Counters
from millstream.queuereader.verdict import REQUEUE, Finish, GiveUp, Reject, Requeue

# One MPUB stays well below nsqd's default limits.
_PUBLISH_MESSAGES_MAX: Final = 1_000
_PUBLISH_BYTES_MAX: Final = 1 << 20

_log = get_logger(__name__)


class Publisher(Protocol):
    """What is needed of a Writer of `millstream.client`."""

    async def publish_many(self, topic: str, bodies: Sequence[bytes]) -> None:
        """Publish all of `bodies`, or raise."""
        ...


class Answers:
    """The way out of one Reader's messages; lives on the loop, except for `put` and `put_from_thread`."""

    def __init__(
        self, *, reader_name: str, in_hand: InHand, counters: Counters, publisher: Publisher | None, topic: str
    ) -> None:
        """`topic` is where events go, through `publisher`."""
        self._reader_name = reader_name
        self._in_hand = in_hand
        self._counters = counters
        self._publisher = publisher
        self._topic = topic
        self._queue: deque[NsqMessage | Touch] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._is_drain_due = False
        self._to_publish: list[NsqMessage] = []
        self._has_events = asyncio.Event()
        # Of a worker thread that answers many messages in a row: no wake-up of the loop for each; the owner drains.
        self.put_from_thread: Callable[[NsqMessage | Touch], None] = self._queue.append

    def put(self, item: NsqMessage | Touch) -> None:
        """Take an answer, or a TOUCH, and drain at the next turn of the loop; from any thread."""
        self._queue.append(item)
        if threading.get_ident() != self._loop_thread:
            self._loop.call_soon_threadsafe(self.drain)
        elif not self._is_drain_due:
            self._is_drain_due = True
            self._loop.call_soon(self.drain)

    def drain(self) -> None:
        """Carry out what was put so far."""
        self._is_drain_due = False
        queue = self._queue
        while queue:
            item = queue.popleft()
            if isinstance(item, Touch):
                self.touch(item.message)
            elif item.events and isinstance(item.verdict, Finish):
                self._to_publish.append(item)
                self._has_events.set()
            else:
                self._send(item)

    def touch(self, message: NsqMessage) -> None:
        """Ask nsqd for more time."""
        if not message.source.has_responded:
            self._counters.touched += 1
            message.source.touch()

    async def publish(self) -> None:
        """Publish events and finish their messages, until cancelled; cancel only when nothing is in hand."""
        while True:
            await self._has_events.wait()
            self._has_events.clear()
            messages, self._to_publish = self._to_publish, []
            for batch in _batches(messages):
                await self._publish_batch(batch)

    async def _publish_batch(self, messages: list[NsqMessage]) -> None:
        error = await self._publish_events(messages)
        if isinstance(error, PublishFailed) and error.code and len(messages) > 1:
            # Refused: perhaps for one event of them (too large, say), which must not hold up the others.
            for message in messages:
                await self._publish_batch([message])
            return
        count = sum(len(message.events or ()) for message in messages)
        if error is not None:
            _log.error(
                "events.not_published", reader=self._reader_name, topic=self._topic, messages=len(messages), error=error
            )
            self._counters.publish_failed += count
        else:
            self._counters.published += count
        for message in messages:
            message.has_failed = error is not None
            message.verdict = REQUEUE if error is not None else message.verdict
            self._send(message)

    async def _publish_events(self, messages: list[NsqMessage]) -> MillstreamError | None:
        if self._publisher is None:
            return MillstreamError("there is no nsqd to publish to")
        try:
            await self._publisher.publish_many(
                self._topic, [body for message in messages for body in message.events or ()]
            )
        except MillstreamError as error:
            return error
        return None

    def _send(self, message: NsqMessage) -> None:
        self._in_hand.discard(message)
        source, verdict, counters = message.source, message.verdict, self._counters
        if source.has_responded:
            # Two threads answered at the same moment; the first one counts.
            return
        counters.handled += message.was_handled
        counters.failed += message.has_failed
        if isinstance(verdict, Requeue):
            counters.requeued += 1
            source.requeue(verdict.delay_ms, backoff=verdict.backoff)
            return
        if isinstance(verdict, Reject):
            counters.rejected += 1
        elif isinstance(verdict, GiveUp):
            counters.gave_up += 1
        else:
            counters.finished += 1
        source.finish()


def _batches(messages: list[NsqMessage]) -> Iterator[list[NsqMessage]]:
    batch: list[NsqMessage] = []
    count = size_bytes = 0
    for message in messages:
        events = message.events or ()
        grown_bytes = sum(map(len, events))
        if batch and (count + len(events) > _PUBLISH_MESSAGES_MAX or size_bytes + grown_bytes > _PUBLISH_BYTES_MAX):
            yield batch
            batch, count, size_bytes = [], 0, 0
        batch.append(message)
        count += len(events)
        size_bytes += grown_bytes
    if batch:
        yield batch
