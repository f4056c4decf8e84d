"""`client.lookup`: what the answer of an nsqlookupd says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from millstream.base.units import Address
from millstream.client.lookup import LookupAnswer, LookupFailed, ask, lookup_url, read_producers
from millstream.net.http_client import HttpClient


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that says these bytes to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/lookup"
    finally:
        server.close()


async def asked(answer: bytes) -> LookupAnswer:
    async with asyncio.timeout(20), HttpClient() as http, answering(answer) as url:
        return await ask(http, lookup_url(url, "t"), {})


def http(status: int, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d X" % status, b"X-NSQ-Content-Type: nsq; version=1.0", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


BODY = b'{"channels":[],"producers":[{"broadcast_address":"a","tcp_port":1}]}'
FOUND = frozenset({Address("a", 1)})


def test_the_topic_is_escaped() -> None:
    assert lookup_url("http://h:1/lookup", "a#ephemeral") == "http://h:1/lookup?topic=a%23ephemeral"


async def test_an_answer_without_a_version_is_that_of_any_nsqlookupd() -> None:
    assert await asked(http(200, BODY)) == LookupAnswer(FOUND, "")
    assert await asked(http(404, b'{"message":"TOPIC_NOT_FOUND"}')) == LookupAnswer(frozenset(), "")


async def test_a_version_is_an_offer_to_wait() -> None:
    assert await asked(http(200, BODY, b"X-Millstream-Version: 12ab")) == LookupAnswer(FOUND, "12ab")
    assert await asked(http(404, b"{}", b"X-Millstream-Version: unknown")) == LookupAnswer(frozenset(), "unknown")


@pytest.mark.parametrize("version", [b"", b"a b", b"a&b", b"x" * 65, b"\xff"])
async def test_a_version_of_another_form_is_none(version: bytes) -> None:
    assert await asked(http(200, BODY, b"X-Millstream-Version: " + version)) == LookupAnswer(FOUND, "")


@pytest.mark.parametrize("status", [401, 500, 301])
async def test_another_status_is_a_failure(status: int) -> None:
    with pytest.raises(LookupFailed, match=str(status)):
        await asked(http(status, b"{}"))


def test_producers_are_read_and_bad_ones_left_out() -> None:
    body = json.dumps(
        {
            "producers": [
                {"broadcast_address": "a.example", "tcp_port": 4150},
                {"broadcast_address": "::1", "tcp_port": 4150},
                {"broadcast_address": "b", "tcp_port": 0},
                {"broadcast_address": "b", "tcp_port": True},
                {"broadcast_address": "b", "tcp_port": 70000},
                {"broadcast_address": "b c", "tcp_port": 4150},
                {"broadcast_address": "", "tcp_port": 4150},
                {"broadcast_address": None, "tcp_port": 4150},
            ]
        }
    )

    assert read_producers(body.encode()) == {Address("a.example", 4150), Address("::1", 4150)}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"producers":5}', b'{"producers":[1]}', b"[" * 100_000])
def test_an_answer_of_another_shape_is_an_error(body: bytes) -> None:
    with pytest.raises(LookupFailed):
        read_producers(body)


def test_no_producers_may_be_null() -> None:
    assert read_producers(b'{"channels":null,"producers":null}') == frozenset()


def test_the_wrapped_answer_of_old_daemons_is_read() -> None:
    body = b'{"status_code":200,"data":{"producers":[{"broadcast_address":"a","tcp_port":1}]}}'

    assert read_producers(body, is_wrapped=True) == {Address("a", 1)}
