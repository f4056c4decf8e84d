"""One connection of a reader: subscribed to the channel, with its RDY and its messages in flight.

`client.fleet` opens it and sets its RDY; messages go to the fleet as they came in, a list per read. Answers come from
`client.message`, one call each, and are queued on the connection; the fleet hears of each before its bytes are queued,
so that a RDY it causes goes first.
"""

import asyncio
from dataclasses import replace
from typing import Protocol

from millstream.base.log import get_logger
from millstream.base.units import Address
from millstream.client.backoff import Result
from millstream.client.connection import Happening, NsqdConnection, identify_request
from millstream.client.message import Message
from millstream.client.options import ReaderOptions
from millstream.client.stats import ReaderCounters
from millstream.protocol.client import AnswerRefused, Drained, Heartbeat, Received, Refused
from millstream.protocol.commands import Cls, Rdy, Sub

_log = get_logger("millstream.client")


class Owner(Protocol):
    """Who holds the subscriptions of a reader."""

    counters: ReaderCounters
    is_watching: bool

    def messages_received(self, subscription: "Subscription", messages: list[Message]) -> None:
        """A read gave these."""
        ...

    def answering(self, result: Result) -> None:
        """A message is about to be answered; called only while `is_watching`, or for what is no success."""
        ...

    def drained(self) -> None:
        """A subscription that is closing has one thing less to wait for."""
        ...


class Subscription:
    """A `client.message.Source`. `in_flight` counts messages received and not answered."""

    def __init__(self, address: Address, topic: str, channel: str, options: ReaderOptions, owner: Owner) -> None:
        self.address = address
        self.topic = topic
        self.channel = channel
        self.nsqd_address = str(address)
        self.in_flight = 0
        self.messages = 0
        self.rdy = 0
        self.is_closing = False
        self._has_close_wait = False
        self._options = options
        self._owner = owner
        request = replace(
            identify_request(options),
            msg_timeout_ms=options.msg_timeout_ms,
            sample_rate=options.sample_rate,
            output_buffer_bytes=options.output_buffer_size,
            output_buffer_timeout_ms=options.output_buffer_timeout_ms,
        )
        self._connection = NsqdConnection(address, options, request, self._take_event, source=self)
        self._protocol = self._connection.protocol

    @property
    def closed(self) -> asyncio.Future[str]:
        """Done, with the reason, when the connection is gone."""
        return self._connection.closed

    @property
    def rdy_max(self) -> int:
        """The highest RDY that this nsqd accepts."""
        return self._connection.negotiated.max_rdy_count

    @property
    def is_idle(self) -> bool:
        """True when a closing subscription waits for nothing more."""
        return not self._connection.is_open or (self._has_close_wait and self.in_flight <= 0)

    @property
    def is_open(self) -> bool:
        """False once the connection is lost or closed: nobody can answer its messages any more."""
        return self._connection.is_open

    async def open(self) -> None:
        """Connect and subscribe; ConnectionFailed. RDY starts at 0."""
        await self._connection.open()
        self._connection.send(Sub(self.topic, self.channel))

    def set_rdy(self, count: int) -> None:
        """Ask for at most `count` messages in flight."""
        if self._connection.is_open and not self.is_closing:
            self.rdy = count
            self._connection.send(Rdy(count))

    def begin_close(self) -> None:
        """CLS: no new messages; those in flight may still be answered."""
        if self._connection.is_open and not self.is_closing:
            self.is_closing = True
            self.rdy = 0
            self._connection.send(Cls())

    def close(self) -> None:
        """Write what is queued, and close."""
        self._connection.close()

    def drop(self, reason: str) -> None:
        """Close at once."""
        self._connection.drop(reason)

    def finish(self, message: Message) -> None:
        """Queue FIN."""
        counters = self._owner.counters
        if not self._connection.is_open:
            counters.late += 1
            return
        if self._owner.is_watching:
            self._owner.answering(Result.SUCCESS)
        counters.finished += 1
        self.in_flight -= 1
        self._protocol.finish(message)
        self._connection.wake()
        if self.is_closing:
            self._owner.drained()

    def requeue(self, message: Message, delay_ms: int | None, *, backoff: bool) -> None:
        """Queue REQ, with a delay that grows with attempts when none is given."""
        counters = self._owner.counters
        if not self._connection.is_open:
            counters.late += 1
            return
        self._owner.answering(Result.FAILURE if backoff else Result.NEUTRAL)
        self._requeue(message, self._requeue_delay_ms(message) if delay_ms is None else delay_ms)

    def release(self, message: Message) -> None:
        """Hand back a message that nobody looked at: delivered again at once, and no sign of trouble."""
        if self._connection.is_open:
            message.responded = True
            self._requeue(message, 0)

    def touch(self, message: Message) -> None:
        """Queue TOUCH."""
        counters = self._owner.counters
        if not self._connection.is_open:
            counters.late += 1
            return
        counters.touched += 1
        self._protocol.touch(message)
        self._connection.wake()

    def _requeue(self, message: Message, delay_ms: int) -> None:
        self._owner.counters.requeued += 1
        self.in_flight -= 1
        self._protocol.requeue(message, delay_ms)
        self._connection.wake()
        if self.is_closing:
            self._owner.drained()

    def _requeue_delay_ms(self, message: Message) -> int:
        delay_ms = self._options.default_requeue_delay_ms * max(1, message.attempts)
        return min(delay_ms, self._options.max_requeue_delay_ms)

    def _take_event(self, event: Happening) -> None:
        if isinstance(event, Received):
            count = len(event.messages)
            self.in_flight += count
            self.messages += count
            self._owner.messages_received(self, event.messages)
        elif isinstance(event, AnswerRefused):
            self._owner.counters.refused += 1
            _log.debug("reader.answer_refused", nsqd=self.nsqd_address, error=event.error)
        elif isinstance(event, Refused):
            _log.error("reader.refused", nsqd=self.nsqd_address, error=event.error)
        elif isinstance(event, Heartbeat):
            self._owner.counters.heartbeats += 1
        elif isinstance(event, Drained):
            self._has_close_wait = True
            self._owner.drained()
