"""`nsqd.publishing`: `/pub` and `/mpub` on a real socket, and what they refuse."""

import asyncio
import struct
from typing import Any

import pytest


def code(name: str) -> bytes:
    return b'{"message":"%s"}' % name.encode()


def counted(*bodies: bytes) -> bytes:
    return struct.pack(">i", len(bodies)) + b"".join(struct.pack(">i", len(body)) + body for body in bodies)


async def taken(one: Any, topic: str, count: int) -> list[bytes]:
    peer = await one.connect()
    peer.subscribe(topic, "c", ready=100)
    await peer.text()
    return [(await peer.message())[1] for _ in range(count)]


@pytest.mark.parametrize("durability", ["memory", "log", "fsync"])
async def test_what_was_published_is_delivered_as_it_came(start: Any, durability: str) -> None:
    body = bytes(range(256)) * 1000
    async with start(durability=durability) as one:
        assert await one.ask("POST", "/pub?topic=t", body) == (200, b"OK")
        assert await one.ask("POST", "/mpub?topic=t", b"a\r\n\nb\nc") == (200, b"OK")
        assert await one.ask("POST", "/mpub?topic=t&binary=true", counted(b"\n", body)) == (200, b"OK")

        assert await taken(one, "t", 6) == [body, b"a\r", b"b", b"c", b"\n", body]


@pytest.mark.parametrize(
    ("target", "body", "status", "name"),
    [
        ("/pub?topic=t", b"", 400, "MSG_EMPTY"),
        ("/pub?topic=%zz", b"", 400, "MSG_EMPTY"),
        ("/pub?topic=%zz", b"x", 400, "INVALID_REQUEST"),
        ("/pub", b"x", 400, "MISSING_ARG_TOPIC"),
        ("/pub?topic=", b"x", 400, "INVALID_TOPIC"),
        ("/pub?topic=a%20b", b"x", 400, "INVALID_TOPIC"),
        ("/pub?topic=t", b"x" * 101, 413, "MSG_TOO_BIG"),
        ("/mpub", b"x", 400, "MISSING_ARG_TOPIC"),
        ("/mpub?topic=" + "t" * 65, b"x", 400, "INVALID_TOPIC"),
        ("/mpub?topic=t", b"x\n" + b"x" * 101, 413, "MSG_TOO_BIG"),
        ("/mpub?topic=t", b"x\n" * 501, 413, "BODY_TOO_BIG"),
        *[(f"/pub?topic=t&defer={value}", b"x", 400, "INVALID_DEFER") for value in ("", "a", "-1", "1.5", "3600001")],
        ("/pub?topic=t&defer=" + "9" * 5000, b"x", 400, "INVALID_DEFER"),
        ("/pub?topic=t&defer=%D9%A1", b"x", 400, "INVALID_DEFER"),
    ],
)
async def test_what_cannot_be_published_is_refused(
    start: Any, target: str, body: bytes, status: int, name: str
) -> None:
    async with start(max_msg_size=100, max_body_size=1000) as one:
        assert await one.ask("POST", target, body) == (status, code(name))
        assert not any(topic.log.is_used for topic in one.host.broker.topics.values())


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"", "BAD_BODY"),
        (b"\0\0\0", "BAD_BODY"),
        (b"\0\0\0\0", "BAD_BODY"),
        (b"\xff\xff\xff\xff", "BAD_BODY"),
        (struct.pack(">i", 200), "BAD_BODY"),
        (struct.pack(">i", 199), "BAD_MESSAGE"),
        (counted(b"a", b""), "BAD_MESSAGE"),
        (counted(b"abc")[:-1], "BAD_MESSAGE"),
        (counted(b"abc")[:6], "BAD_MESSAGE"),
        (counted(b"a", b"x" * 101), "BAD_MESSAGE"),
        (b"\0\0\0\1\xff\xff\xff\xff", "BAD_MESSAGE"),
        (b"\0\0\0\1\x7f\xff\xff\xff", "BAD_MESSAGE"),
    ],
)
async def test_a_counted_body_is_checked_before_any_of_it_is_published(start: Any, body: bytes, name: str) -> None:
    async with start(max_msg_size=100, max_body_size=1000) as one:
        assert await one.ask("POST", "/mpub?topic=t&binary=1", body) == (413, code(name))
        assert not one.host.broker.topics["t"].log.is_used


