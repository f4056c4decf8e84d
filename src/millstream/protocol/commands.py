"""The commands that a client sends to nsqd, one dataclass each, and their bytes.

Clients build them and write `encode()`; `protocol.parser` gives them to the daemon.  Layout: name and parameters split
by single spaces, a newline; then, for those with a body, int32 size and the body; integers big-endian.  `encode` raises
UsageError for what would make another command of it: a name that is no name, an id of the wrong length, a huge body.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from millstream.base.errors import UsageError
from millstream.protocol.message import MESSAGE_ID_BYTES
from millstream.protocol.names import is_valid_name

MAGIC_V2: Final = b"  V2"

_INT32_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Identify:
    """Says who the client is and what it asks for; `body` is the JSON of `protocol.identify`."""

    name: ClassVar[str] = "IDENTIFY"
    body: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"IDENTIFY\n" + _sized(self.body)


@dataclass(frozen=True, slots=True)
class Auth:
    """Shows the secret that the auth server knows."""

    name: ClassVar[str] = "AUTH"
    secret: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"AUTH\n" + _sized(self.secret)


@dataclass(frozen=True, slots=True)
class Sub:
    """Joins a channel; once per connection."""

    name: ClassVar[str] = "SUB"
    topic: str
    channel: str

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"SUB %b %b\n" % (_name(self.topic), _name(self.channel))


@dataclass(frozen=True, slots=True)
class Rdy:
    """How many messages may be in flight to this client."""

    name: ClassVar[str] = "RDY"
    count: int

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"RDY %d\n" % _natural(self.count)


@dataclass(frozen=True, slots=True)
class Fin:
    """A message is finished."""

    name: ClassVar[str] = "FIN"
    message_id: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"FIN %b\n" % _id(self.message_id)


@dataclass(frozen=True, slots=True)
class Req:
    """Hands a message back, to be delivered again after `delay_ms`."""

    name: ClassVar[str] = "REQ"
    message_id: bytes
    delay_ms: int

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"REQ %b %d\n" % (_id(self.message_id), _natural(self.delay_ms))


@dataclass(frozen=True, slots=True)
class Touch:
    """Asks for more time for a message in flight."""

    name: ClassVar[str] = "TOUCH"
    message_id: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"TOUCH %b\n" % _id(self.message_id)


@dataclass(frozen=True, slots=True)
class Cls:
    """No new messages, please; those in flight are still answered."""

    name: ClassVar[str] = "CLS"

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"CLS\n"


@dataclass(frozen=True, slots=True)
class Nop:
    """Nothing but a sign of life: the answer to a heartbeat."""

    name: ClassVar[str] = "NOP"

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"NOP\n"


@dataclass(frozen=True, slots=True)
class Pub:
    """Publishes one message."""

    name: ClassVar[str] = "PUB"
    topic: str
    body: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"PUB %b\n" % _name(self.topic) + _sized(self.body)


@dataclass(frozen=True, slots=True)
class Mpub:
    """Publishes many messages with one answer; when it is an error, some may be queued all the same."""

    name: ClassVar[str] = "MPUB"
    topic: str
    bodies: Sequence[bytes]

    def encode(self) -> bytes:
        """The bytes on the wire."""
        parts = [len(self.bodies).to_bytes(4, "big")]
        for body in self.bodies:
            parts.append(_size(body))
            parts.append(body)
        return b"MPUB %b\n" % _name(self.topic) + _sized(b"".join(parts))


@dataclass(frozen=True, slots=True)
class Dpub:
    """Publishes one message that is delivered after `delay_ms` at the earliest."""

    name: ClassVar[str] = "DPUB"
    topic: str
    delay_ms: int
    body: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return b"DPUB %b %d\n" % (_name(self.topic), _natural(self.delay_ms)) + _sized(self.body)


Command = Identify | Auth | Sub | Rdy | Fin | Req | Touch | Cls | Nop | Pub | Mpub | Dpub


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    # Cached because a writer publishes to few topics, and many times.
    if not is_valid_name(name):
        raise UsageError(f"{name!r} is not a valid topic or channel name")
    return name.encode("ascii")


def _id(message_id: bytes) -> bytes:
    if len(message_id) != MESSAGE_ID_BYTES:
        raise UsageError(f"a message id has {MESSAGE_ID_BYTES} bytes, this one has {len(message_id)}")
    return message_id


def _natural(number: int) -> int:
    if number < 0:
        raise UsageError(f"{number} is negative: NSQ has no sign in its parameters")
    return number


def _size(body: bytes) -> bytes:
    if len(body) > _INT32_MAX:
        raise UsageError(f"a body of {len(body)} bytes does not fit the size field")
    return len(body).to_bytes(4, "big")


def _sized(body: bytes) -> bytes:
    return _size(body) + body
