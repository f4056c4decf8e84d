"""A dead letter: what a message was, as one JSON object, in the body of a message of the dead-letter topic.

`engine.dead_letters` writes them, `engine.redriving` reads them back; any client can read the topic. The object is
`{"origin": {...}, "body": "..."}`, with `body_base64` in place of `body` when that is no UTF-8.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from millstream.base.errors import MillstreamError
from millstream.base.rfc3339 import format_rfc3339, parse_rfc3339_ns
from millstream.protocol import bodies, raw
from millstream.protocol.names import is_valid_name
from millstream.protocol.record import undeferred

_HEADER_BYTES: Final = 34
_TIMESTAMP_AT: Final = 8
_ATTEMPTS_MAX: Final = 65_535
_UNREADABLE: Final = (msgspec.MsgspecError, bodies.NoBody)


class LetterError(MillstreamError):
    """The body of a message is no dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who had a message last, as it called itself in IDENTIFY."""

    client_id: str
    hostname: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message and where it comes from. `channel` is empty for what no channel was given. Instants on the wall clock.

    `event` is how its last delivery ended, `redriven` how often it was put back before.
    """

    topic: str
    channel: str
    sequence: int
    attempts: int
    first_ns: int
    last_ns: int
    reason: str
    event: str = ""
    client: Client | None = None
    redriven: int = 0
    body: bytes = b""

    @property
    def id(self) -> str:
        """The id that the message had, and gets again when it is put back."""
        return f"{self.sequence:016x}"

    def frame(self) -> bytes:
        """The message as it is stored."""
        data = bytearray(_HEADER_BYTES + len(self.body))
        raw.put_header(data, 0, len(self.body), self.first_ns, self.sequence)
        data[_HEADER_BYTES:] = self.body
        return bytes(data)


def body_of(frame: bytes) -> tuple[bytes, int]:
    """The body in a stored frame, and when it was published."""
    plain, _ = undeferred(frame)
    return plain[_HEADER_BYTES:], raw.get64(plain, _TIMESTAMP_AT)


def origin_of(letter: Letter) -> dict[str, Any]:
    """The origin as JSON shows it."""
    origin: dict[str, Any] = {"topic": letter.topic}
    if letter.channel:
        origin["channel"] = letter.channel
    origin |= {
        "id": letter.id,
        "attempts": letter.attempts,
        "first_time": format_rfc3339(letter.first_ns),
        "last_time": format_rfc3339(letter.last_ns),
        "reason": letter.reason,
    }
    if letter.event:
        origin["last_event"] = letter.event
    client = letter.client
    if client is not None:
        origin["last_client"] = {
            "client_id": client.client_id,
            "hostname": client.hostname,
            "address": client.address,
        }
    origin["redriven"] = letter.redriven
    return origin


def encode(letter: Letter) -> bytes:
    """The JSON object, in one line."""
    return msgspec.json.encode({"origin": origin_of(letter), **bodies.body_field(letter.body)})


def decode(data: bytes) -> Letter:
    """Read a dead letter back. Raises `LetterError`: anybody may publish to a dead-letter topic."""
    try:
        content = msgspec.json.decode(data)
        origin = content["origin"]
        client = origin.get("last_client")
        return Letter(
            topic=_name(origin["topic"]),
            channel=_name(origin["channel"]) if "channel" in origin else "",
            sequence=_sequence(origin["id"]),
            attempts=_count(origin["attempts"], _ATTEMPTS_MAX),
            first_ns=_instant(origin["first_time"]),
            last_ns=_instant(origin["last_time"]),
            reason=_text(origin["reason"]),
            event=_text(origin.get("last_event", "")),
            client=None if client is None else Client(**{key: _text(client[key]) for key in _CLIENT_KEYS}),
            redriven=_count(origin.get("redriven", 0), 1 << 31),
            body=_body(content),
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, *_UNREADABLE) as error:
        raise LetterError(f"is no dead letter: {error}") from error


_CLIENT_KEYS: Final = ("client_id", "hostname", "address")


def _body(content: Any) -> bytes:
    body = bodies.body_of(content)
    if not body:
        raise ValueError("the body is empty")
    return body


def _name(value: object) -> str:
    if not isinstance(value, str) or not is_valid_name(value):
        raise ValueError("a name is none")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is none")
    return value


def _count(value: object, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
        raise ValueError("a count is none")
    return value


def _sequence(value: object) -> int:
    data = value.encode() if isinstance(value, str) else b""
    sequence = raw.get_id(data, 0) if len(data) == 16 else -1
    if sequence < 0:
        raise ValueError("the id is none of nsqd's")
    return sequence


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise TypeError("a time is none")
    ns = parse_rfc3339_ns(value)
    if ns < 0:
        raise ValueError("a time is before 1970")
    return ns
