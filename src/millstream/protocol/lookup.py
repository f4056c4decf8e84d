"""The discovery protocol V1, both directions: what nsqd says to nsqlookupd and what it hears back.

The bytes of one nsqd come from `nsqlookupd.session`, which carries the commands out; `nsqd.announce` writes the
commands and reads the replies. After the magic a command is one line, trimmed and split at single spaces; IDENTIFY is
followed by an int32 size and a JSON body. A reply is an int32 size and its text, without a frame type: an error looks
like any other reply whose text starts with a code. Every error is fatal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from millstream.base.errors import MillstreamError
from millstream.protocol import go_json
from millstream.protocol.errors import BadBody, BadChannel, BadProtocol, BadTopic, Invalid
from millstream.protocol.names import is_valid_name

MAGIC_V1: Final = b"  V1"
OK: Final = b"OK"
LINE_BYTES_MAX: Final = 4096
BODY_BYTES_MAX: Final = 65_536
REPLY_BYTES_MAX: Final = 65_536

_SIZE_BYTES: Final = 4
_ECHO_LENGTH_MAX: Final = 256
# What NSQ trims at both ends of a line; Python's own idea of white space also has the separators 0x1c to 0x1f.
_WHITE_SPACE: Final = " \t\n\v\f\r\x85\xa0"
# -1 stands for "no such port"; more than 16 bits is nothing that anybody could connect to.
_PORT_LOW: Final = -1
_PORT_HIGH: Final = 65_535


class BadReply(MillstreamError):
    """The peer is no nsqlookupd: its reply has an impossible size or shape. Close the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a daemon says about itself: nsqd in IDENTIFY, nsqlookupd in the reply to it."""

    broadcast_address: str
    tcp_port: int
    http_port: int
    version: str
    hostname: str = ""
    topology_region: str = ""
    topology_zone: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """Says that the sender is alive; legal at any time."""

    def encode(self) -> bytes:
        """The bytes of the command."""
        return b"PING\n"


@dataclass(frozen=True, slots=True)
class Identify:
    """Says who the sender is; once per connection, before it registers anything."""

    identity: Identity

    def encode(self) -> bytes:
        """The bytes of the command."""
        return b"IDENTIFY\n" + encode_reply(msgspec.json.encode(self.identity, order="sorted"))


@dataclass(frozen=True, slots=True)
class Register:
    """The sender has this topic, or this topic and channel."""

    topic: str
    channel: str = ""

    def encode(self) -> bytes:
        """The bytes of the command."""
        return _encode_line("REGISTER", self.topic, self.channel)


@dataclass(frozen=True, slots=True)
class Unregister:
    """The sender no longer has this channel, or this topic and all its channels."""

    topic: str
    channel: str = ""

    def encode(self) -> bytes:
        """The bytes of the command."""
        return _encode_line("UNREGISTER", self.topic, self.channel)


Command = Ping | Identify | Register | Unregister


class LookupServerConnection:
    """Turns the bytes of one nsqd into commands that are legal now.

    Give it bytes with `receive`, then iterate over `commands` until it stops. It raises a `CommandError` where the peer
    broke the rules; the peer is told so, the connection is closed, and nothing more is read from this object.
    """

    def __init__(self, *, line_bytes_max: int = LINE_BYTES_MAX, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._body_bytes_max = body_bytes_max
        self._buffer = bytearray()
        self._has_magic = False
        self._is_identified = False
        self._is_in_body = False

    def receive(self, data: bytes) -> None:
        """Adds what came in. The caller bounds it by iterating over `commands` before it reads on."""
        self._buffer += data

    def commands(self) -> Iterator[Command]:
        """The whole commands received so far, each read only when asked for; raises CommandError, see the class."""
        if not self._has_magic:
            if len(self._buffer) < len(MAGIC_V1):
                return
            if not self._buffer.startswith(MAGIC_V1):
                raise BadProtocol
            del self._buffer[: len(MAGIC_V1)]
            self._has_magic = True
        while (command := self._next_command()) is not None:
            yield command

    def end(self) -> None:
        """The peer will send no more. Raises BadBody when that cuts the body of IDENTIFY."""
        if self._is_in_body and len(self._buffer) < _SIZE_BYTES:
            raise BadBody("IDENTIFY failed to read body size")
        if self._is_in_body:
            raise BadBody("IDENTIFY failed to read body")

    def _next_command(self) -> Command | None:
        if self._is_in_body:
            return self._read_identify()
        end = self._buffer.find(b"\n", 0, self._line_bytes_max)
        if end < 0:
            if len(self._buffer) >= self._line_bytes_max:
                raise Invalid(f"command line longer than {self._line_bytes_max} bytes")
            return None
        line = self._buffer[:end].decode("utf-8", "surrogateescape").strip(_WHITE_SPACE)
        del self._buffer[: end + 1]
        return self._read_line(line.split(" "))

    def _read_line(self, words: list[str]) -> Command | None:
        match words[0]:
            case "PING":
                return Ping()
            case "IDENTIFY":
                if self._is_identified:
                    raise Invalid("cannot IDENTIFY again")
                self._is_in_body = True
                return self._read_identify()
            case "REGISTER":
                return Register(*self._read_names(words))
            case "UNREGISTER":
                return Unregister(*self._read_names(words))
            case name:
                raise Invalid(f"invalid command {name[:_ECHO_LENGTH_MAX]}")

    def _read_names(self, words: list[str]) -> tuple[str, str]:
        if not self._is_identified:
            raise Invalid("client must IDENTIFY")
        if len(words) < 2:
            raise Invalid(f"{words[0]} insufficient number of params")
        command, topic, channel = (*words, "")[:3]
        if not is_valid_name(topic):
            raise BadTopic(f"{command} topic name '{topic[:_ECHO_LENGTH_MAX]}' is not valid")
        if channel and not is_valid_name(channel):
            raise BadChannel(f"{command} channel name '{channel[:_ECHO_LENGTH_MAX]}' is not valid")
        return topic, channel

    def _read_identify(self) -> Identify | None:
        if len(self._buffer) < _SIZE_BYTES:
            return None
        size_bytes = int.from_bytes(self._buffer[:_SIZE_BYTES], "big", signed=True)
        if size_bytes < 0:
            raise BadBody(f"IDENTIFY invalid body size {size_bytes}")
        if size_bytes > self._body_bytes_max:
            raise BadBody(f"IDENTIFY body too big {size_bytes} > {self._body_bytes_max}")
        end = _SIZE_BYTES + size_bytes
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_SIZE_BYTES:end])
        del self._buffer[:end]
        command = Identify(decode_identity(body))
        self._is_in_body = False
        self._is_identified = True
        return command


class ReplyDecoder:
    """Splits what nsqlookupd sends into replies."""

    def __init__(self, size_bytes_max: int = REPLY_BYTES_MAX) -> None:
        self._size_bytes_max = size_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The replies that `data` completes. Raises BadReply for a size that is negative or above the limit."""
        self._buffer += data
        replies = []
        while len(self._buffer) >= _SIZE_BYTES:
            size_bytes = int.from_bytes(self._buffer[:_SIZE_BYTES], "big", signed=True)
            if not 0 <= size_bytes <= self._size_bytes_max:
                raise BadReply(f"reply size {size_bytes} is outside 0 to {self._size_bytes_max}")
            end = _SIZE_BYTES + size_bytes
            if len(self._buffer) < end:
                break
            replies.append(bytes(self._buffer[_SIZE_BYTES:end]))
            del self._buffer[:end]
        return replies


