"""The wire of nsqd and nsqlookupd without sockets: any bytes in any pieces give the same, or a documented error."""

import json
from contextlib import suppress
from typing import Final

from fuzz_target import Target, pieces, sized, whole

from millstream.protocol import commands, raw
from millstream.protocol.errors import CommandError, Invalid
from millstream.protocol.frames import ERROR, MESSAGE, RESPONSE, encode_frame
from millstream.protocol.identify import (
    BadIdentifyReply,
    IdentifyRequest,
    Negotiated,
    NegotiatedReply,
    ServerFeatures,
    encode_request,
    negotiate,
    parse_request,
    parse_response,
)
from millstream.protocol.lookup import (
    BadReply,
    Command,
    Identity,
    LookupServerConnection,
    ReplyDecoder,
    decode_identity_reply,
    encode_identity_reply,
)
from millstream.protocol.parser import (
    COMMAND,
    FINISH,
    INCOMPLETE,
    PUBLISH_BATCH,
    PUBLISH_DEFERRED,
    CommandParser,
    LineTooLong,
)
from millstream.protocol.server import ServerConnection, State

MESSAGE_MAX: Final = 1_000
BODY_MAX: Final = 4_000
REQ_MAX_MS: Final = 3_600_000
ID: Final = b"0123456789abcdef"

# ------------------------------------------------------------------------------------------------------ parser


class _Reader:
    """Holds bytes as a session does, and notes what the parser made of them."""

    def __init__(self, state: State) -> None:
        self.server = ServerConnection()
        self.server.state = state
        self.parser = CommandParser(self.server.guard, MESSAGE_MAX, BODY_MAX, REQ_MAX_MS)
        self.found: list[object] = []
        self.has_ended = False
        self._buffer = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> None:
        if self.has_ended:
            return
        self._buffer += data
        if len(self._buffer) < self._needed:
            return
        try:
            self._scan()
        except (CommandError, LineTooLong) as error:
            self.found.append((type(error), str(error)))
            self.has_ended = True

    def _scan(self) -> None:
        at, end = 0, len(self._buffer)
        while at < end:
            kind = self.parser.scan(self._buffer, at, end)
            if kind == INCOMPLETE:
                break
            assert at < self.parser.position <= end
            self._note(kind, at)
            at = self.parser.position
        self._needed = self.parser.needed - at if at < end and self.parser.needed else 0
        assert self._needed <= BODY_MAX + (1 << 15), "more is waited for than may come"
        del self._buffer[:at]

    def _note(self, kind: int, at: int) -> None:
        parser, data = self.parser, self._buffer
        if kind == FINISH:
            self._note_run(at)
        elif kind == COMMAND:
            self._note_command(parser.command)
        else:
            assert 0 < parser.size <= BODY_MAX
            bodies = bytes(data[parser.body : parser.position])
            self.found.append((kind, parser.topic, bodies, parser.delay_ms if kind == PUBLISH_DEFERRED else 0))
            if kind == PUBLISH_BATCH:
                at = parser.body
                for _ in range(parser.count):
                    size = raw.get32(data, at)
                    assert 0 < size <= MESSAGE_MAX
                    at += 4 + size
                assert at == parser.position

    def _note_run(self, at: int) -> None:
        """As a session does it: the state first, and an id that none of ours can be is looked at as a line."""
        if self.server.state is State.INIT:
            raise Invalid("cannot FIN in current state")
        stop = self.parser.position
        while at < stop:
            if raw.get_id(self._buffer, at + 4) < 0:
                self.parser.line(self._buffer, at, len(self._buffer))
                self._note_command(self.parser.command)
                return
            self.found.append(("FIN", bytes(self._buffer[at + 4 : at + 20])))
            at += 21

    def _note_command(self, command: commands.Command) -> None:
        # A FIN that stands alone is the same as one in a run.
        is_fin = isinstance(command, commands.Fin)
        self.found.append(("FIN", command.message_id) if is_fin else (type(command).__name__, repr(command)))

    def cut_short(self) -> None:
        if not self.has_ended and self._buffer:
            try:
                self.parser.cut_short(self._buffer, len(self._buffer))
            except CommandError as error:
                self.found.append((type(error), str(error)))


