"""What other servers answer to nsqd and to our clients: frames, an auth server's JSON, HTTP responses."""

import asyncio
import json
from typing import Any, Final

from fuzz_protocol import FRAMES
from fuzz_target import Target, pieces, whole

from millstream.base.errors import MillstreamError
from millstream.net.http_exchange import ClientResponse, ExchangeFailed, HttpExchange
from millstream.nsqd.auth import AuthQueryFailed, parse_authorizations
from millstream.protocol.client import ClientConnection, Received, State
from millstream.protocol.commands import Auth, Cls, Identify, Pub, Sub
from millstream.protocol.message import Message

RESPONSE_BYTES_MAX: Final = 10_000
FRAME_BYTES_MAX: Final = 5_000

# ------------------------------------------------------------------------------------------------------ client


def _events(parts: list[bytes], kind: int) -> list[object]:
    connection = ClientConnection(Message, frame_bytes_max=FRAME_BYTES_MAX)
    connection.send(Identify(b"{}"))
    found: list[object] = []
    try:
        for number, part in enumerate(parts):
            for event in connection.receive(part):
                found += _flat(event)
            if connection.state is State.FAILED:
                # Refused: whoever holds the connection closes it.
                break
            if number == 0 and kind and connection.state is State.READY:
                for command in ((Sub("t", "c"), Pub("t", b"x"), Cls()), (Auth(b"secret"),))[kind - 1]:
                    connection.send(command)
        connection.take_output()
    except MillstreamError as error:
        # Which of two faults comes first depends on the pieces: messages and answers are looked at by read.
        found.append(MillstreamError)
        assert str(error)
    return found


def _flat(event: object) -> list[object]:
    if isinstance(event, Received):
        return [(message.id, message.body, message.attempts, message.timestamp_ns) for message in event.messages]
    return [repr(event)]


def client(data: bytes) -> None:
    """The answer to IDENTIFY, and then anything; by the first byte after SUB, PUB and CLS, or after AUTH."""
    kind, data = data[0] % 3 if data else 0, data[1:]
    at_once = _events([FRAMES[0], whole(data)], kind)
    by_piece = _events([FRAMES[0], *pieces(data)], kind)
    # A fault behind a refusal is seen only when both come in one read: in pieces the connection is closed before.
    if MillstreamError not in at_once + by_piece:
        # Messages of one read come before its answers, so the order may differ, and confirmations are added up.
        assert _sorted(at_once) == _sorted(by_piece)


def _sorted(events: list[object]) -> list[str]:
    return sorted(str(event) for event in events if not str(event).startswith("Published("))


# ------------------------------------------------------------------------------------------------------ auth server


def auth(data: bytes) -> None:
    """The body of an auth server's answer, and its patterns on some names."""
    try:
        granted = parse_authorizations(data)
    except AuthQueryFailed as error:
        assert str(error)
        return
    for name in ("", "t", "clicks#ephemeral", "a" * 64, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_"):
        granted.may_publish(name)
        granted.may_subscribe(name, name)
    assert json.loads(granted.encode())["permission_count"] == granted.permission_count


# ------------------------------------------------------------------------------------------------------ HTTP client


class _Transport(asyncio.Transport):
    """Takes everything, and notes that it was closed."""

    is_closed = False

    def write(self, data: Any) -> None:
        del data

    def close(self) -> None:
        self.is_closed = True

    abort = close


async def _response(parts: list[bytes]) -> object:
    exchange = HttpExchange(RESPONSE_BYTES_MAX, on_made=lambda _: None, on_lost=lambda _: None)
    transport = _Transport()
    exchange.connection_made(transport)
    asking = asyncio.ensure_future(exchange.ask(b"GET / HTTP/1.1\r\n\r\n"))
    await asyncio.sleep(0)
    for part in parts:
        if transport.is_closed or asking.done():
            break
        exchange.data_received(part)
        await asyncio.sleep(0)
    if not asking.done():
        exchange.eof_received()
        exchange.connection_lost(None)
    try:
        response = await asking
    except ExchangeFailed as error:
        assert str(error)
        return ExchangeFailed
    assert isinstance(response, ClientResponse)
    assert len(response.body) <= RESPONSE_BYTES_MAX
    return response


_loops: list[asyncio.AbstractEventLoop] = []


def http_client(data: bytes) -> None:
    """What any HTTP server may answer to a request of ours."""
    if not _loops:
        _loops.append(asyncio.new_event_loop())
    by_piece = _loops[0].run_until_complete(_response(pieces(data)))
    at_once = _loops[0].run_until_complete(_response([whole(data)]))
    # A fault behind a whole response spoils the connection, and the response only when both come in one read.
    assert by_piece == at_once or ExchangeFailed in (by_piece, at_once)


def close() -> None:
    """End the event loop, if there is one."""
    while _loops:
        _loops.pop().close()


# ------------------------------------------------------------------------------------------------------ seeds

_GRANT: Final = {
    "ttl": 60,
    "identity": "who",
    "identity_url": "http://h",
    "authorizations": [
        {
            "permissions": ["subscribe", "publish"],
            "topic": "^(a+)+[bc]{2,3}$",
            "channels": [".*", "(?i)x|y?", "\\d\\pL"],
        }
    ],
}
CLIENT: Final = Target(
    client,
    tuple(kind + cut + b"".join(FRAMES) for kind in (b"\0", b"\1", b"\2") for cut in (b"\xff\xff", b"\x12\x47"))
    + tuple(b"\1\xff\xff" + frame for frame in FRAMES),
    (b"\x00\x00\x00", b"OK", b"_heartbeat_", b"CLOSE_WAIT", b"E_INVALID", b"E_TOUCH_FAILED"),
    is_cut=False,
)
AUTH: Final = Target(
    auth,
    (
        json.dumps(_GRANT).encode(),
        b'{"ttl":1,"authorizations":[{"topic":"(a|a?)+$","channels":["[[:alpha:]]"]}]}',
        b"{}",
    ),
    (b'"topic":', b'"channels":', b"publish", b"subscribe", b"(?i)", b"(?P<n>", b"[[:alpha:]]", b"{1,1000}", b"\\p{L}"),
    is_cut=False,
)
HTTP_CLIENT: Final = Target(
    http_client,
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil closed",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 20000\r\n\r\nx",
    ),
    (
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"HTTP/1.1 ",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"Upgrade: x\r\n",
    ),
)
