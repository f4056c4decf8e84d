"""The message as a handler sees it: what NSQ says about it, and `finish`, `requeue`, `touch` from any thread.

`queuereader.consumer` wraps each message of the client; the first answer, the handler's own or the one made of what it
returned, goes to a sink (`queuereader.answers`), which is the only one to speak to the client's message.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from millstream.base.errors import UsageError
from millstream.queuereader.verdict import FINISH, Requeue, Verdict

# Answered by the framework, because the time to answer is over. What the handler still says is ignored.
TAKEN_BACK: Final = Requeue(0, backoff=False)


class Delivered(Protocol):
    """What is needed of a message of `millstream.client`."""

    @property
    def id(self) -> bytes:
        """16 hexadecimal characters."""
        ...

    @property
    def body(self) -> bytes:
        """What was published."""
        ...

    @property
    def timestamp_ns(self) -> int:
        """When it was published, by nsqd's clock."""
        ...

    @property
    def attempts(self) -> int:
        """How often it was delivered, this time included."""
        ...

    @property
    def nsqd_address(self) -> str:
        """The nsqd that it came from."""
        ...

    @property
    def has_responded(self) -> bool:
        """True when it was answered."""
        ...

    def finish(self) -> None:
        """FIN."""
        ...

    def requeue(self, delay_ms: int | None = None, *, backoff: bool = True) -> None:
        """REQ."""
        ...

    def touch(self) -> None:
        """TOUCH."""
        ...


class NsqMessage:
    """One message in hand. Exactly one answer is sent for it; answering a second time raises UsageError."""

    __slots__ = (
        "_sink",
        "event",
        "events",
        "has_expired",
        "has_failed",
        "source",
        "started_ns",
        "touched_ns",
        "verdict",
        "was_handled",
    )

    def __init__(self, source: Delivered, sink: "Sink", now_ns: int = 0) -> None:
        self.source = source
        self._sink = sink
        self.event: Any = None
        self.events: list[bytes] | None = None
        self.verdict: Verdict | None = None
        self.started_ns = 0
        self.touched_ns = now_ns
        self.was_handled = False
        self.has_failed = False
        self.has_expired = False

    @property
    def id(self) -> bytes:
        """16 hexadecimal characters, unique among all nsqd."""
        return self.source.id

    @property
    def body(self) -> bytes:
        """What was published."""
        return self.source.body

    @property
    def timestamp_ns(self) -> int:
        """When the message was published, in nanoseconds since the epoch by nsqd's clock."""
        return self.source.timestamp_ns

    @property
    def attempts(self) -> int:
        """How often the message was delivered, this time included."""
        return self.source.attempts

    @property
    def nsqd_address(self) -> str:
        """The nsqd that delivered it."""
        return self.source.nsqd_address

    @property
    def has_responded(self) -> bool:
        """True when the message is answered."""
        return self.verdict is not None

    def finish(self) -> None:
        """Dealt with: nsqd forgets the message."""
        self._answer_once(FINISH)

    def requeue(self, delay_ms: int | None = None, *, backoff: bool = True) -> None:
        """Deliver it again; without `delay_ms`, after a delay that grows with the attempts."""
        self._answer_once(Requeue(delay_ms, backoff=backoff))

    def touch(self) -> None:
        """Ask nsqd for another period of its message timeout. The framework does so itself for long handlers."""
        if self.verdict is None:
            self._sink(Touch(self))

    def answer(self, verdict: Verdict) -> None:
        """Answer, unless the handler did so itself."""
        if self.verdict is None:
            self.verdict = verdict
            self._sink(self)

    def _answer_once(self, verdict: Verdict) -> None:
        if self.verdict is None:
            self.verdict = verdict
            self._sink(self)
        elif self.verdict is not TAKEN_BACK:
            raise UsageError(f"message {self.id!r} is answered already")


class Touch(NamedTuple):
    """A wish to TOUCH the message, on its way to the sink."""

    message: NsqMessage


Sink = Callable[[NsqMessage | Touch], None]


@dataclass(slots=True)
class LocalMessage:
    """A message that came from no nsqd: for `Reader.handle_bytes`. Answers are taken and lead nowhere."""

    body: bytes
    attempts: int = 1
    id: bytes = b"0" * 16
    timestamp_ns: int = 0
    nsqd_address: str = ""
    has_responded: bool = False

    def finish(self) -> None:
        """Mark as answered."""
        self.has_responded = True

    def requeue(self, delay_ms: int | None = None, *, backoff: bool = True) -> None:  # noqa: ARG002 - Delivered's form
        """Mark as answered."""
        self.has_responded = True

    def touch(self) -> None:
        """There is no timeout to put off."""
