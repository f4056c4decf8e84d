"""Drains channels over any number of connections: reads whole buffers of message frames, answers each with one write.

Bodies are of one length, so frames are too, and the column of bytes at one place of every frame is a slice with that
stride. Sixteen such slices copy the ids of a whole buffer between prepared `FIN ` and newline; eight more compare the
heads of all frames. A buffer in which anything differs (a heartbeat, an error), or in which some messages are to be
requeued, is walked frame by frame. Of the bodies the first and the last in each buffer are compared with what was
published.
"""

import selectors
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from millstream.base.units import Address
from millstream.bench import wire
from millstream.bench.line import PLAIN, Line, ask, open_line
from millstream.bench.wire import LoadFailed
from millstream.protocol.commands import Cls, Nop, Rdy, Req, Sub
from millstream.protocol.frames import FRAME_HEADER_BYTES
from millstream.protocol.message import MESSAGE_HEADER_BYTES, MESSAGE_ID_BYTES

BUFFER_BYTES: Final = 512 * 1024

_ID_AT: Final = MESSAGE_HEADER_BYTES - MESSAGE_ID_BYTES  # within a payload: after timestamp and attempts
_ATTEMPTS_AT: Final = 9  # the low byte of them
_FIN: Final = b"FIN " + b"." * MESSAGE_ID_BYTES + b"\n"
_FIN_ID_AT: Final = 4
_FEW: Final = 4  # frames: fewer are answered sooner one by one than in columns


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribePlan:
    """What the subscribers are to do, one connection for each (topic, channel) of `places`.

    `messages` is how many they finish in all and `rdy` how many each lets be in flight. Of the messages that come for
    the first time every `requeue_every`th is requeued, unless that is 0. `wishes` go into IDENTIFY.
    """

    address: Address
    places: tuple[tuple[str, str], ...]
    messages: int
    body: bytes
    rdy: int
    requeue_every: int = 0
    line: str = PLAIN
    wishes: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> "Subscribers":
        """Connect and subscribe, ready to run."""
        return Subscribers(self)


class Subscribers:
    """Connections that receive and finish exactly a plan's messages between them."""

    def __init__(self, plan: SubscribePlan) -> None:
        self._plan = plan
        self._reading = Reading(plan)
        self._subscribers: list[Subscriber] = []
        try:
            for topic, channel in plan.places:
                self._subscribers.append(Subscriber(plan, self._reading, topic, channel))
        except BaseException:
            self.close()
            raise

    def run(self, deadline_s: float) -> int:
        """Receive and finish everything, then leave with CLS; return how many messages were finished.

        The broker answers CLS after every FIN before it, so its answer means that all of them were taken. Raises
        LoadFailed at the deadline, for an error frame, and for a message too many.
        """
        plan, reading = self._plan, self._reading
        with selectors.DefaultSelector() as selector:
            for subscriber in self._subscribers:
                selector.register(subscriber.line, selectors.EVENT_READ, subscriber)
                subscriber.unsent += subscriber.line.encode(Rdy(plan.rdy).encode())
                subscriber.write(selector)
            while reading.finished < plan.messages:
                self._pass(selector, deadline_s)
            for subscriber in self._subscribers:
                subscriber.unsent += subscriber.line.encode(Cls().encode())
                subscriber.write(selector)
            while reading.left < len(self._subscribers):
                self._pass(selector, deadline_s)
        return reading.finished

    def _pass(self, selector: selectors.BaseSelector, deadline_s: float) -> None:
        now_s = time.monotonic()
        if now_s >= deadline_s:
            raise LoadFailed(f"{self._reading.finished} of {self._plan.messages} messages came in time")
        for key, events in selector.select(deadline_s - now_s):
            subscriber: Subscriber = key.data
            if events & selectors.EVENT_READ:
                subscriber.read()
            if subscriber.unsent:
                subscriber.write(selector)
            elif events & selectors.EVENT_WRITE:
                selector.modify(subscriber.line, selectors.EVENT_READ, subscriber)
        if self._reading.finished > self._plan.messages:
            raise LoadFailed(f"{self._reading.finished} messages came where {self._plan.messages} were published")

    def close(self) -> None:
        """Close the connections."""
        for subscriber in self._subscribers:
            subscriber.line.close()


