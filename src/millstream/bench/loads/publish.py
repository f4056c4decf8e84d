"""Publishes over one connection: commands encoded once, sent again and again, with so many unanswered at a time.

Bytes go from a ring of encoded commands straight to the socket; OKs come back in runs and are counted by comparing
the whole run, so that nothing is done per message and next to nothing per batch.
"""

import selectors
import time
from dataclasses import dataclass
from typing import Final

from millstream.base.units import Address
from millstream.bench import wire
from millstream.bench.line import PLAIN, open_line
from millstream.bench.wire import LoadFailed
from millstream.protocol.commands import Nop

RING_BYTES: Final = 256 * 1024
READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPlan:
    """What one publisher is to do.

    `cycle` holds the commands that are sent in turn, all of one length; `commands` is how many are sent, `at_once` how
    many may be without their OK, and `batch` how many messages one command publishes.
    """

    address: Address
    cycle: tuple[bytes, ...]
    commands: int
    batch: int
    at_once: int
    line: str = PLAIN

    @property
    def messages(self) -> int:
        """How many messages that makes."""
        return self.commands * self.batch

    def build(self) -> "Publisher":
        """Connect, ready to run."""
        return Publisher(self)


class Publisher:
    """One connection that sends a plan's commands and insists on an OK for each."""

    def __init__(self, plan: PublishPlan) -> None:
        self._plan = plan
        self._line = open_line(plan.address, "bench-publisher", plan.line)
        encoded = [self._line.encode(command) for command in plan.cycle]
        self._command_bytes = len(encoded[0])
        if any(len(command) != self._command_bytes for command in encoded):
            self._line.close()
            raise LoadFailed("the commands of a cycle are not of one length")
        cycle = b"".join(encoded)
        self._ring = memoryview(cycle * max(1, RING_BYTES // len(cycle)))
        self._ok = wire.response(wire.OK)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._received = bytearray()
        self._sent_bytes = 0
        self._oks = 0
        self._line.socket.setblocking(False)

    def run(self, deadline_s: float) -> int:
        """Publish everything; return how many messages were acknowledged. Raises LoadFailed at the deadline."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            waits_to_write = False
            while self._oks < self._plan.commands:
                blocked = self._write()
                if blocked != waits_to_write:
                    waits_to_write = blocked
                    selector.modify(self._line, selectors.EVENT_READ | (selectors.EVENT_WRITE if blocked else 0))
                for _, events in selector.select(max(0.0, deadline_s - time.monotonic())):
                    if events & selectors.EVENT_READ:
                        self._read()
                if time.monotonic() >= deadline_s:
                    raise LoadFailed(f"{self._oks} of {self._plan.commands} commands were acknowledged in time")
        if self._received or self._oks != self._plan.commands:
            raise LoadFailed(f"{self._oks} OKs came for {self._plan.commands} commands")
        return self._oks * self._plan.batch

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def _write(self) -> bool:
        """Send what the plan allows; return whether the socket took less."""
        allowed = min(self._plan.commands, self._oks + self._plan.at_once) * self._command_bytes
        while self._sent_bytes < allowed:
            at = self._sent_bytes % len(self._ring)
            sent = self._line.send(self._ring[at : at + allowed - self._sent_bytes])
            if not sent:
                return True
            self._sent_bytes += sent
        return False

    def _read(self) -> None:
        while True:
            count = self._line.receive_into(self._buffer)
            if count < 0:
                break
            self._received += self._buffer[:count]
            if not self._line.is_pending:
                break
        runs, rest = divmod(len(self._received), len(self._ok))
        if rest == 0 and self._received == self._ok * runs:
            self._oks += runs
            self._received.clear()
            return
        self._walk()

    def _walk(self) -> None:
        """Count OKs among other frames, and keep what is not whole yet."""
        used = 0
        for kind, start, end in wire.frames(self._received, 0, len(self._received)):
            payload = self._received[start:end]
            if kind == wire.RESPONSE and payload == wire.OK:
                self._oks += 1
            elif kind == wire.RESPONSE and payload == wire.HEARTBEAT:
                self._answer_heartbeat()
            else:
                raise LoadFailed(f"the broker answered a command with {wire.readable(payload)}")
            used = end
        del self._received[:used]

    def _answer_heartbeat(self) -> None:
        """Answer between two commands only: one under way renews the broker's deadline as well."""
        if self._sent_bytes % self._command_bytes == 0:
            self._line.send(self._line.encode(Nop().encode()))