def parser(data: bytes) -> None:
    """The first byte is the client's state, what follows it is cut."""
    state, data = list(State)[data[0] % len(State)] if data else State.INIT, data[1:]
    by_piece, at_once = _Reader(state), _Reader(state)
    for part in pieces(data):
        by_piece.feed(part)
    at_once.feed(whole(data))
    by_piece.cut_short()
    at_once.cut_short()
    assert by_piece.found == at_once.found


# ------------------------------------------------------------------------------------------------------ IDENTIFY

FEATURES: Final = ServerFeatures(tls=True, deflate=True, snappy=True, topology_region="r", topology_zone="z")


def identify(data: bytes) -> None:
    """The body of IDENTIFY, twice on one connection; and the same bytes as an answer to it."""
    with suppress(BadIdentifyReply):
        reply = parse_response(data)
        assert isinstance(reply, NegotiatedReply)
    try:
        request = parse_request(data)
    except CommandError:
        return
    assert parse_request(encode_request(request)) == request
    held: Negotiated | None = None
    for _ in range(2):
        try:
            held = negotiate(request, FEATURES, held)
        except CommandError:
            return
        assert not (held.snappy and held.deflate)
        assert held.heartbeat_interval_ms == 0 or 1_000 <= held.heartbeat_interval_ms <= 60_000
        assert 1_000 <= held.msg_timeout_ms <= 900_000
        assert 0 <= held.sample_rate <= 99
        assert 1 <= held.deflate_level <= 6
        answer = held.encode()
        if held.feature_negotiation:
            assert parse_response(answer).msg_timeout_ms == json.loads(answer)["msg_timeout"] == held.msg_timeout_ms


# ------------------------------------------------------------------------------------------------------ lookup


def _lookup_commands(parts: list[bytes]) -> list[object]:
    connection = LookupServerConnection(line_bytes_max=300, body_bytes_max=600)
    found: list[object] = []
    try:
        for part in parts:
            connection.receive(part)
            for command in connection.commands():
                assert isinstance(command, Command)
                command.encode()
                found.append(command)
        connection.end()
    except CommandError as error:
        error.encode()
        found.append((type(error), str(error)))
    return found


def _lookup_replies(parts: list[bytes]) -> list[object]:
    decoder = ReplyDecoder(1_000)
    found: list[object] = []
    try:
        for part in parts:
            found += decoder.feed(part)
    except BadReply as error:
        found.append(str(error))
    return found


def lookup(data: bytes) -> None:
    """What an nsqd says to nsqlookupd, and what it hears back."""
    assert _lookup_commands(pieces(data)) == _lookup_commands([whole(data)])
    by_piece, at_once = _lookup_replies(pieces(data)), _lookup_replies([whole(data)])
    # Before the fault a whole read gives what it was followed by; in pieces some of it has been given already.
    assert by_piece == at_once or (by_piece[-1:] == at_once[-1:] and isinstance(by_piece[-1], str))
    with suppress(BadReply):
        identity = decode_identity_reply(whole(data))
        assert decode_identity_reply(encode_identity_reply(identity)).tcp_port == identity.tcp_port


# ------------------------------------------------------------------------------------------------------ seeds

