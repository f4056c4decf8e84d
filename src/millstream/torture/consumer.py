"""Reads one channel until nsqd is killed, or until the piece is drained: finishes, requeues, holds on, lets time out.

`torture.piece` starts one per connection and round. Every delivery is checked by the book of the channel, and every
FIN is in that book before it leaves.
"""

import asyncio
import random
from typing import Final

from millstream.base.units import Address
from millstream.client.connection import Happening, NsqdConnection
from millstream.client.message import Message
from millstream.protocol.client import AnswerRefused, Received, Refused
from millstream.protocol.commands import Rdy, Sub
from millstream.torture.books import Books, ChannelBook
from millstream.torture.link import dial

REQUEUE_DELAYS_MS: Final = (0, 20, 20, 200)

_REQUEUED_ATTEMPTS_MAX: Final = 10
_KEPT_ATTEMPTS_MAX: Final = 3
_TOUCH_EVERY_S: Final = 0.05
_TOUCHES_MAX: Final = 6


class Consumer:
    """One subscriber. When it is `draining`, it finishes everything as fast as it can."""

    def __init__(self, books: Books, place: int, book: ChannelBook, chance: random.Random, *, draining: bool) -> None:
        self._books = books
        self._place = place
        self._book = book
        self._chance = chance
        self._draining = draining
        self._waiting: list[Message] = []
        self._arrived = asyncio.Event()
        self._connection: NsqdConnection | None = None
        self._opened = 0
        self._forbidden_before = 0

    async def open(self, address: Address, ready_count: int) -> None:
        """Connect and subscribe. Raises ConnectionFailed."""
        plan = self._book.plan
        self._opened = self._books.ticks.next()
        self._forbidden_before = self._book.forbidden_before(self._opened)
        has_timeouts = plan.has_timeouts and not self._draining
        connection = await dial(address, self._on_event, has_timeouts=has_timeouts)
        connection.closed.add_done_callback(lambda _: self._arrived.set())
        connection.send(Sub(self._book.topic.plan.name, plan.name))
        connection.send(Rdy(ready_count))
        self._connection = connection

    async def run(self) -> None:
        """Answer what comes, until the connection ends."""
        connection = self._connection
        if connection is None:
            return
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            # What came before the end, and was not looked at by then, is as good as never delivered.
            if not connection.is_open:
                return
            messages, self._waiting = self._waiting, []
            self._answer(connection, messages)
            if self._book.plan.pause_s and not self._draining:
                await asyncio.sleep(self._chance.random() * self._book.plan.pause_s)

    def drop(self) -> None:
        """Leave at once; nothing happens where the connection is gone."""
        if self._connection is not None:
            self._connection.drop("the round is over")

    def close(self) -> None:
        """Leave; what was answered is sent before."""
        if self._connection is not None:
            self._connection.close()

    def _on_event(self, event: Happening) -> None:
        if isinstance(event, Received):
            self._waiting += event.messages
            self._arrived.set()
        elif isinstance(event, AnswerRefused):
            self._book.refused(str(event.error))
        elif isinstance(event, Refused) and not self._book.plan.is_taken_away:
            self._books.breaches.note("a consumer was refused", f"{self._book.name}: {event.error}")

    def _answer(self, connection: NsqdConnection, messages: list[Message]) -> None:
        book = self._book
        finished: list[int] = []
        for message in messages:
            number = book.take(
                message,
                run=self._books.run,
                place=self._place,
                opened=self._opened,
                forbidden_before=self._forbidden_before,
            )
            if number is None:
                connection.protocol.finish(message)
            elif self._draining or not self._is_special(connection, message, number):
                finished.append(number)
                connection.protocol.finish(message)
        book.finish(finished)
        connection.wake()

    def _is_special(self, connection: NsqdConnection, message: Message, number: int) -> bool:
        """Whether the message gets another answer than FIN now; if so, it got it."""
        plan = self._book.plan
        lot = self._chance.random()
        if lot < plan.requeued and message.attempts < _REQUEUED_ATTEMPTS_MAX:
            delay_ms = self._chance.choice(REQUEUE_DELAYS_MS)
            self._book.requeue(number, delay_ms)
            connection.protocol.requeue(message, delay_ms)
            return True
        lot -= plan.requeued
        if 0 <= lot < plan.kept and message.attempts < _KEPT_ATTEMPTS_MAX:
            return True
        lot -= plan.kept
        if 0 <= lot < plan.touched:
            self._hold(connection, message, number, self._chance.randint(1, _TOUCHES_MAX))
            return True
        return False

    def _hold(self, connection: NsqdConnection, message: Message, number: int, touches: int) -> None:
        """TOUCH again and again, then FIN."""
        if not connection.is_open:
            return
        if touches:
            connection.protocol.touch(message)
            loop = asyncio.get_running_loop()
            loop.call_later(_TOUCH_EVERY_S, self._hold, connection, message, number, touches - 1)
        else:
            self._book.finish([number])
            connection.protocol.finish(message)
        connection.wake()
