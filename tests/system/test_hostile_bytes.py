"""Bytes that stand for something else: no UTF-8, JSON without a bottom, bombs, oversized and truncated requests.

nsqd and nsqlookupd, over TCP and HTTP. Each is refused or endured, memory stays bounded, and a well-behaved client
beside them is served. What nsqd's TCP protocol says to single mistakes is in test_hostile_clients.
"""

import asyncio
import json
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import cramjam
import pytest

Connect = Callable[..., Awaitable[Any]]

DEADLINE_S: Final = 60
MIB: Final = 1 << 20
DEEP: Final = (b"[" * 30_000, b'{"a":' * 10_000, b"[" * 20_000 + b"]" * 20_000, b'{"a":' * 9_000 + b"1" + b"}" * 9_000)
NOT_UTF8: Final = (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"caf\xe9")


@pytest.fixture(scope="module")
def nsqd(shared_nsqd: Any) -> Any:
    """The daemon under attack, with a topic that has a channel."""
    shared_nsqd.post("/topic/create?topic=t")
    shared_nsqd.post("/channel/create?topic=t&channel=c")
    return shared_nsqd


def sized(body: bytes, size: int | None = None) -> bytes:
    """A body behind its size, or behind what it says is its size."""
    return struct.pack(">i", len(body) if size is None else size) + body


