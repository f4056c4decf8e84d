"""Publishes to nsqd: the first address while it answers, the others when it does not.

Publishes of one turn of the loop leave in one write and are confirmed in order. They come from the user, wait here
while there is no connection, go over a `client.lane`, and come back from it when its connection is lost.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from millstream.base.errors import UsageError
from millstream.base.log import get_logger
from millstream.base.system import random_fraction
from millstream.client.addresses import parse_nsqd_addresses
from millstream.client.errors import ConnectionFailed, PublishFailed
from millstream.client.lane import Lane, Publish
from millstream.client.options import WriterOptions
from millstream.client.outbox import Outbox
from millstream.client.redial import Redial
from millstream.client.stats import WriterStats
from millstream.protocol.commands import Dpub, Mpub, Pub
from millstream.protocol.errors import CommandError, DpubFailed, MpubFailed, PubFailed

_MS_PER_S: Final = 1_000
# Nsqd could not queue it (closing, disk full): another one, or the same a little later, may.
_RETRIED: Final = (PubFailed, MpubFailed, DpubFailed)

_log = get_logger("millstream.client")


class Writer:
    """Publishes to topics; each publish is awaited until nsqd confirms it.

        async with Writer(["127.0.0.1:4150"]) as writer:
            await writer.publish("events", b"...")

    Many tasks may publish at once. The first address is preferred (the nsqd on this host); when it fails, the next one
    takes over, until the first answers again. A publish whose connection was lost before its confirmation is sent again
    until `publish_timeout_ms`: the message may then arrive twice.
    """

    def __init__(self, nsqd_tcp_addresses: Iterable[str], *, options: WriterOptions | None = None) -> None:
        """Raise UsageError when there is no address, or a bad one."""
        self._addresses = list(dict.fromkeys(parse_nsqd_addresses(nsqd_tcp_addresses)))
        if not self._addresses:
            raise UsageError("a writer needs at least one address in nsqd_tcp_addresses")
        self._options = options or WriterOptions()
        self._outbox = Outbox(pending_max=self._options.pending_max, bytes_max=self._options.pending_bytes_max)
        self._lane: Lane | None = None
        self._retired: set[Lane] = set()
        self._task: asyncio.Task[None] | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._avoid_until_s: dict[int, float] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closing = False
        self.heartbeats = 0
        self._resent = 0
        self._connects = 0
        self._connect_failures = 0
        self._last_error = ""

    async def __aenter__(self) -> Self:
        """Start connecting; returns at once, whether or not anything answers."""
        if self._task is not None:
            raise UsageError("a writer is used once: make a new one")
        self._task = asyncio.create_task(self._stay_connected(), name="writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; after an exception, without waiting for confirmations."""
        await self._close(self._options.close_timeout_ms if error is None else 0)

    async def publish(self, topic: str, body: bytes) -> None:
        """Publish one message; returns when nsqd has it.

        PublishFailed when nsqd refuses it, or after `publish_timeout_ms`. UsageError, with nothing sent, for a name
        that is not valid, a body that is not bytes or is empty, or a writer that is not open.
        """
        _check_body(body)
        await self._publish(Pub(topic, body).encode())

    async def publish_many(self, topic: str, bodies: Sequence[bytes]) -> None:
        """Publish messages in one command; errors as `publish`. After one, some of them may have been published.

        An empty sequence publishes nothing.
        """
        for body in bodies:
            _check_body(body)
        encoded = Mpub(topic, bodies).encode()
        if bodies:
            await self._publish(encoded)

    async def publish_deferred(self, topic: str, delay_ms: int, body: bytes) -> None:
        """Publish one message that is delivered after `delay_ms` at the earliest; errors as `publish`."""
        _check_body(body)
        await self._publish(Dpub(topic, delay_ms, body).encode())

    async def close(self) -> None:
        """Refuse new publishes, wait for those pending at most `close_timeout_ms`, then close; the rest fail."""
        await self._close(self._options.close_timeout_ms)

    def stats(self) -> WriterStats:
        """What the writer did and holds now."""
        return WriterStats(
            nsqd_address=str(self._lane.address) if self._lane is not None else "",
            pending=self._outbox.pending,
            pending_bytes=self._outbox.pending_bytes,
            published=self._outbox.published,
            failed=self._outbox.failed,
            resent=self._resent,
            heartbeats=self.heartbeats,
            connects=self._connects,
            connect_failures=self._connect_failures,
            last_error=self._last_error,
        )

    # What lanes call.

    def confirmed(self, lane: Lane, publishes: list[Publish]) -> None:
        """Tell the callers, and go on."""
        self._outbox.confirm(publishes)
        if lane is self._lane:
            self._pump()
        elif not lane.sent:
            lane.close()

    def refused(self, lane: Lane, publish: Publish, error: CommandError) -> None:
        """Tell the caller, unless another nsqd may take it. The lane is about to close."""
        text = str(error)
        if isinstance(error, _RETRIED):
            publish.last_error = f"{lane.address}: {text}"
            self._outbox.put_back([publish])
            self._avoid(lane)
        else:
            lane.has_progress = True
            self._outbox.fail(publish, text, code=text.partition(" ")[0])

    def writable(self) -> None:
        """Send what had to wait for the socket."""
        self._pump()

    # Our own.

    async def _publish(self, encoded: bytes) -> None:
        if self._task is None or self._is_closing:
            raise UsageError("the writer is not open: use it within `async with`")
        if self._task.done():
            await self._task
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._options.publish_timeout_ms / _MS_PER_S
        if not self._outbox.try_reserve(len(encoded)):
            try:
                await self._outbox.reserve(len(encoded), deadline_s)
            except TimeoutError as error:
                raise PublishFailed(f"not sent in time: too many publishes pending; {self._last_error}") from error
        publish = self._outbox.add(encoded, deadline_s)
        if self._expiry_timer is None:
            self._expiry_timer = loop.call_at(deadline_s, self._expire)
        self._pump()
        await publish.answer

    def _pump(self) -> None:
        """Send what waits, as far as the connection takes it.

        A publish that was the oldest when a connection was lost may be the reason (too large, say), and the reset then
        destroys the error that nsqd sent: it goes alone, so that it takes no others with it again.
        """
        lane = self._lane
        if lane is None:
            return
        while lane.is_ready and (publish := self._outbox.first_unsent()) is not None:
            if lane.sent and (publish.suspicions or lane.sent[0].suspicions):
                return
            self._outbox.take_first()
            lane.send(publish)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        next_s = self._outbox.expire(loop.time())
        self._expiry_timer = None if next_s is None else loop.call_at(next_s, self._expire)

    async def _stay_connected(self) -> None:
        redial = Redial(
            delay_min_ms=self._options.reconnect_delay_ms,
            delay_max_ms=self._options.reconnect_delay_max_ms,
            random_fraction=random_fraction,
        )
        while True:
            lane = await self._dial(len(self._addresses))
            has_progress = lane is not None and await self._use(lane)
            if has_progress:
                redial.reset()
            else:
                await asyncio.sleep(redial.next_delay_ms() / _MS_PER_S)

    async def _dial(self, places: int) -> Lane | None:
        """Connect to the best of the first `places` addresses that answers."""
        now_s = asyncio.get_running_loop().time()
        order = sorted(range(places), key=lambda place: (self._avoid_until_s.get(place, 0.0) > now_s, place))
        for place in order:
            lane = Lane(self._addresses[place], place, self._options, self)
            try:
                await lane.open()
            except ConnectionFailed as error:
                self._connect_failures += 1
                self._note_error(str(error))
                self._avoid(lane)
                _log.warning("writer.connect_failed", nsqd=lane.address, error=error)
                continue
            self._connects += 1
            lane.closed.add_done_callback(partial(self._take_back, lane))
            _log.info("writer.connected", nsqd=lane.address)
            return lane
        return None

    async def _use(self, lane: Lane) -> bool:
        """Publish over this connection, or a better one when there is, until it is lost; True when it was of use."""
        while not lane.closed.done():
            self._lane = lane
            self._pump()
            timeout_s = self._options.preferred_retry_ms / _MS_PER_S if lane.preference else None
            await asyncio.wait([lane.closed], timeout=timeout_s)
            if lane.closed.done():
                break
            better = await self._dial(lane.preference)
            if better is not None:
                self._retired.add(lane)
                if not lane.sent:
                    lane.close()
                lane = better
        return lane.has_progress

    def _take_back(self, lane: Lane, closed: asyncio.Future[str]) -> None:
        """The connection is gone: what it did not answer is sent again."""
        reason = f"{lane.address}: {closed.result()}"
        sent = lane.take_sent()
        if lane is self._lane:
            self._lane = None
            if not self._is_closing:
                self._note_error(reason)
                _log.warning("writer.disconnected", nsqd=lane.address, reason=reason, unanswered=len(sent))
        self._retired.discard(lane)
        if sent and not lane.has_progress:
            self._avoid(lane)
        if sent and not lane.is_refused and not sent[0].answer.done():
            sent[0].suspicions += 1
            sent[0].last_error = reason
            if sent[0].suspicions >= self._options.publish_attempts_max:
                self._outbox.fail(
                    sent.pop(0), f"lost {self._options.publish_attempts_max} connections over it: {reason}"
                )
        self._resent += self._outbox.put_back(sent)
        self._pump()

    def _avoid(self, lane: Lane) -> None:
        """Prefer other addresses for a while."""
        now_s = asyncio.get_running_loop().time()
        self._avoid_until_s[lane.preference] = now_s + self._options.preferred_retry_ms / _MS_PER_S

    def _note_error(self, text: str) -> None:
        self._last_error = text
        self._outbox.note_error(text)

    async def _close(self, timeout_ms: int) -> None:
        if self._task is None:
            self._is_closing = True
            return
        try:
            if not self._is_closing:
                self._is_closing = True
                async with asyncio.timeout(timeout_ms / _MS_PER_S):
                    await self._outbox.wait_empty()
        except TimeoutError:
            _log.warning("writer.close_timed_out", pending=self._outbox.pending)
        finally:
            self._task.cancel()
            self._outbox.fail_all("the writer was closed")
            if self._expiry_timer is not None:
                self._expiry_timer.cancel()
            lanes = [lane for lane in (self._lane, *self._retired) if lane is not None]
            for lane in lanes:
                lane.close()
        if lanes:
            await asyncio.wait([lane.closed for lane in lanes], timeout=self._options.write_timeout_ms / _MS_PER_S)
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            await self._task


def _check_body(body: bytes) -> None:
    if not isinstance(body, bytes):
        raise UsageError(f"a message is bytes, not {type(body).__name__}")
    if not body:
        raise UsageError("a message has at least one byte: nsqd refuses an empty one")
