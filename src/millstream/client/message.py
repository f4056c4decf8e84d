"""A message as the user of a Reader holds it: read, and answered once.

Made by the frame decoder in batches; the answers go to the connection that the message came over (`source`), which
queues their bytes. None of the three methods waits, and none fails when the connection is gone: nsqd delivers the
message again then.
"""

from typing import Protocol

from millstream.base.errors import UsageError
from millstream.protocol import message as wire


class Source(Protocol):
    """The connection that a message came over."""

    topic: str
    channel: str
    nsqd_address: str

    def finish(self, message: "Message") -> None:
        """The message is done."""
        ...

    def requeue(self, message: "Message", delay_ms: int | None, *, backoff: bool) -> None:
        """The message is to be delivered again."""
        ...

    def touch(self, message: "Message") -> None:
        """The message needs more time."""
        ...


class Message(wire.Message):
    """One delivery: `id`, `body`, `timestamp_ns` (when nsqd took it in), `attempts` (deliveries, this one included)."""

    __slots__ = ()

    source: Source

    @property
    def topic(self) -> str:
        """The topic that the message was published to."""
        return self.source.topic

    @property
    def channel(self) -> str:
        """The channel that delivered it."""
        return self.source.channel

    @property
    def nsqd_address(self) -> str:
        """The host:port of the nsqd that delivered it."""
        return self.source.nsqd_address

    @property
    def has_responded(self) -> bool:
        """True once `finish` or `requeue` was called."""
        return self.responded

    def finish(self) -> None:
        """The message is done (FIN). UsageError when it was answered before."""
        if self.responded:
            raise UsageError(f"message {self.id!r} was answered before")
        self.responded = True
        self.source.finish(self)

    def requeue(self, delay_ms: int | None = None, *, backoff: bool = True) -> None:
        """Deliver the message again after `delay_ms` (REQ). UsageError when it was answered before.

        None means the reader's `default_requeue_delay_ms` times attempts, at most `max_requeue_delay_ms`. With
        `backoff` the reader slows down as a whole.
        """
        if self.responded:
            raise UsageError(f"message {self.id!r} was answered before")
        if delay_ms is not None and delay_ms < 0:
            raise UsageError(f"delay_ms is {delay_ms}: a delay is not negative")
        self.responded = True
        self.source.requeue(self, delay_ms, backoff=backoff)

    def touch(self) -> None:
        """Start the message's timeout anew (TOUCH); nothing happens once it was answered."""
        if not self.responded:
            self.source.touch(self)
