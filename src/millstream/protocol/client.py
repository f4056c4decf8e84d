"""One connection to nsqd as its client sees it: commands in, bytes out; bytes in, events out.

`client.connection` feeds it what the socket gives and writes `take_output()`. It knows which command is legal now and
which reply belongs to which command (nsqd answers in order), and answers heartbeats by itself. Messages of one read
come out as one event, already of the class that the reader hands to its user.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from millstream.base.errors import MillstreamError, UsageError
from millstream.protocol.commands import (
    MAGIC_V2,
    Auth,
    Cls,
    Command,
    Dpub,
    Fin,
    Identify,
    Mpub,
    Nop,
    Pub,
    Rdy,
    Req,
    Sub,
    Touch,
)
from millstream.protocol.errors import CommandError
from millstream.protocol.frames import ERROR, FRAME_SIZE_BYTES_MAX, MESSAGE, Frame, FrameDecoder
from millstream.protocol.identify import NegotiatedReply, parse_response
from millstream.protocol.message import Message

MessageT = TypeVar("MessageT", bound=Message)

OK: Final = b"OK"
HEARTBEAT: Final = b"_heartbeat_"
CLOSE_WAIT: Final = b"CLOSE_WAIT"

_NOP: Final = Nop().encode()
_ERROR_TEXT_MAX: Final = 500


class State(Enum):
    """What the connection may do now."""

    NEW = "new"
    IDENTIFYING = "identifying"
    READY = "ready"
    AUTHENTICATING = "authenticating"
    SUBSCRIBED = "subscribed"
    CLOSING = "closing"
    FAILED = "failed"


class Reply(Enum):
    """What the next reply of nsqd is about."""

    IDENTIFY = "IDENTIFY"
    AUTH = "AUTH"
    SUB = "SUB"
    PUBLISH = "PUB"
    CLS = "CLS"


class UnexpectedReply(MillstreamError):
    """The peer sent a reply that no command asked for; close the connection."""


class UnknownError(CommandError):
    """An error frame with a code that NSQ did not have so far; its text is all there is, and it counts as fatal."""

    def __init__(self, text: str) -> None:
        MillstreamError.__init__(self, text)


@dataclass(frozen=True, slots=True)
class Identified:
    """IDENTIFY was accepted; TLS and compression, if granted, start now."""

    reply: NegotiatedReply


@dataclass(frozen=True, slots=True)
class Authenticated:
    """AUTH was accepted."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """SUB was accepted."""


@dataclass(frozen=True, slots=True)
class Received(Generic[MessageT]):
    """All messages of one read, in order."""

    messages: list[MessageT]


@dataclass(frozen=True, slots=True)
class Published:
    """The `count` oldest publishes without an answer are confirmed."""

    count: int


@dataclass(frozen=True, slots=True)
class AnswerRefused:
    """A FIN, REQ or TOUCH came too late: nsqd no longer counts the message as ours. The connection goes on."""

    error: CommandError


@dataclass(frozen=True, slots=True)
class Refused:
    """A fatal error: nsqd closes the connection. `reply` says which kind of command it probably answers, if any."""

    error: CommandError
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class Drained:
    """CLS was answered: no message comes any more."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nsqd asked for a sign of life; the answer is already in the output."""


Event = (
    Identified
    | Authenticated
    | Subscribed
    | Received[MessageT]
    | Published
    | AnswerRefused
    | Refused
    | Drained
    | Heartbeat
)

# What is not listed is illegal. SUB counts at once: nsqd handles what follows it in order, so nobody waits for its OK.
_PUBLISHES: Final = (Pub, Mpub, Dpub)
_NEXT: Final[dict[tuple[State, type], State]] = {
    (State.NEW, Identify): State.IDENTIFYING,
    (State.READY, Auth): State.AUTHENTICATING,
    (State.READY, Sub): State.SUBSCRIBED,
    (State.SUBSCRIBED, Rdy): State.SUBSCRIBED,
    (State.SUBSCRIBED, Cls): State.CLOSING,
    **{(state, command): state for state in (State.READY, State.SUBSCRIBED, State.CLOSING) for command in _PUBLISHES},
    **{(state, command): state for state in (State.SUBSCRIBED, State.CLOSING) for command in (Fin, Req, Touch)},
    **{(state, Nop): state for state in (State.READY, State.AUTHENTICATING, State.SUBSCRIBED, State.CLOSING)},
}
_REPLY: Final[dict[type, Reply]] = {
    Identify: Reply.IDENTIFY,
    Auth: Reply.AUTH,
    Sub: Reply.SUB,
    Cls: Reply.CLS,
    **dict.fromkeys(_PUBLISHES, Reply.PUBLISH),
}
_HOLDING: Final = (State.SUBSCRIBED, State.CLOSING)