_JSON: Final = json.dumps(
    {
        "client_id": "c",
        "hostname": "h",
        "feature_negotiation": True,
        "heartbeat_interval": 30_000,
        "output_buffer_size": 16_384,
        "output_buffer_timeout": 250,
        "msg_timeout": 60_000,
        "sample_rate": 50,
        "tls_v1": True,
        "snappy": True,
        "deflate": False,
        "deflate_level": 3,
        "user_agent": "fuzz",
    }
).encode()
_COMMANDS: Final = (
    b"PUB t\n" + sized(b"body") + b"NOP\n",
    b"MPUB t\n" + sized((2).to_bytes(4, "big") + sized(b"one") + sized(b"two")) + b"NOP\n",
    b"MPUB t\n" + sized(b"\0\0\0\2" + sized(b"one") + sized(b"2")) + b"MPUB u\n" + sized(b"\0\0\0\1" + sized(b"three")),
    b"PUB t\n" + sized(bytes(MESSAGE_MAX)) + b"PUB t\n" + sized(bytes(MESSAGE_MAX + 1)),
    b"MPUB t\n" + sized(b"\0\0\0\2" + sized(bytes(MESSAGE_MAX)) + sized(bytes(MESSAGE_MAX + 1))),
    b"MPUB t\n" + sized(b"\0\0\0\4" + sized(bytes(MESSAGE_MAX)) * 4),
    b"x" * 17_000,
    b"DPUB t 1000\n" + sized(b"later") + b"PUB t#ephemeral\r\n" + sized(b"x"),
    b"SUB t c\n",
    b"RDY 10\n" + (b"FIN " + ID + b"\n") * 3 + b"FIN x\n",
    b"REQ " + ID + b" 1000\nTOUCH " + ID + b"\nCLS\n",
    commands.Identify(_JSON).encode(),
    b"AUTH\n" + sized(b"secret"),
    commands.Sub("t", "c").encode() + b"RDY 0\n",
)
_WORDS: Final = (
    *(b"PUB ", b"MPUB ", b"DPUB ", b"FIN ", b"REQ ", b"TOUCH ", b"SUB ", b"RDY ", b"CLS\n", b"NOP\n", b"AUTH\n"),
    *(
        b"IDENTIFY\n",
        b"\r\n",
        b"#ephemeral",
        ID,
        b"  V2",
        b"\x00\x00\x00\x01x",
        b"\xff\xff\xff\xff",
        b"18446744073709551616",
    ),
)
_IDENTITY: Final = Identity(broadcast_address="h", tcp_port=1, http_port=2, version="1", topology_zone="z")
_IDENTIFY_WORDS: Final = tuple(
    f'"{name}"'.encode() for name in (*IdentifyRequest.__slots__, *NegotiatedReply.__slots__, "msg_timeout")
)

PARSER: Final = Target(
    parser,
    tuple(
        state + cut + command
        for command in _COMMANDS
        for state in (b"\0", b"\1")
        for cut in (b"\xff\xff", b"\0\0", b"\x12\x47")
    ),
    _WORDS,
    is_cut=False,
)
IDENTIFY: Final = Target(
    identify,
    (
        _JSON,
        b"{}",
        b"null",
        b"OK",
        b'{"msg_timeout":1e3}',
        b"[" * 3_000,
        b'{"a":' * 1_000,
        _JSON.replace(b":", b" :\t"),
    ),
    (*_IDENTIFY_WORDS, b"true", b"-1", b"null", b"\\ud800", b"\xff", b"1e9"),
    is_cut=False,
)
LOOKUP: Final = Target(
    lookup,
    (
        b"  V1IDENTIFY\n" + sized(encode_identity_reply(_IDENTITY)) + b"REGISTER t c\nUNREGISTER t\nPING\n",
        b"  V1PING\n\nREGISTER t c",
        sized(b"OK") + sized(encode_identity_reply(_IDENTITY)) + sized(b"E_INVALID no"),
        encode_identity_reply(_IDENTITY),
    ),
    (b"  V1", b"IDENTIFY\n", b"REGISTER ", b"UNREGISTER ", b"PING\n", b"\x85", b"\xc2\xa0", b'"tcp_port":', b"null"),
)
FRAMES: Final = (
    encode_frame(RESPONSE, b"OK"),
    encode_frame(RESPONSE, b"_heartbeat_"),
    encode_frame(RESPONSE, b"CLOSE_WAIT"),
    encode_frame(RESPONSE, _JSON),
    encode_frame(ERROR, b"E_FIN_FAILED FIN x failed"),
    encode_frame(ERROR, b"E_BAD_TOPIC no"),
    encode_frame(MESSAGE, bytes(8) + b"\x00\x01" + ID + b"body"),
)
