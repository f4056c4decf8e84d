"""Peek, rewind, replay and scheduled messages over HTTP, with our client and with pynsq at the other end."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nsq
import pytest

from millstream.client import Reader, ReaderOptions, Writer

DEADLINE_S = 60
HOUR_MS = 3_600_000
CHANNEL = "topic=clicks&channel=metrics"
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def nsqd(daemons: Any) -> Any:
    one = daemons.nsqd()
    one.post("/topic/create?topic=clicks")
    one.post(f"/channel/create?{CHANNEL}")
    return one


def reader_of(nsqd: Any, **options: Any) -> Reader:
    return Reader("clicks", "metrics", nsqd_tcp_addresses=[nsqd.tcp_address], options=ReaderOptions(**options))


async def take(reader: Reader, count: int) -> list[bytes]:
    """The next bodies; each message is finished."""
    bodies = []
    async for message in reader:
        message.finish()
        bodies.append(message.body)
        if len(bodies) == count:
            break
    return bodies


def peek(nsqd: Any, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(nsqd.get(f"/channel/peek?{CHANNEL}{query}"))["messages"]
    return found


async def test_a_channel_is_looked_at_while_a_reader_works_on_it(nsqd: Any, eventually: Eventually) -> None:
    bodies = [b"%d" % number for number in range(10)]
    async with Writer([nsqd.tcp_address]) as writer, asyncio.timeout(DEADLINE_S):
        await writer.publish_many("clicks", bodies)
        async with reader_of(nsqd, max_in_flight=1) as reader:
            async for message in reader:
                held = peek(nsqd)
                assert [found["state"] for found in held] == ["in_flight"] + ["ready"] * 9
                assert [found["body"].encode() for found in held] == bodies
                assert held[0]["id"] == message.id.decode()
                assert held[0]["client"]["client_id"]
                message.finish()
                break
            rest = await take(reader, 9)

        assert rest == bodies[1:]
        await eventually(lambda: peek(nsqd) == [])
        retained = peek(nsqd, "&state=retained&limit=3")
        assert [found["body"] for found in retained] == ["0", "1", "2"]


async def test_a_reader_gets_again_what_the_channel_was_sent_back_over(nsqd: Any, eventually: Eventually) -> None:
    bodies = [b"%d" % number for number in range(20)]
    async with (
        Writer([nsqd.tcp_address]) as writer,
        reader_of(nsqd, max_in_flight=5) as reader,
        asyncio.timeout(DEADLINE_S),
    ):
        await writer.publish_many("clicks", bodies)
        assert await take(reader, 20) == bodies
        await eventually(lambda: peek(nsqd) == [])
        tenth = peek(nsqd, "&state=retained")[10]["id"]

        assert json.loads(nsqd.post(f"/channel/rewind?{CHANNEL}&id={tenth}"))["id"] == tenth
        assert await take(reader, 10) == bodies[10:]
        nsqd.post(f"/channel/rewind?{CHANNEL}&to=start")
        assert await take(reader, 20) == bodies


async def test_pynsq_gets_a_span_of_time_once_more(nsqd: Any, eventually: Eventually) -> None:
    seen: list[tuple[bytes, int]] = []

    def handle(message: Any) -> bool:
        seen.append((message.body, message.attempts))
        return True

    nsqd.post("/mpub?topic=clicks", b"before\nearlier")
    begin_ns = time.time_ns()
    nsqd.post("/mpub?topic=clicks", b"one\ntwo\nthree")
    end_ns = time.time_ns()
    nsqd.post("/pub?topic=clicks", b"behind")
    pynsq = nsq.Reader("clicks", "metrics", handle, nsqd_tcp_addresses=[nsqd.tcp_address], max_in_flight=10)
    try:
        await eventually(lambda: len(seen) == 6)

        nsqd.post(f"/channel/replay?{CHANNEL}&from={begin_ns}&to={end_ns}")

        await eventually(lambda: len(seen) == 9)
        await eventually(lambda: nsqd.channel("clicks", "metrics")["in_flight_count"] == 0)
    finally:
        pynsq.close()
    assert seen[6:] == [(b"one", 1), (b"two", 1), (b"three", 1)]
    assert nsqd.channel("clicks", "metrics")["depth"] == 0


async def test_what_a_writer_scheduled_is_listed_moved_and_cancelled(nsqd: Any) -> None:
    async with (
        Writer([nsqd.tcp_address]) as writer,
        reader_of(nsqd) as reader,
        asyncio.timeout(DEADLINE_S),
    ):
        for body in (b"never", b"now", b"tomorrow"):
            await writer.publish_deferred("clicks", HOUR_MS, body)
        listed = json.loads(nsqd.get(f"/channel/scheduled?{CHANNEL}&include_body=true"))["scheduled"]
        ids = {found["body"]: found["id"] for found in listed}
        assert list(ids) == ["never", "now", "tomorrow"]

        nsqd.post(f"/channel/scheduled/cancel?{CHANNEL}&id={ids['never']}")
        nsqd.post(f"/channel/scheduled/move?{CHANNEL}&id={ids['tomorrow']}&in=30m")
        nsqd.post(f"/channel/scheduled/move?{CHANNEL}&id={ids['now']}&in=0s")

        assert await take(reader, 1) == [b"now"]
        left = json.loads(nsqd.get(f"/channel/scheduled?{CHANNEL}&include_body=true"))["scheduled"]
        assert [found["body"] for found in left] == ["tomorrow"]