class ClientConnection(Generic[MessageT]):
    """The protocol of one connection, without its socket.

    `output_bytes` is what waits in `take_output`. After a Refused event, or an error from `receive`, the state is
    FAILED and every command raises UsageError.
    """

    __slots__ = ("_decoder", "_message_type", "_output", "_pending", "_source", "output_bytes", "state")

    def __init__(
        self, message_type: type[MessageT], source: object = None, *, frame_bytes_max: int = FRAME_SIZE_BYTES_MAX
    ) -> None:
        """Messages are made of `message_type`, with `source` in their attribute of that name."""
        self._decoder = FrameDecoder(frame_bytes_max)
        self._message_type = message_type
        self._source = source
        self._output: list[bytes] = [MAGIC_V2]
        self._pending: deque[Reply] = deque()
        self.output_bytes = len(MAGIC_V2)
        self.state = State.NEW

    def send(self, command: Command) -> None:
        """Queue a command; UsageError, with nothing queued, when it is illegal now or cannot be encoded."""
        kind = type(command)
        state = _NEXT.get((self.state, kind))
        if state is None:
            raise UsageError(f"cannot {command.name} while the connection is {self.state.value}")
        self._put(command.encode())
        self.state = state
        reply = _REPLY.get(kind)
        if reply is not None:
            self._pending.append(reply)

    def publish(self, encoded: bytes) -> None:
        """Queue a PUB, MPUB or DPUB that was encoded before; UsageError when it is illegal now."""
        if (self.state, Pub) not in _NEXT:
            raise UsageError(f"cannot publish while the connection is {self.state.value}")
        self._put(encoded)
        self._pending.append(Reply.PUBLISH)

    def finish(self, message: Message) -> None:
        """Queue FIN for a message of this connection; for the many, where `send(Fin(...))` is for the few."""
        self._check_holding(Fin.name)
        self._put(b"FIN %b\n" % message.id)

    def requeue(self, message: Message, delay_ms: int) -> None:
        """Queue REQ for a message of this connection."""
        self._check_holding(Req.name)
        self._put(b"REQ %b %d\n" % (message.id, delay_ms))

    def touch(self, message: Message) -> None:
        """Queue TOUCH for a message of this connection."""
        self._check_holding(Touch.name)
        self._put(b"TOUCH %b\n" % message.id)

    def take_output(self) -> bytes:
        """All bytes queued since the last call, to be written in order."""
        data = b"".join(self._output)
        self._output.clear()
        self.output_bytes = 0
        return data

    def receive(self, data: bytes | bytearray | memoryview) -> "list[Event[MessageT]]":
        """Take what the socket gave, in pieces of any size.

        Raises FrameTooLarge, BadFrame or UnexpectedReply when the peer does not speak NSQ; close the connection then.
        """
        try:
            events: list[Event[MessageT]] = []
            while self.state is State.IDENTIFYING:
                # One frame at a time: the bytes behind the reply may be encrypted or compressed already.
                frame = self._decoder.feed_one(data)
                if frame is None:
                    return events
                data = b""
                self._take_frames([frame], events)
            messages, frames = self._decoder.feed_messages(data, self._message_type, self._source)
            if messages:
                if self.state not in _HOLDING:
                    raise UnexpectedReply("a message before SUB")
                events.append(Received(messages))
            if frames:
                self._take_frames(frames, events)
        except MillstreamError:
            self.state = State.FAILED
            raise
        return events

    def _put(self, data: bytes) -> None:
        self._output.append(data)
        self.output_bytes += len(data)

    def _check_holding(self, name: str) -> None:
        if self.state not in _HOLDING:
            raise UsageError(f"cannot {name} while the connection is {self.state.value}")

    def _take_frames(self, frames: list[Frame], events: "list[Event[MessageT]]") -> None:
        confirmed = 0
        for kind, payload in frames:
            if kind != ERROR and payload == OK and self._pending and self._pending[0] is Reply.PUBLISH:
                self._pending.popleft()
                confirmed += 1
                continue
            if confirmed:
                events.append(Published(confirmed))
                confirmed = 0
            if kind == MESSAGE:
                raise UnexpectedReply("a message before SUB")
            events.append(self._take_error(payload) if kind == ERROR else self._take_response(payload))
            if self.state is State.FAILED:
                return
        if confirmed:
            events.append(Published(confirmed))

    def _take_error(self, payload: bytes) -> AnswerRefused | Refused:
        error = decode_error(payload)
        if not error.fatal:
            return AnswerRefused(error)
        self.state = State.FAILED
        return Refused(error, self._pending.popleft() if self._pending else None)

    def _take_response(self, payload: bytes) -> Identified | Authenticated | Subscribed | Drained | Heartbeat:
        if payload == HEARTBEAT:
            self._put(_NOP)
            return Heartbeat()
        if not self._pending:
            raise UnexpectedReply(f"reply {payload[:100]!r} to no command")
        reply = self._pending[0]
        match reply:
            case Reply.IDENTIFY:
                event: Identified | Authenticated | Subscribed | Drained = Identified(parse_response(payload))
                self.state = State.READY
            case Reply.AUTH:
                event = Authenticated()
                self.state = State.READY
            case Reply.SUB if payload == OK:
                event = Subscribed()
            case Reply.CLS if payload == CLOSE_WAIT:
                event = Drained()
            case _:
                raise UnexpectedReply(f"reply {payload[:100]!r} to {reply.value}")
        self._pending.popleft()
        return event


def decode_error(payload: bytes) -> CommandError:
    """Read the payload of an error frame: an instance of the class of its code, or an UnknownError."""
    text = payload[:_ERROR_TEXT_MAX].decode("utf-8", "replace")
    code, _, description = text.partition(" ")
    error_class = CommandError.by_code.get(code)
    return UnknownError(text) if error_class is None else error_class(description)
