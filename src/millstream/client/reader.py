"""Reads a channel of a topic: an asynchronous iterator of messages, or of batches as they came in.

Messages come from `client.fleet`, a list per read of a socket, and wait here until the user takes them; too many of
them and delivery is stopped (RDY 0) until the user caught up, while heartbeats go on.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Final, Self

from millstream.base.errors import UsageError
from millstream.base.log import get_logger
from millstream.client.addresses import parse_lookupd_addresses, parse_nsqd_addresses
from millstream.client.fleet import Fleet
from millstream.client.message import Message
from millstream.client.options import ReaderOptions
from millstream.client.stats import ReaderStats, SubscriptionStats
from millstream.client.subscription import Subscription
from millstream.protocol.names import is_valid_name

# A loop that takes ready messages never waits by itself; the sockets get their turn at least this often.
_TURN_S: Final = 0.05
# Below this part of `unread_bytes_max` delivery goes on.
_LOW_WATER: Final = 0.5

_log = get_logger("millstream.client")


class Reader:
    """Subscribes to `channel` of `topic` on every nsqd given, or found through nsqlookupd.

        async with Reader("events", "archive", nsqd_tcp_addresses=["127.0.0.1:4150"]) as reader:
            async for message in reader:
                ...
                message.finish()

    Answer every message. Connections are made, and made again when lost, in the background; a message whose connection
    was lost is delivered again, and answering it does nothing. Several tasks may iterate; each message goes to one.
    """

    def __init__(
        self,
        topic: str,
        channel: str,
        *,
        nsqd_tcp_addresses: Iterable[str] = (),
        lookupd_http_addresses: Iterable[str] = (),
        options: ReaderOptions | None = None,
    ) -> None:
        """Raise UsageError for a bad name or address, or when there is no address at all."""
        for what, name in (("topic", topic), ("channel", channel)):
            if not is_valid_name(name):
                raise UsageError(
                    f"{what} {name!r} is not a valid name: use 1 to 64 of . a-z A-Z 0-9 _ -, and #ephemeral at the end"
                )
        self.topic = topic
        self.channel = channel
        self._addresses = parse_nsqd_addresses(nsqd_tcp_addresses)
        self._lookupd_urls = parse_lookupd_addresses(lookupd_http_addresses)
        if not self._addresses and not self._lookupd_urls:
            raise UsageError("a reader needs nsqd_tcp_addresses or lookupd_http_addresses")
        self._options = options or ReaderOptions()
        self._fleet: Fleet | None = None
        self._task: asyncio.Task[None] | None = None
        self._unread: deque[tuple[list[Message], int]] = deque()
        self._unread_bytes = 0
        self._opened: deque[Message] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._is_held = False
        self._is_closed = False
        self._turn_at_s = 0.0
        self._close_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Start connecting; returns at once, whether or not anything answers."""
        if self._fleet is not None:
            raise UsageError("a reader is used once: make a new one")
        self._fleet = Fleet(self.topic, self.channel, self._addresses, self._lookupd_urls, self._options, self._receive)
        self._task = asyncio.create_task(self._fleet.run(), name=f"reader {self.topic}:{self.channel}")
        self._task.add_done_callback(lambda _: self._wake_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; after an exception, without waiting for answers that nobody will give."""
        await self._close(self._options.close_timeout_ms if error is None else 0)

    def __aiter__(self) -> Self:
        """Iterate single messages, until the reader is closed."""
        return self

    async def __anext__(self) -> Message:
        """Wait for a message; StopAsyncIteration once the reader is closed."""
        loop = asyncio.get_running_loop()
        if self._opened and loop.time() - self._turn_at_s > _TURN_S:
            await asyncio.sleep(0)
            self._turn_at_s = loop.time()
        while not self._opened:
            batch = await self._take()
            if batch is None:
                raise StopAsyncIteration
            self._opened.extend(batch)
        return self._opened.popleft()

    async def batches(self) -> AsyncIterator[list[Message]]:
        """Iterate lists of messages as they came in together, never empty, until the reader is closed."""
        while (batch := await self._take()) is not None:
            yield batch

    async def close(self) -> None:
        """Close gracefully, at most for `close_timeout_ms`; the iteration ends.

        Messages that nobody took are requeued at once; those taken may still be answered until nsqd confirmed that no
        more will come and the last one is answered.
        """
        await self._close(self._options.close_timeout_ms)

    def set_max_in_flight(self, count: int) -> None:
        """Allow `count` unanswered messages over all connections; 0 stops delivery. UsageError when negative."""
        if count < 0:
            raise UsageError(f"max_in_flight is {count}: it is not negative")
        self._started().set_max_in_flight(count)

    @property
    def is_starved(self) -> bool:
        """True when a connection has nearly as much in flight as it may: whoever collects messages should answer."""
        return self._fleet is not None and self._fleet.is_starved

    def stats(self) -> ReaderStats:
        """What the reader did and holds now; UsageError before it was entered."""
        fleet = self._started()
        counters = fleet.counters
        discovery = fleet.discovery
        return ReaderStats(
            connections=tuple(
                SubscriptionStats(
                    nsqd_address=one.nsqd_address, rdy=one.rdy, in_flight=one.in_flight, messages=one.messages
                )
                for one in fleet.subscriptions
            ),
            max_in_flight=fleet.max_in_flight,
            unread=sum(len(batch) for batch, _ in self._unread) + len(self._opened),
            unread_bytes=self._unread_bytes,
            received=counters.received,
            finished=counters.finished,
            requeued=counters.requeued,
            touched=counters.touched,
            gave_up=counters.gave_up,
            late=counters.late,
            refused=counters.refused,
            held=counters.held,
            dropped=counters.dropped,
            heartbeats=counters.heartbeats,
            connects=counters.connects,
            connect_failures=counters.connect_failures,
            lookups=discovery.lookups if discovery is not None else 0,
            lookup_failures=discovery.failures if discovery is not None else 0,
            backoff_counter=fleet.backoff.counter,
            is_paused=fleet.backoff.is_paused,
            last_error=fleet.last_error or (discovery.last_error if discovery is not None else ""),
        )

    def _started(self) -> Fleet:
        if self._fleet is None:
            raise UsageError("enter the reader first: async with Reader(...) as reader")
        return self._fleet

    def _receive(self, messages: list[Message]) -> None:
        limit = self._options.max_attempts
        if limit and any([message.attempts > limit for message in messages]):  # noqa: C419 - a list is faster here
            messages = [message for message in messages if message.attempts <= limit or not self._give_up(message)]
            if not messages:
                return
        size_bytes = sum([len(message.body) for message in messages])
        self._unread.append((messages, size_bytes))
        self._unread_bytes += size_bytes
        if self._unread_bytes > self._options.unread_bytes_max and not self._is_held:
            self._is_held = True
            self._started().hold(is_held=True)
        self._wake_one()

    def _give_up(self, message: Message) -> bool:
        """Report and finish a message that was tried too often; always True."""
        counters = self._started().counters
        counters.gave_up += 1
        _log.error(
            "reader.gave_up", topic=self.topic, id=message.id.decode("ascii", "replace"), attempts=message.attempts
        )
        try:
            if self._options.gave_up is not None:
                self._options.gave_up(message)
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            # Whoever was to take care of it did not: it must not vanish.
            _log.exception("reader.gave_up_failed", error, topic=self.topic)
            if not message.responded:
                message.requeue(backoff=False)
        if not message.responded:
            message.finish()
        return True

    async def _take(self) -> list[Message] | None:
        loop = asyncio.get_running_loop()
        self._drop_lost()
        if self._unread:
            await asyncio.sleep(0)
        while not self._unread:
            if self._is_closed:
                return None
            if self._task is not None and self._task.done():
                await self._task
                return None
            taker = loop.create_future()
            self._takers.append(taker)
            try:
                await taker
            except asyncio.CancelledError:
                if taker.done() and not taker.cancelled():
                    self._wake_one()
                raise
        self._turn_at_s = loop.time()
        batch, size_bytes = self._unread.popleft()
        self._unread_bytes -= size_bytes
        self._check_unread()
        return batch

    def _drop_lost(self) -> None:
        """Leave out what waits of a connection that is lost: nsqd delivers it again, so it would be handled twice."""
        fleet = self._started()
        while self._unread:
            batch, size_bytes = self._unread[0]
            source = batch[0].source
            if not isinstance(source, Subscription) or source.is_open:
                return
            self._unread.popleft()
            self._unread_bytes -= size_bytes
            fleet.counters.dropped += len(batch)
            self._check_unread()

    def _check_unread(self) -> None:
        if self._is_held and self._unread_bytes <= self._options.unread_bytes_max * _LOW_WATER:
            self._is_held = False
            self._started().hold(is_held=False)

    def _wake_one(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._takers:
            self._wake_one()

    async def _close(self, timeout_ms: int) -> None:
        async with self._close_lock:
            is_first, self._is_closed = not self._is_closed, True
            if self._fleet is None or self._task is None:
                return
            try:
                if is_first:
                    self._release_unread()
                    self._wake_all()
                    await self._fleet.drain(timeout_ms)
            finally:
                self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                await self._task

    def _release_unread(self) -> None:
        messages = [*self._opened, *(message for batch, _ in self._unread for message in batch)]
        self._opened.clear()
        self._unread.clear()
        self._unread_bytes = 0
        for message in messages:
            source = message.source
            if isinstance(source, Subscription):
                source.release(message)