@pytest.mark.parametrize(
    ("value", "is_binary"), [("true", True), ("1", True), ("", True), ("x", True), ("false", False), ("0", False)]
)
async def test_anything_but_a_no_makes_a_body_binary(start: Any, value: str, is_binary: bool) -> None:
    body = counted(b"a", b"b") + b"surplus"
    async with start() as one:
        assert await one.ask("POST", f"/mpub?topic=t&binary={value}", body) == (200, b"OK")

        assert one.host.broker.topics["t"].message_count == (2 if is_binary else 1)
        assert one.host.broker.topics["t"].message_bytes == (2 if is_binary else len(body))


async def test_a_batch_of_empty_lines_is_ok(start: Any) -> None:
    async with start() as one:
        assert await one.ask("POST", "/mpub?topic=t", b"\n\n") == (200, b"OK")
        assert await one.ask("POST", "/mpub?topic=t") == (200, b"OK")

        assert one.host.broker.topics["t"].depth == 0


async def test_a_deferred_message_comes_when_it_is_due(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=10)
        await peer.text()
        assert await one.ask("POST", "/pub?topic=t&defer=5000", b"later") == (200, b"OK")
        assert await one.ask("POST", "/pub?topic=t&defer=0", b"now") == (200, b"OK")
        assert (await peer.message())[1] == b"now"
        assert (await one.stats())["topics"][0]["channels"][0]["deferred_count"] == 1

        one.clock.move_s(5)

        assert (await peer.message())[1] == b"later"


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_publish_that_the_disk_refuses_is_answered_503(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        await one.ask("POST", "/topic/create?topic=t")  # in the metadata file, which must not meet the full disk
        assert await one.ask("POST", "/pub?topic=t", b"before") == (200, b"OK")
        one.disk.is_full = True
        answers = (
            await one.ask("POST", "/pub?topic=t", b"lost"),
            await one.ask("POST", "/mpub?topic=t", b"lost\nlost"),
        )
        one.disk.is_full = False
        assert await one.ask("POST", "/pub?topic=t", b"after") == (200, b"OK")

        assert answers == ((503, code("EXITING")), (503, code("EXITING")))
        assert await taken(one, "t", 2) == [b"before", b"after"]


@pytest.mark.parametrize(
    "durability",
    [
        "memory",
        "log",
        "fsync",
    ],
)
async def test_a_publish_into_a_topic_that_is_deleted_meanwhile_is_answered(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        reader, writer = await one.open(one.nsqd.http_address)
        head = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
        writer.write(head % b"/pub?topic=t" + head % b"/topic/delete?topic=t" + head % b"/pub?topic=t")

        async with asyncio.timeout(20):
            statuses: list[int] = []
            while len(statuses) < 3:
                line = await reader.readline()
                if line.startswith(b"HTTP/1.1 ") or b"HTTP/1.1 " in line:
                    statuses.append(int(line.partition(b"HTTP/1.1 ")[2].split()[0]))

        assert statuses[0] in {200, 503}
        assert statuses[1:] == [200, 200]


async def test_pipelined_publishes_are_answered_in_order(start: Any) -> None:
    async with start(durability="fsync") as one:
        reader, writer = await one.open(one.nsqd.http_address)
        requests = [b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(10)]
        writer.write(b"".join([*requests, b"GET /ping HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"]))

        async with asyncio.timeout(20):
            answers = await reader.read()

        assert answers.count(b"HTTP/1.1 200 OK") == 11
        assert await taken(one, "t", 10) == [b"%d" % n for n in range(10)]


async def test_an_nsqd_that_stops_takes_no_more(start: Any) -> None:
    async with start() as one:
        one.host.is_stopping = True

        assert await one.ask("POST", "/pub?topic=t", b"x") == (503, code("EXITING"))
        assert await one.ask("POST", "/mpub?topic=t", b"x") == (503, code("EXITING"))
