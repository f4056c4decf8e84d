"""Everything that a writer holds: publishes that wait for a connection, and the room for more.

`client.writer` puts publishes in and settles them; a publish counts from its reservation until it is settled and no
connection can answer it any more. Callers beyond the limits wait for room in the order they came.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from millstream.client.errors import PublishFailed
from millstream.client.lane import Publish


class Outbox:
    """The publishes of one writer, oldest first. Only to be used within one event loop."""

    def __init__(self, *, pending_max: int, bytes_max: int) -> None:
        self.pending = 0
        self.pending_bytes = 0
        self.published = 0
        self.failed = 0
        self._pending_max = pending_max
        self._bytes_max = bytes_max
        self._unsent: deque[Publish] = deque()
        self._by_age: deque[Publish] = deque()
        self._takers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._emptied = asyncio.Event()

    def try_reserve(self, size_bytes: int) -> bool:
        """Take room for a publish of this size, when there is some and nobody waits for it."""
        if self._takers or not self._has_room(size_bytes):
            return False
        self._count(size_bytes)
        return True

    async def reserve(self, size_bytes: int, deadline_s: float) -> None:
        """Wait for room; TimeoutError at the deadline, which is an instant of the loop's clock."""
        if self.try_reserve(size_bytes):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        taker = (size_bytes, future)
        self._takers.append(taker)
        try:
            async with asyncio.timeout_at(deadline_s):
                await future
        except BaseException:
            if taker in self._takers:
                self._takers.remove(taker)
                self._give_room()
            elif future.done() and not future.cancelled() and future.exception() is None:
                self._discount(size_bytes)
            raise

    def add(self, encoded: bytes, deadline_s: float) -> Publish:
        """Make the publish that room was reserved for; it waits to be sent."""
        publish = Publish(encoded, asyncio.get_running_loop().create_future(), deadline_s)
        self._by_age.append(publish)
        self._unsent.append(publish)
        return publish

    def first_unsent(self) -> Publish | None:
        """The publish to send next; those that nobody waits for any more are dropped on the way."""
        while self._unsent:
            if not self._unsent[0].answer.done():
                return self._unsent[0]
            self._discount(len(self._unsent.popleft().encoded))
        return None

    def take_first(self) -> None:
        """Remove what `first_unsent` showed: it is being sent."""
        self._unsent.popleft()

    def put_back(self, publishes: Iterable[Publish]) -> int:
        """Send these again, before all others and in this order; how many there are of them."""
        wanted: list[Publish] = []
        for publish in publishes:
            if publish.answer.done():
                self._discount(len(publish.encoded))
            else:
                wanted.append(publish)
        self._unsent.extendleft(reversed(wanted))
        return len(wanted)

    def confirm(self, publishes: Iterable[Publish]) -> None:
        """Nsqd took these."""
        for publish in publishes:
            if not publish.answer.done():
                publish.answer.set_result(None)
                self.published += 1
            self._discount(len(publish.encoded))
        self._forget_answered()

    def fail(self, publish: Publish, text: str, *, code: str = "") -> None:
        """This one will not be sent again."""
        self._reject(publish, text, code)
        self._discount(len(publish.encoded))
        self._forget_answered()

    def expire(self, now_s: float) -> float | None:
        """Fail what is beyond its deadline; the next deadline, None when nothing is pending.

        What was sent already still counts until it is answered, or its connection is lost.
        """
        for publish in self._by_age:
            if publish.deadline_s > now_s:
                break
            reason = f": {publish.last_error}" if publish.last_error else ""
            self._reject(publish, f"not confirmed in time{reason}", "")
        self._forget_answered()
        # Those still unsent leave now; they are at the front, since the oldest are.
        self.first_unsent()
        return self._by_age[0].deadline_s if self._by_age else None

    def fail_all(self, text: str) -> None:
        """Nothing is sent any more: everybody who waits gets an error."""
        while self._takers:
            _, future = self._takers.popleft()
            if not future.done():
                future.set_exception(PublishFailed(text))
        for publish in self._by_age:
            self._reject(publish, text, "")
        self._by_age.clear()
        self.first_unsent()

    async def wait_empty(self) -> None:
        """Until nothing is pending."""
        while self.pending:
            self._emptied.clear()
            await self._emptied.wait()

    def note_error(self, text: str) -> None:
        """Remember why the oldest is still not confirmed, for its error text."""
        if self._by_age:
            self._by_age[0].last_error = text

    def _reject(self, publish: Publish, text: str, code: str) -> None:
        if not publish.answer.done():
            publish.answer.set_exception(PublishFailed(text, code=code))
            self.failed += 1

    def _forget_answered(self) -> None:
        while self._by_age and self._by_age[0].answer.done():
            self._by_age.popleft()

    def _has_room(self, size_bytes: int) -> bool:
        # A single publish may be larger than the limit: it would wait for ever.
        if self.pending == 0:
            return True
        return self.pending < self._pending_max and self.pending_bytes + size_bytes <= self._bytes_max

    def _count(self, size_bytes: int) -> None:
        self.pending += 1
        self.pending_bytes += size_bytes

    def _discount(self, size_bytes: int) -> None:
        self.pending -= 1
        self.pending_bytes -= size_bytes
        if self._takers:
            self._give_room()
        if self.pending == 0:
            self._emptied.set()

    def _give_room(self) -> None:
        while self._takers and self._has_room(self._takers[0][0]):
            size_bytes, future = self._takers.popleft()
            if not future.done():
                self._count(size_bytes)
                future.set_result(None)
