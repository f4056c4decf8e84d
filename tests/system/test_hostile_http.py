"""Requests that nsqd's HTTP API has to refuse, each with NSQ's status and code, beside a well-behaved TCP client."""

import asyncio
import json
import struct
from contextlib import suppress
from typing import Any, Final

import pytest

DEADLINE_S: Final = 20
MIB: Final = 1 << 20
pytestmark = pytest.mark.usefixtures("served")


@pytest.fixture(scope="module")
def nsqd(shared_nsqd: Any) -> Any:
    """The daemon under attack, with a topic."""
    shared_nsqd.post("/topic/create?topic=t")
    return shared_nsqd


HTTP: Final = [
    ("POST", "/pub?topic=t", b"", 400, "MSG_EMPTY"),
    ("POST", "/pub", b"x", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/pub?topic=", b"x", 400, "INVALID_TOPIC"),
    ("POST", "/pub?topic=a:b", b"x", 400, "INVALID_TOPIC"),
    ("POST", "/pub?topic=%zz", b"x", 400, "INVALID_REQUEST"),
    ("POST", "/pub?topic=t", bytes(MIB + 1), 413, "MSG_TOO_BIG"),
    *[
        ("POST", f"/pub?topic=t&defer={value}", b"x", 400, "INVALID_DEFER")
        for value in ("", "x", "-1", "1.5", "3600001")
    ],
    ("POST", "/mpub", b"x", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/mpub?topic=a:b", b"x", 400, "INVALID_TOPIC"),
    ("POST", "/mpub?topic=t", bytes(MIB + 1), 413, "MSG_TOO_BIG"),
    ("POST", "/mpub?topic=t", bytes(5 * MIB + 1), 413, "BODY_TOO_BIG"),
    ("POST", "/mpub?topic=t&binary=true", b"", 413, "BAD_BODY"),
    ("POST", "/mpub?topic=t&binary=true", b"\x00\x00\x00", 413, "BAD_BODY"),
    ("POST", "/mpub?topic=t&binary=true", struct.pack(">i", -1), 413, "BAD_BODY"),
    ("POST", "/mpub?topic=t&binary=true", struct.pack(">i", 1 << 30), 413, "BAD_BODY"),
    ("POST", "/mpub?topic=t&binary=true", struct.pack(">ii", 1, 5), 413, "BAD_MESSAGE"),
    ("POST", "/mpub?topic=t&binary=true", struct.pack(">ii", 1, 0), 413, "BAD_MESSAGE"),
    ("POST", "/mpub?topic=t&binary=true", struct.pack(">ii", 1, -1), 413, "BAD_MESSAGE"),
    ("POST", "/mpub?topic=t&binary=maybe", struct.pack(">ii", 2, 1) + b"x", 413, "BAD_MESSAGE"),
    ("GET", "/pub?topic=t", b"", 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/ping", b"", 405, "METHOD_NOT_ALLOWED"),
    ("GET", "/put?topic=t", b"", 404, "NOT_FOUND"),
    ("POST", "/topic/create", b"", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/topic/create?topic=a/b", b"", 400, "INVALID_TOPIC"),
    ("POST", "/topic/delete?topic=a/b", b"", 404, "TOPIC_NOT_FOUND"),
    ("POST", "/topic/empty?topic=nowhere", b"", 404, "TOPIC_NOT_FOUND"),
    ("POST", "/channel/create?topic=t", b"", 400, "MISSING_ARG_CHANNEL"),
    ("POST", "/channel/create?topic=t&channel=c%20", b"", 400, "INVALID_ARG_CHANNEL"),
    ("POST", "/channel/create?topic=nowhere&channel=c", b"", 404, "TOPIC_NOT_FOUND"),
    ("POST", "/channel/pause?topic=t&channel=nowhere", b"", 404, "CHANNEL_NOT_FOUND"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"), HTTP, ids=[f"{index} {case[1]}" for index, case in enumerate(HTTP)]
)
def test_a_bad_request_is_named(nsqd: Any, method: str, path: str, body: bytes, status: int, code: str) -> None:
    assert nsqd.request(method, path, body) == (status, json.dumps({"message": code}, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"  V2SUB t c\n\r\n",
        b"\x00" * 100,
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /ping HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
    ],
)
async def test_what_is_no_http_is_answered_in_http_and_closed(nsqd: Any, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", nsqd.http_port)
    answer = b""
    async with asyncio.timeout(DEADLINE_S):
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            answer = await reader.read()
    writer.close()

    assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 505"}