def say(port: int, data: bytes, *, stops: bool = True) -> bytes:
    """Send all of it, and nothing more if it stops there: what came back until the end."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection, suppress(ConnectionError):
        connection.sendall(data)
        if stops:
            connection.shutdown(socket.SHUT_WR)
        while got := connection.recv(1 << 16):
            answer += got
    return answer


def post(path: bytes, body: bytes, *, size: int | None = None, method: bytes = b"POST") -> bytes:
    """A request; its body may be longer or shorter than it says."""
    length = len(body) if size is None else size
    return b"%b %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        method,
        path,
        length,
        body,
    )


# ------------------------------------------------------------------------------------------------------ JSON


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("body", DEEP, ids=lambda body: body[:10].decode())
async def test_json_without_a_bottom_is_refused_by_nsqd(nsqd: Any, connect: Connect, body: bytes) -> None:
    client = await connect(nsqd)
    client.send(b"IDENTIFY\n" + sized(body))
    assert await client.closed() == [(1, b"E_BAD_BODY IDENTIFY failed to decode JSON body")]

    client = await connect(nsqd)
    client.send(b"IDENTIFY\n" + sized(b'{"unknown":' + body + b"}"))
    for kind, text in await client.closed():
        assert (kind, text[:24]) == (1, b"E_BAD_BODY IDENTIFY fail")
    assert nsqd.request("PUT", "/config/nsqlookupd_tcp_addresses", body) == (400, b'{"message":"INVALID_VALUE"}')


@pytest.mark.parametrize("body", DEEP, ids=lambda body: body[:10].decode())
def test_json_without_a_bottom_is_refused_by_nsqlookupd(daemons: Any, body: bytes) -> None:
    lookupd = daemons.nsqlookupd()

    answer = say(lookupd.tcp_port, b"  V1IDENTIFY\n" + sized(body))

    assert b"E_BAD_BODY IDENTIFY failed to decode JSON body" in answer
    assert lookupd.get("/nodes") == b'{"producers":[]}'


# ------------------------------------------------------------------------------------------------------ texts


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("text", NOT_UTF8)
async def test_what_is_no_utf_8_is_no_name_and_any_body(nsqd: Any, connect: Connect, text: bytes) -> None:
    for line in (b"PUB %b\n" % text, b"SUB %b c\n" % text, b"SUB t %b\n" % text, b"%b\n" % text, b"DPUB t %b\n" % text):
        client = await connect(nsqd)
        client.send(line + sized(b"x"))
        ((kind, error),) = await client.closed()
        assert kind == 1
        assert error.startswith((b"E_BAD_TOPIC", b"E_BAD_CHANNEL", b"E_INVALID"))
    client = await connect(nsqd)
    client.send(b"IDENTIFY\n" + sized(b'{"client_id":"' + text + b'","user_agent":"' + text + b'"}'))
    assert await client.response() == b"OK"
    await client.subscribe("t", "c", 1)
    await client.publish("t", text)
    message = await client.message()
    assert message.body == text
    client.finish(message)
    # Whatever it calls itself, statistics are JSON.
    stats = json.loads(nsqd.get("/stats?format=json&topic=t"))
    assert "\ufffd" in stats["topics"][0]["channels"][0]["clients"][-1]["client_id"]
    assert nsqd.get("/stats?topic=t")


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("text", NOT_UTF8)
def test_what_is_no_utf_8_is_refused_over_http(nsqd: Any, text: bytes) -> None:
    escaped = b"".join(b"%%%02x" % byte for byte in text)

    for name in (text, escaped):
        answer = say(nsqd.http_port, post(b"/pub?topic=" + name, b"x"))
        assert answer[:12] == b"HTTP/1.1 400"
    assert nsqd.request("PUT", "/config/log_level", text)[0] == 400
    assert nsqd.request("PUT", "/config/nsqlookupd_tcp_addresses", b'["' + text + b'"]')[0] == 400
    assert say(nsqd.http_port, b"GET /" + text + b" HTTP/1.1\r\nHost: h\r\n\r\n")[:12] in {
        b"HTTP/1.1 400",
        b"HTTP/1.1 404",
    }
    header = b"GET /ping HTTP/1.1\r\nHost: h\r\nUser-Agent: " + text + b"\r\nConnection: close\r\n\r\n"
    assert say(nsqd.http_port, header)[:12] == b"HTTP/1.1 200"


@pytest.mark.parametrize("text", NOT_UTF8)
def test_what_is_no_utf_8_is_refused_by_nsqlookupd(daemons: Any, text: bytes) -> None:
    lookupd = daemons.nsqlookupd()
    identity = b'{"broadcast_address":"%b","tcp_port":1,"http_port":2,"version":"1"}'

    assert b"E_INVALID" in say(lookupd.tcp_port, b"  V1" + text + b"\n")
    answer = say(lookupd.tcp_port, b"  V1IDENTIFY\n" + sized(identity % text) + b"REGISTER " + text + b" c\n")
    assert b"E_BAD_TOPIC" in answer
    escaped = "".join(f"%{byte:02x}" for byte in text)
    assert lookupd.request("POST", f"/topic/create?topic={escaped}") == (400, b'{"message":"INVALID_ARG_TOPIC"}')
    assert lookupd.request("GET", f"/lookup?topic={escaped}")[0] == 404
    assert lookupd.get("/topics") == b'{"topics":[]}'


# ------------------------------------------------------------------------------------------------------ bombs


def deflated(plain: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)


BOMBS: Final = {
    "deflate, no line": ("deflate", deflated(bytes(200 * MIB))),
    "snappy, no line": ("snappy", bytes(cramjam.snappy.compress(bytes(50 * MIB)))),
    "deflate, a promised body": ("deflate", deflated(b"PUB t\n\x00\x10\x00\x01" + bytes(100 * MIB))),
    "snappy, a promised body": ("snappy", bytes(cramjam.snappy.compress(b"PUB t\n\x00\x10\x00\x01" + bytes(50 * MIB)))),
    "deflate, nothing that counts": ("deflate", deflated(b"NOP\n" * MIB + b"BYE\n")),
}


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_read_within_bounds(nsqd: Any, connect: Connect, neighbour: Any, name: str) -> None:
    feature, bomb = BOMBS[name]
    client = await connect(nsqd)
    client.send(b"IDENTIFY\n" + sized(json.dumps({"feature_negotiation": True, feature: True}).encode()))
    assert json.loads((await client.raw_frame())[1])[feature] is True
    before = nsqd.resident_bytes()
    with suppress(OSError, RuntimeError):
        client.writer.write(bomb)
        await client.writer.drain()
    neighbour.was_served()
    async with asyncio.timeout(DEADLINE_S):
        with suppress(OSError):
            while await client.reader.read(1 << 16):
                pass

    assert nsqd.resident_bytes() - before < 48 * MIB


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_coded_body_over_http_is_not_decoded(nsqd: Any, coding: str) -> None:
    body = zlib.compress(bytes(10 * MIB))

    # It is a message like any other: what it stands for is its consumer's business.
    assert nsqd.request("POST", "/pub?topic=bomb", body, **{"Content-Encoding": coding}) == (200, b"OK")
    chunked = b"POST /pub?topic=bomb HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: %b, chunked\r\n\r\n" % coding.encode()
    assert say(nsqd.http_port, chunked + b"1\r\nx\r\n0\r\n\r\n")[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 501"}


# ------------------------------------------------------------------------------------------------------ size


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "data",
    [
        post(b"/pub?topic=t", b"short", size=1_000),
        b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 5",
        b"POST /pub?topic=t",
        b"P",
    ],
)
def test_a_truncated_request_publishes_nothing(nsqd: Any, data: bytes) -> None:
    before = json.loads(nsqd.get("/stats?format=json&topic=t"))["topics"][0]["message_count"]

    assert say(nsqd.http_port, data)[:12] in {b"", b"HTTP/1.1 400", b"HTTP/1.1 408"}

    assert json.loads(nsqd.get("/stats?format=json&topic=t"))["topics"][0]["message_count"] == before


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * MIB + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /ping?" + b"a=b&" * (MIB // 4) + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: h\r\nX: " + b"a" * MIB + b"\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: h\r\n" + b"X: a\r\n" * 50_000 + b"\r\n",
        post(b"/pub?topic=t", b"", size=1 << 40),
        post(b"/mpub?topic=t", b"", size=(1 << 63) - 1),
        post(b"/pub?topic=t", b"", size=10**30),
        b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * MIB + b"\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (2 * MIB),
    ],
    ids=range(10),
)
def test_an_oversized_request_is_refused_within_bounds(nsqd: Any, data: bytes) -> None:
    before = nsqd.resident_bytes()

    # Who is still sending when the answer comes may find the connection reset instead.
    assert say(nsqd.http_port, data, stops=False)[:12] in {b"", b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 431"}

    assert nsqd.resident_bytes() - before < 32 * MIB


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"  V1" + b"A" * 5_000, b"E_INVALID command line longer than 4096 bytes"),
        (b"  V1" + b"PING " * 5_000, b"E_INVALID command line longer than 4096 bytes"),
        (b"  V1IDENTIFY\n" + sized(b"", 65_537), b"E_BAD_BODY IDENTIFY body too big 65537 > 65536"),
        (b"  V1IDENTIFY\n" + sized(b"", -1), b"E_BAD_BODY IDENTIFY invalid body size -1"),
        (b"  V1IDENTIFY\n\x00\x00", b"E_BAD_BODY IDENTIFY failed to read body size"),
        (b"  V1IDENTIFY\n" + sized(b"{", 100), b"E_BAD_BODY IDENTIFY failed to read body"),
        (b"  V2", b"E_BAD_PROTOCOL"),
        (b"GET /ping HTTP/1.1\r\n\r\n", b"E_BAD_PROTOCOL"),
    ],
)
def test_oversized_and_truncated_commands_are_named_by_nsqlookupd(daemons: Any, data: bytes, text: bytes) -> None:
    lookupd = daemons.nsqlookupd()

    assert text in say(lookupd.tcp_port, data)
    assert lookupd.get("/ping") == b"OK"
