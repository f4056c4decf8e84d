"""Publishes to one topic until nsqd is killed, and notes what was acknowledged: over TCP, or over HTTP.

`torture.piece` starts one per connection and round. The book knows a message before its bytes leave, and an OK before
anything is done about it: what lies between the two is known to nobody.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final

from millstream.base.units import Address
from millstream.client.connection import Happening, NsqdConnection
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.protocol.client import Published, Refused
from millstream.protocol.commands import Dpub, Mpub, Pub
from millstream.torture.bodies import FILLER_BYTES_MAX, make_body
from millstream.torture.books import Books, TopicBook
from millstream.torture.link import dial

DELAYS_MS: Final = (0, 1, 50, 300, 900)

_BURSTS: Final = (1, 1, 1, 5, 20)
_BATCH_MAX: Final = 60
_WEB_BATCH_MAX: Final = 20
_MPUB_SHARE: Final = 0.3
_DPUB_SHARE: Final = 0.1
_HUGE_SHARE: Final = 0.0005
_FILLER_BYTES: Final = (0, 10, 200, 200, 1000)
_STATUS_OK: Final = 200


class Mixer:
    """Makes the messages of one publisher; each is in the book before anybody sees it."""

    def __init__(self, books: Books, place: int, chance: random.Random) -> None:
        self.book: TopicBook = books.topics[place]
        self.chance = chance
        self._run = books.run
        self._place = place

    def bodies(self, count: int, *, delay_ms: int = 0) -> tuple[range, list[bytes]]:
        """Messages that are about to be sent: their numbers, and their bodies."""
        numbers = self.book.send(count)
        return numbers, [self._body(number, delay_ms) for number in numbers]

    def _body(self, number: int, delay_ms: int) -> bytes:
        chance = self.chance
        filler = FILLER_BYTES_MAX if chance.random() < _HUGE_SHARE else chance.choice(_FILLER_BYTES)
        return make_body(self._run, self._place, number, delay_ms=delay_ms, filler_bytes=filler)

    def command(self) -> tuple[range, bytes]:
        """A PUB, MPUB or DPUB: the numbers of what it publishes, and its bytes."""
        topic = self.book.plan.name
        kind = self.chance.random()
        if kind < _MPUB_SHARE:
            numbers, bodies = self.bodies(self.chance.randint(1, _BATCH_MAX))
            return numbers, Mpub(topic, bodies).encode()
        if kind < _MPUB_SHARE + _DPUB_SHARE:
            delay_ms = self.chance.choice(DELAYS_MS)
            numbers, bodies = self.bodies(1, delay_ms=delay_ms)
            return numbers, Dpub(topic, delay_ms, bodies[0]).encode()
        numbers, bodies = self.bodies(1)
        return numbers, Pub(topic, bodies[0]).encode()

    def request(self) -> tuple[range, str, bytes]:
        """A publish over HTTP: the numbers, path and query, and the body."""
        topic = self.book.plan.name
        kind = self.chance.random()
        if kind < _MPUB_SHARE:
            numbers, bodies = self.bodies(self.chance.randint(1, _WEB_BATCH_MAX))
            packed = b"".join([len(body).to_bytes(4, "big") + body for body in bodies])
            return numbers, f"/mpub?topic={topic}&binary=true", len(bodies).to_bytes(4, "big") + packed
        delay_ms = self.chance.choice(DELAYS_MS) if kind < _MPUB_SHARE + _DPUB_SHARE else 0
        numbers, bodies = self.bodies(1, delay_ms=delay_ms)
        return numbers, f"/pub?topic={topic}" + (f"&defer={delay_ms}" if delay_ms else ""), bodies[0]


class Publisher:
    """Bursts of commands over one TCP connection; each burst is answered before the next one leaves."""

    def __init__(self, mixer: Mixer, books: Books, acknowledged: Callable[[], None]) -> None:
        self._mixer = mixer
        self._breaches = books.breaches
        self._acknowledged = acknowledged
        self._connection: NsqdConnection | None = None
        self._owed: deque[range] = deque()
        self._settled = asyncio.Event()

    async def open(self, address: Address) -> None:
        """Connect. Raises ConnectionFailed."""
        self._connection = await dial(address, self._on_event, has_timeouts=False)
        self._connection.closed.add_done_callback(lambda _: self._settled.set())

    async def run(self) -> None:
        """Publish until the connection ends."""
        connection = self._connection
        chance = self._mixer.chance
        rest_s = self._mixer.book.plan.rest_s
        while connection is not None and connection.is_open:
            self._settled.clear()
            for _ in range(chance.choice(_BURSTS)):
                numbers, data = self._mixer.command()
                self._owed.append(numbers)
                connection.protocol.publish(data)
            connection.wake()
            await self._settled.wait()
            await asyncio.sleep(chance.random() * rest_s)

    def drop(self) -> None:
        """Leave at once; nothing happens where the connection is gone."""
        if self._connection is not None:
            self._connection.drop("the round is over")

    def _on_event(self, event: Happening) -> None:
        if isinstance(event, Published):
            for _ in range(event.count):
                self._mixer.book.acknowledge(self._owed.popleft())
                self._acknowledged()
            if not self._owed:
                self._settled.set()
        elif isinstance(event, Refused) and not self._mixer.book.plan.may_refuse:
            self._breaches.note("a publish was refused", f"{self._mixer.book.plan.name}: {event.error}")


class WebPublisher:
    """Publishes over HTTP, one request after the other."""

    def __init__(
        self, mixer: Mixer, books: Books, acknowledged: Callable[[], None], http: HttpClient, address: Address
    ) -> None:
        self._address = address
        self._mixer = mixer
        self._breaches = books.breaches
        self._acknowledged = acknowledged
        self._http = http

    async def run(self) -> None:
        """Publish until nsqd answers no more."""
        chance = self._mixer.chance
        book = self._mixer.book
        while True:
            numbers, target, body = self._mixer.request()
            try:
                answer = await self._http.post(f"http://{self._address}{target}", body)
            except HttpFailed:
                return
            if answer.status == _STATUS_OK:
                book.acknowledge(numbers)
                self._acknowledged()
            elif not book.plan.may_refuse:
                self._breaches.note("a publish was refused", f"{book.plan.name}: {answer.status} {answer.body[:100]!r}")
            await asyncio.sleep(chance.random() * book.plan.rest_s)