class Reading:
    """What all connections of a plan share: the buffer that is read into, prepared answers, and the counts."""

    def __init__(self, plan: SubscribePlan) -> None:
        payload_bytes = MESSAGE_HEADER_BYTES + len(plan.body)
        self.stride = FRAME_HEADER_BYTES + payload_bytes
        at_once = BUFFER_BYTES // self.stride
        self.head = [bytes([byte]) * at_once for byte in wire.frame_head(wire.MESSAGE, payload_bytes)]
        self.head_bytes = wire.frame_head(wire.MESSAGE, payload_bytes)
        self.fins = bytearray(_FIN * at_once)
        self.buffer = bytearray(BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self.body = plan.body
        self.requeue_every = plan.requeue_every
        self.first_times = 0
        self.finished = 0
        self.left = 0


class Subscriber:
    """One connection; `unsent` is encoded."""

    def __init__(self, plan: SubscribePlan, reading: Reading, topic: str, channel: str) -> None:
        self._reading = reading
        self._rest = b""
        self.unsent = bytearray()
        self.line: Line = open_line(plan.address, "bench-subscriber", plan.line, plan.wishes)
        try:
            ask(self.line, Sub(topic, channel).encode(), wire.OK)
        except BaseException:
            self.line.close()
            raise
        self.line.socket.setblocking(False)

    def write(self, selector: selectors.BaseSelector) -> None:
        """Send what waits; be called again when the socket has room if it is not all."""
        sent = self.line.send(self.unsent)
        if sent == len(self.unsent):
            self.unsent.clear()
            return
        del self.unsent[:sent]
        selector.modify(self.line, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def read(self) -> None:
        """Take what came, and prepare the answers."""
        reading = self._reading
        filled = len(self._rest)
        reading.buffer[:filled] = self._rest
        while True:
            count = self.line.receive_into(reading.view[filled:])
            filled += max(0, count)
            if count < 0 or not self.line.is_pending or filled == BUFFER_BYTES:
                break
        answers = bytearray()
        used = 0
        whole = filled // reading.stride
        if whole >= _FEW and not reading.requeue_every and self._is_messages_only(whole):
            answers += self._finish_all(whole)
            used = whole * reading.stride
        used = self._walk(used, filled, answers)
        self._rest = bytes(reading.view[used:filled])
        if answers:
            self.unsent += self.line.encode(bytes(answers))
        if self.line.is_pending:
            self.read()

    def _is_messages_only(self, count: int) -> bool:
        """Whether the buffer begins with that many frames of the expected length and kind."""
        reading = self._reading
        end = count * reading.stride
        return all(
            reading.head[at].startswith(reading.buffer[at : end : reading.stride]) for at in range(FRAME_HEADER_BYTES)
        )

    def _finish_all(self, count: int) -> bytearray:
        reading = self._reading
        fins = reading.fins[: count * len(_FIN)]
        first, end = FRAME_HEADER_BYTES + _ID_AT, count * reading.stride
        for at in range(MESSAGE_ID_BYTES):
            fins[_FIN_ID_AT + at :: len(_FIN)] = reading.buffer[first + at : end : reading.stride]
        reading.finished += count
        for end_of_frame in (reading.stride, end):
            self._check_body(end_of_frame)
        return fins

    def _check_body(self, end_of_frame: int) -> None:
        reading = self._reading
        if not reading.buffer.endswith(reading.body, end_of_frame - len(reading.body), end_of_frame):
            raise LoadFailed("a message came with another body than was published")

    def _walk(self, at: int, filled: int, answers: bytearray) -> int:
        """Answer frame by frame from there on; return where the first frame begins that is not whole yet."""
        reading = self._reading
        buffer, stride, head = reading.buffer, reading.stride, reading.head_bytes
        while filled - at >= stride and buffer.startswith(head, at):
            start = at + FRAME_HEADER_BYTES
            at += stride
            message_id = bytes(buffer[start + _ID_AT : start + MESSAGE_HEADER_BYTES])
            if reading.requeue_every and buffer[start + _ATTEMPTS_AT] == 1:
                reading.first_times += 1
                if reading.first_times % reading.requeue_every == 0:
                    answers += Req(message_id, 0).encode()
                    continue
            answers += b"FIN %b\n" % message_id
            reading.finished += 1
            self._check_body(at)
        for kind, start, end in wire.frames(buffer, at, filled):
            if kind == wire.MESSAGE and end - start == stride - FRAME_HEADER_BYTES:
                return self._walk(start - FRAME_HEADER_BYTES, filled, answers)
            if kind == wire.RESPONSE and buffer[start:end] == wire.HEARTBEAT:
                answers += Nop().encode()
            elif kind == wire.RESPONSE and buffer[start:end] == wire.CLOSE_WAIT:
                reading.left += 1
            else:
                raise LoadFailed(f"the broker sent the subscriber {wire.readable(buffer[start:end])}")
            at = end
        return at