def encode_reply(text: bytes) -> bytes:
    """A reply as it goes over the wire."""
    return len(text).to_bytes(_SIZE_BYTES, "big") + text


def decode_identity(body: bytes) -> Identity:
    """The body of IDENTIFY. Raises BadBody when it is no usable JSON, or when a required field is empty."""
    fields = _decode_fields(body)
    if fields is None:
        raise BadBody("IDENTIFY failed to decode JSON body")
    identity = _build_identity(fields)
    if not (identity.broadcast_address and identity.tcp_port and identity.http_port and identity.version):
        raise BadBody("IDENTIFY missing fields")
    return identity


def encode_identity_reply(identity: Identity) -> bytes:
    """The text that answers IDENTIFY: who this nsqlookupd is, keys sorted, nothing about topology."""
    return msgspec.json.encode(
        {
            "broadcast_address": identity.broadcast_address,
            "hostname": identity.hostname,
            "http_port": identity.http_port,
            "tcp_port": identity.tcp_port,
            "version": identity.version,
        }
    )


def decode_identity_reply(text: bytes) -> Identity:
    """The reply to IDENTIFY, any field of which may be missing. Raises BadReply when it is an error or no JSON."""
    fields = _decode_fields(text)
    if fields is None:
        shown = text[:_ECHO_LENGTH_MAX].decode("utf-8", "replace")
        raise BadReply(f"the reply to IDENTIFY is no JSON object: {shown}")
    return _build_identity(fields)


_TEXTS: Final = frozenset({"broadcast_address", "hostname", "version", "topology_region", "topology_zone"})
_PORTS: Final = frozenset({"tcp_port", "http_port"})
_Fields = tuple[dict[str, str], dict[str, int]]


def _encode_line(command: str, topic: str, channel: str) -> bytes:
    return f"{command} {topic} {channel}\n".encode() if channel else f"{command} {topic}\n".encode()


def _build_identity(fields: _Fields) -> Identity:
    texts, ports = fields
    return Identity(
        broadcast_address=texts.get("broadcast_address", ""),
        tcp_port=ports.get("tcp_port", 0),
        http_port=ports.get("http_port", 0),
        version=texts.get("version", ""),
        hostname=texts.get("hostname", ""),
        topology_region=texts.get("topology_region", ""),
        topology_zone=texts.get("topology_zone", ""),
    )


def _decode_fields(body: bytes) -> _Fields | None:
    """The known fields, by Go's rules of JSON: keys in any case, null says nothing, invalid UTF-8 is replaced."""
    texts: dict[str, str] = {}
    ports: dict[str, int] = {}
    try:
        for key, value in go_json.members(body):
            name = go_json.folded(key)
            if value is None:
                continue
            if name in _TEXTS:
                texts[name] = str(go_json.typed(value, str))
            elif name in _PORTS:
                ports[name] = int(go_json.typed(value, int))
    except go_json.NotDecodable:
        return None
    return (texts, ports) if all(_PORT_LOW <= port <= _PORT_HIGH for port in ports.values()) else None
