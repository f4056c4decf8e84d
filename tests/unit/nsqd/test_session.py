"""`nsqd.session` over a real socket: bytes in any portions, replies in order, limits."""

import asyncio
import struct
from typing import Any

import pytest


def pub(topic: bytes, body: bytes) -> bytes:
    return b"PUB %s\n" % topic + struct.pack(">i", len(body)) + body


def mpub(topic: bytes, *bodies: bytes) -> bytes:
    inner = struct.pack(">i", len(bodies)) + b"".join(struct.pack(">i", len(body)) + body for body in bodies)
    return b"MPUB %s\n" % topic + struct.pack(">i", len(inner)) + inner


@pytest.mark.parametrize("durability", ["memory", "log", "fsync"])
async def test_what_is_published_is_delivered(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        peer = await one.connect()
        peer.send(pub(b"t", b"a"), mpub(b"t", b"b", b"c"), pub(b"t", b"d"))
        assert [await peer.text() for _ in range(3)] == ["OK"] * 3
        peer.subscribe("t", "c", ready=10)
        assert await peer.text() == "OK"

        assert [(await peer.message())[1] for _ in range(4)] == [b"a", b"b", b"c", b"d"]


async def test_bytes_may_come_one_by_one(start: Any) -> None:
    async with start() as one:
        peer = await one.connect(greet=False)
        for byte in b"  V2" + pub(b"t", b"ab") + mpub(b"t", b"c", b"d") + b"SUB t c\nRDY 5\n":
            peer.send(bytes([byte]))
            await peer.writer.drain()
            await asyncio.sleep(0)

        assert [await peer.text() for _ in range(3)] == ["OK"] * 3
        assert [(await peer.message())[1] for _ in range(3)] == [b"ab", b"c", b"d"]


async def test_a_message_may_be_larger_than_a_read(start: Any) -> None:
    body = bytes(range(256)) * 4096
    async with start() as one:
        peer = await one.connect()
        peer.send(pub(b"t", body), pub(b"t", b"small"))
        assert [await peer.text(), await peer.text()] == ["OK", "OK"]
        peer.subscribe("t", "c", ready=2)
        await peer.text()

        assert [(await peer.message())[1] for _ in range(2)] == [body, b"small"]


async def test_other_magic_is_refused(start: Any) -> None:
    async with start() as one:
        peer = await one.connect(greet=False)
        peer.send(b"  V3")

        assert await peer.text() == "E_BAD_PROTOCOL"
        assert await peer.is_closed()


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (pub(b"a!", b"x"), 'E_BAD_TOPIC PUB topic name "a!" is not valid'),
        (pub(b"t", b""), "E_BAD_MESSAGE PUB invalid message body size 0"),
        (b"PUB t\n\xff\xff\xff\xff", "E_BAD_MESSAGE PUB invalid message body size -1"),
        (pub(b"t", b"x" * 101), "E_BAD_MESSAGE PUB message too big 101 > 100"),
        (b"PUB\n", "E_INVALID PUB insufficient number of parameters"),
        (b"MPUB t\n\0\0\0\x08\0\0\0\0\0\0\0\0", "E_BAD_BODY MPUB invalid message count 0"),
        (b"DPUB t x\n\0\0\0\1x", "E_INVALID DPUB could not parse timeout x"),
        (b"DPUB t 3600001\n\0\0\0\1x", "E_INVALID DPUB timeout 3600001 out of range 0-3600000"),
    ],
)
async def test_what_cannot_be_published_ends_the_connection(start: Any, command: bytes, error: str) -> None:
    async with start(max_msg_size=100, max_body_size=1000) as one:
        peer = await one.connect()
        peer.send(command)

        assert await peer.text() == error
        assert await peer.is_closed()


async def test_an_error_leaves_behind_the_oks_that_are_due(start: Any) -> None:
    async with start(durability="fsync") as one:
        peer = await one.connect()
        peer.send(pub(b"t", b"a"), pub(b"u", b"b"), b"NOPE\n")

        assert [await peer.text() for _ in range(3)] == ["OK", "OK", "E_INVALID invalid command NOPE"]
        assert await peer.is_closed()


@pytest.mark.shows("nsqd E_PUB_FAILED", "nsqd: a disk that fails or is full")
async def test_a_publish_that_the_disk_refuses_fails(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")  # in the metadata file, which must not meet the full disk
        good, bad = await one.connect(), await one.connect()
        good.publish("t", b"before")
        assert await good.text() == "OK"
        one.disk.is_full = True
        bad.publish("t", b"lost")
        assert (await bad.text()).startswith("E_PUB_FAILED PUB failed ")
        assert await bad.is_closed()

        one.disk.is_full = False
        good.publish("t", b"after")
        assert await good.text() == "OK"
        good.subscribe("t", "c", ready=5)
        await good.text()
        assert [(await good.message())[1] for _ in range(2)] == [b"before", b"after"]


async def test_a_deferred_publish_comes_when_it_is_due(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=5)
        await peer.text()
        peer.send(b"DPUB t 5000\n", struct.pack(">i", 5), b"later", pub(b"t", b"now"))
        assert [await peer.text(), await peer.text()] == ["OK", "OK"]
        assert (await peer.message())[1] == b"now"

        one.clock.move_s(5)

        assert (await peer.message())[1] == b"later"


async def test_publishing_goes_on_after_the_topic_was_deleted(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.publish("t", b"a")
        await peer.text()
        await one.ask("POST", "/topic/delete?topic=t")
        peer.publish("t", b"b")

        assert await peer.text() == "OK"
        assert one.host.broker.topics["t"].depth == 1


async def test_a_subscriber_that_does_not_read_is_given_no_more(start: Any) -> None:
    body = bytes(100_000)
    async with start(mem_queue_size=10) as one:
        slow, publisher = await one.connect(), await one.connect()
        slow.writer.transport.pause_reading()
        slow.subscribe("t", "c", ready=2_500)
        for _ in range(10):
            publisher.publish("t", *[body] * 20)
            assert [await publisher.text() for _ in range(20)] == ["OK"] * 20
        channel = one.host.broker.topics["t"].channels["c"]
        (consumer,) = channel.consumers

        assert consumer.is_blocked
        assert channel.depth > 0
        slow.writer.transport.resume_reading()
        assert await slow.text() == "OK"
        assert [len((await slow.message())[1]) for _ in range(200)] == [100_000] * 200
        assert not consumer.is_blocked


async def test_a_line_without_an_end_is_not_collected_forever(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.send(b"x" * 100_000)

        async with asyncio.timeout(20):
            try:
                await peer.reader.read()
            except ConnectionError:
                pass
        await one.until(lambda: not one.host.sessions)


async def test_finishing_many_at_once_makes_room_for_as_many(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=100)
        await peer.text()
        peer.send(mpub(b"t", *[b"%d" % n for n in range(300)]))
        assert await peer.text() == "OK"
        seen = []
        for _ in range(3):
            batch = [await peer.message() for _ in range(100)]
            seen += [body for _, body, _ in batch]
            peer.send(*[b"FIN %s\n" % found for found, _, _ in batch])

        assert seen == [b"%d" % n for n in range(300)]
        channel = one.host.broker.topics["t"].channels["c"]
        await one.until(lambda: channel.is_idle)
