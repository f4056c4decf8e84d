"""`nsqd.publish_again`: a client that sends one request after the other on a connection, and what it hears."""

import asyncio
import struct
from typing import Any

import pytest


def code(name: str) -> bytes:
    return b'{"message":"%s"}' % name.encode()


def counted(body: bytes) -> bytes:
    return struct.pack(">ii", 1, len(body)) + body


async def taken(one: Any, topic: str, count: int) -> list[bytes]:
    peer = await one.connect()
    peer.subscribe(topic, "c", ready=100)
    await peer.text()
    return [(await peer.message())[1] for _ in range(count)]


class Kept:
    """One HTTP connection that stays."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, target: str, body: bytes) -> tuple[int, bytes]:
        head = f"POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        async with asyncio.timeout(20):
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            size = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
            return int(lines[0].split()[1]), await self._reader.readexactly(size)


async def kept(one: Any) -> Kept:
    return Kept(*await one.open(one.nsqd.http_address))


@pytest.mark.parametrize("durability", ["memory", "log", "fsync"])
async def test_a_client_that_repeats_itself_publishes_every_body(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        client, other = await kept(one), await kept(one)
        for number in range(5):
            assert await client.post("/pub?topic=t", b"%d" % number) == (200, b"OK")
            assert await other.post("/mpub?topic=t", b"a%d\nb%d" % (number, number)) == (200, b"OK")
        # The usual answer, and then what is not usual.
        assert await client.post("/pub?topic=t", b"") == (400, code("MSG_EMPTY"))
        assert await other.post("/mpub?topic=t", b"\n\n\n\n\n") == (200, b"OK")
        assert await other.post("/mpub?topic=t&binary=1", counted(b"x")) == (200, b"OK")
        assert await other.post("/mpub?topic=t&binary=1", counted(b"y")) == (200, b"OK")
        assert await client.post("/pub?topic=t&defer=1", b"l") == (200, b"OK")
        assert await client.post("/pub?topic=t&defer=1", b"m") == (200, b"OK")

        expected = [part for n in range(5) for part in (b"%d" % n, b"a%d" % n, b"b%d" % n)] + [b"x", b"y"]
        assert await taken(one, "t", 17) == expected
        assert (await one.stats())["topics"][0]["message_count"] == 19


async def test_a_client_that_repeats_itself_hears_when_messages_are_not_taken_any_more(start: Any) -> None:
    async with start(max_msg_size=5) as one:
        client, other = await kept(one), await kept(one)

        async def again() -> set[tuple[int, bytes]]:
            return {await client.post("/pub?topic=t", b"12345"), await other.post("/mpub?topic=t", b"1\n345")}

        assert await again() == {(200, b"OK")}
        assert await again() == {(200, b"OK")}
        assert await other.post("/mpub?topic=t", b"1\n345678901"[:7]) == (200, b"OK")
        assert await other.post("/mpub?topic=t", b"1234567") == (413, code("MSG_TOO_BIG"))

        one.disk.is_full = True
        assert await again() == {(503, code("EXITING"))}
        one.disk.is_full = False
        assert await again() == {(200, b"OK")}

        await one.ask("POST", "/topic/delete?topic=t")
        assert await again() == {(200, b"OK")}
        assert one.host.broker.topics["t"].message_count == 3

        one.host.drain.begin()
        assert await again() == {(503, code("DRAINING"))}
        one.host.is_stopping = True
        assert await again() == {(503, code("EXITING"))}


@pytest.mark.parametrize("path", ["/pub", "/mpub"])
@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("?topic=%zz", 400, "INVALID_REQUEST"),
        ("", 400, "MISSING_ARG_TOPIC"),
        ("?topic=", 400, "INVALID_TOPIC"),
        ("?topic=a%20b", 400, "INVALID_TOPIC"),
    ],
)
async def test_a_client_that_repeats_a_mistake_hears_of_it_every_time(
    start: Any, path: str, query: str, status: int, name: str
) -> None:
    async with start() as one:
        client = await kept(one)
        for _ in range(3):
            assert await client.post(path + query, b"x") == (status, code(name))


async def test_what_is_sent_before_the_answer_came_waits_for_its_turn(start: Any) -> None:
    async with start(durability="fsync") as one:
        reader, writer = await one.open(one.nsqd.http_address)
        request = b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n%d"
        for number in range(9):
            writer.write(request % number)
            await asyncio.sleep(0)  # a read of its own, as often as not
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")

        async with asyncio.timeout(20):
            answers = await reader.read()

        assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200"] * 9 + [b"404"]
        assert await taken(one, "t", 9) == [b"%d" % number for number in range(9)]
