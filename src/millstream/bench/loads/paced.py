"""Publishes at a fixed rate and measures how long each message takes to its subscriber; both are one process.

Every body begins with the instant at which it was sent, so nothing is kept per message but the result. The publisher
never waits for an OK (it reads them behind), so a broker that stalls is not spared: what was due meanwhile is sent.
"""

import select
import struct
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from millstream.base.units import Address
from millstream.bench import wire
from millstream.bench.wire import LoadFailed
from millstream.protocol.commands import Nop, Pub, Rdy, Sub
from millstream.protocol.frames import FRAME_HEADER_BYTES
from millstream.protocol.message import MESSAGE_HEADER_BYTES, MESSAGE_ID_BYTES

STAMP: Final = struct.Struct(">Q")
READ_BYTES: Final = 256 << 10
AT_ONCE_MAX: Final = 1000  # of what is due are sent in one write
RDY: Final = 2500

_ID_AT: Final = FRAME_HEADER_BYTES + MESSAGE_HEADER_BYTES - MESSAGE_ID_BYTES
_BODY_AT: Final = FRAME_HEADER_BYTES + MESSAGE_HEADER_BYTES
_UNBUFFERED: Final = {"output_buffer_size": -1, "output_buffer_timeout": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedPlan:
    """What is sent: `messages` of `body_bytes`, `per_s` of them; with `spins` a core is used up for exactness."""

    address: Address
    topic: str
    channel: str
    messages: int
    per_s: int
    body_bytes: int
    spins: bool

    def build(self) -> "Pacer":
        """Connect both ends, ready to run."""
        return Pacer(self)


class Pacer:
    """A publisher and a subscriber; `figures` has the latencies once it has run."""

    def __init__(self, plan: PacedPlan) -> None:
        self._plan = plan
        self._command = Pub(plan.topic, bytes(plan.body_bytes)).encode()
        self._stamp_at = len(self._command) - plan.body_bytes
        self._stride = _BODY_AT + plan.body_bytes
        self._latencies_ns = array("q")
        self._head = wire.frame_head(wire.MESSAGE, self._stride - FRAME_HEADER_BYTES)
        self._heartbeat = wire.response(wire.HEARTBEAT)
        self._ok = wire.response(wire.OK)
        self._ok_bytes = 0
        self._rest = b""
        self.figures: dict[str, float] = {}
        subscription = wire.connect(plan.address, "bench-subscriber", negotiates=True, wishes=_UNBUFFERED)
        try:
            wire.request(subscription, Sub(plan.topic, plan.channel).encode(), wire.OK)
            subscription.sendall(Rdy(RDY).encode())
            self._publication = wire.connect(
                plan.address, "bench-publisher", negotiates=True, wishes={"heartbeat_interval": -1}
            )
        except BaseException:
            subscription.close()
            raise
        self._subscription = subscription
        self._subscription.setblocking(False)

    def run(self, deadline_s: float) -> int:
        """Send and receive everything; how many messages came. Raises LoadFailed at the deadline."""
        plan = self._plan
        self._publication.setblocking(False)
        reading = [self._subscription, self._publication]
        interval_s = 1.0 / plan.per_s
        begin_s = time.monotonic()
        sent = 0
        while len(self._latencies_ns) < plan.messages:
            now_s = time.monotonic()
            if now_s >= deadline_s:
                raise LoadFailed(f"{len(self._latencies_ns)} of {plan.messages} messages came in time")
            due = min(plan.messages, int((now_s - begin_s) * plan.per_s) + 1, sent + AT_ONCE_MAX)
            if due > sent:
                self._send(due - sent)
                sent = due
            wait_s = deadline_s - now_s if sent == plan.messages else begin_s + sent * interval_s - now_s
            ready, _, _ = select.select(reading, [], [], 0 if plan.spins else max(0.0, min(0.5, wait_s)))
            if self._subscription in ready:
                self._receive()
            if self._publication in ready:
                self._ok_bytes += len(self._publication.recv(READ_BYTES))
        self._await_oks(deadline_s)
        self.figures = quantiles_ms(self._latencies_ns)
        return len(self._latencies_ns)

    def close(self) -> None:
        """Close both connections."""
        self._subscription.close()
        self._publication.close()

    def _send(self, count: int) -> None:
        data = bytearray(self._command * count)
        now = STAMP.pack(time.monotonic_ns())
        for at in range(self._stamp_at, len(data), len(self._command)):
            data[at : at + STAMP.size] = now
        self._publication.setblocking(True)
        self._publication.sendall(data)
        self._publication.setblocking(False)

    def _receive(self) -> None:
        data = self._rest + self._subscription.recv(READ_BYTES)
        now_ns = time.monotonic_ns()
        stride, head = self._stride, self._head
        answers = bytearray()
        at = 0
        while len(data) - at >= stride and data.startswith(head, at):
            answers += b"FIN %b\n" % data[at + _ID_AT : at + _BODY_AT]
            self._latencies_ns.append(now_ns - STAMP.unpack_from(data, at + _BODY_AT)[0])
            at += stride
        if data.startswith(self._heartbeat, at):
            answers += Nop().encode()
            at += len(self._heartbeat)
        self._rest = data[at:]
        if len(self._rest) > stride and not self._rest.startswith((head, self._heartbeat)):
            raise LoadFailed(f"the broker sent the subscriber {wire.readable(self._rest)}")
        if answers and self._subscription.send(answers) != len(answers):
            raise LoadFailed("the broker does not read what a subscriber answers")

    def _await_oks(self, deadline_s: float) -> None:
        wanted = len(self._ok) * self._plan.messages
        while self._ok_bytes < wanted:
            if not select.select([self._publication], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
                break
            received = self._publication.recv(READ_BYTES)
            if not received:
                break
            self._ok_bytes += len(received)
        if self._ok_bytes != wanted:
            raise LoadFailed(f"{self._ok_bytes} bytes of OKs came where {wanted} were due")


def quantiles_ms(latencies_ns: Sequence[int]) -> dict[str, float]:
    """The figures p50, p99 and p99.9, in milliseconds."""
    ordered = sorted(latencies_ns)
    last = len(ordered) - 1
    return {
        name: ordered[min(last, int(len(ordered) * share))] / 1e6
        for name, share in (("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999))
    }
