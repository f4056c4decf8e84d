"""One connection of a writer, and the publishes that were sent over it and are not answered yet.

`client.writer` hands it publishes; nsqd answers in order, so the oldest is always the one that an answer is about. What
became of each goes back to the writer, and so does all that is left when the connection is lost.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from millstream.base.log import get_logger
from millstream.base.units import Address
from millstream.client.connection import Happening, NsqdConnection, identify_request
from millstream.client.options import WriterOptions
from millstream.protocol.client import Heartbeat, Published, Refused, Reply
from millstream.protocol.errors import CommandError

_MS_PER_S: Final = 1_000

_log = get_logger("millstream.client")


@dataclass(slots=True, eq=False)
class Publish:
    """One publish from call to confirmation; `suspicions` counts the connections lost while it was the oldest."""

    encoded: bytes
    answer: asyncio.Future[None]
    deadline_s: float
    suspicions: int = 0
    last_error: str = ""


class LaneOwner(Protocol):
    """What a lane tells its writer. `heartbeats` counts those of all its lanes."""

    heartbeats: int

    def confirmed(self, lane: "Lane", publishes: list[Publish]) -> None:
        """Nsqd took these."""
        ...

    def refused(self, lane: "Lane", publish: Publish, error: CommandError) -> None:
        """Nsqd refused this one, and closes the connection."""
        ...

    def writable(self) -> None:
        """There is room for more bytes."""
        ...


class Lane:
    """`sent` is in the order of sending. `preference` is the place of its address in the writer's list.

    `has_progress` tells that the connection was of use, `is_refused` that nsqd closes it and said over which publish.
    """

    def __init__(self, address: Address, preference: int, options: WriterOptions, owner: LaneOwner) -> None:
        self.address = address
        self.preference = preference
        self.sent: deque[Publish] = deque()
        self.has_progress = False
        self.is_refused = False
        self._owner = owner
        self._response_timeout_s = options.response_timeout_ms / _MS_PER_S
        self._loop = asyncio.get_running_loop()
        self._answered_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._connection = NsqdConnection(
            address, options, identify_request(options), self._take_event, on_writable=owner.writable
        )

    @property
    def closed(self) -> asyncio.Future[str]:
        """Done, with the reason, when the connection is gone."""
        return self._connection.closed

    @property
    def is_ready(self) -> bool:
        """True when a publish may be sent now."""
        return self._connection.is_open and self._connection.is_writable

    async def open(self) -> None:
        """Connect; ConnectionFailed."""
        await self._connection.open()

    def send(self, publish: Publish) -> None:
        """Queue a publish, to leave at the end of this turn of the loop."""
        if not self.sent:
            self._answered_at_s = self._loop.time()
            if self._timer is None:
                self._check_answers()
        self.sent.append(publish)
        self._connection.protocol.publish(publish.encoded)
        self._connection.wake()

    def take_sent(self) -> list[Publish]:
        """Hand over what is not answered; the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        sent = list(self.sent)
        self.sent.clear()
        return sent

    def close(self) -> None:
        """Write what is queued, and close."""
        self._connection.close()

    def drop(self, reason: str) -> None:
        """Close at once."""
        self._connection.drop(reason)

    def _check_answers(self) -> None:
        """Treat an nsqd that leaves the oldest publish unanswered too long as lost."""
        self._timer = None
        now_s = self._loop.time()
        if not self._connection.is_writable:
            # It still has to take the bytes; the connection has its own deadline for that.
            self._answered_at_s = now_s
        left_s = self._answered_at_s + self._response_timeout_s - now_s
        if left_s <= 0 and self.sent:
            self.drop(f"a publish was not answered for {self._response_timeout_s * _MS_PER_S:.0f} ms")
        elif self._connection.is_open:
            self._timer = self._loop.call_later(left_s if left_s > 0 else self._response_timeout_s, self._check_answers)

    def _take_event(self, event: Happening) -> None:
        if isinstance(event, Published):
            self.has_progress = True
            self._answered_at_s = self._loop.time()
            self._owner.confirmed(self, [self.sent.popleft() for _ in range(event.count)])
        elif isinstance(event, Heartbeat):
            self._owner.heartbeats += 1
        elif isinstance(event, Refused):
            self.is_refused = True
            _log.error("writer.refused", nsqd=self.address, error=event.error)
            if event.reply is Reply.PUBLISH and self.sent:
                self._owner.refused(self, self.sent.popleft(), event.error)
