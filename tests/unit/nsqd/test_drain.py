"""Running empty: publishes are refused, deliveries go on, and the end is told when nothing is left."""

import asyncio
from typing import Any


class Lookupd:
    """Notes what discovery is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def withdraw(self) -> None:
        self.told.append("withdraw")

    def come_back(self) -> None:
        self.told.append("come back")


async def drained(one: Any) -> asyncio.Event:
    """Begin a drain; the event is set at its end."""
    event = asyncio.Event()
    one.host.drain.on_empty = event.set
    assert (await one.ask("POST", "/drain"))[0] == 200
    return event


async def test_publishes_are_refused_over_tcp(start: Any) -> None:
    async with start() as one:
        client = await one.connect()
        client.publish("t", b"before")
        assert await client.text() == "OK"
        one.host.drain.begin()

        client.publish("t", b"after")
        assert await client.text() == "E_PUB_FAILED PUB failed draining: publish to another nsqd"
        assert await client.is_closed()
        other = await one.connect()
        other.send(b"MPUB t\n\0\0\0\x09\0\0\0\1\0\0\0\1x")
        assert await other.text() == "E_MPUB_FAILED MPUB failed draining: publish to another nsqd"
        assert one.host.broker.topics["t"].message_count == 1


async def test_publishes_are_refused_over_http(start: Any) -> None:
    async with start() as one:
        await drained(one)

        for target in ("/pub?topic=t", "/mpub?topic=t"):
            assert await one.ask("POST", target, b"x") == (503, b'{"message":"DRAINING"}')
        assert one.host.broker.topics == {}


async def test_it_ends_when_the_last_message_is_finished(start: Any) -> None:
    async with start() as one:
        client = await one.connect()
        client.subscribe("t", "c", 1)
        assert await client.text() == "OK"
        for body in (b"one", b"two"):
            assert (await one.ask("POST", "/pub?topic=t", body))[0] == 200
        event = await drained(one)

        for body in (b"one", b"two"):
            message_id, found, _ = await client.message()
            assert found == body
            assert not event.is_set()
            client.send(b"FIN ", message_id, b"\n")
        async with asyncio.timeout(20):
            await event.wait()


async def test_a_topic_without_a_channel_keeps_the_daemon_up(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/pub?topic=t", b"x")
        event = await drained(one)
        one.host.drain._look()  # noqa: SLF001  (the moment it would end)
        assert not event.is_set()

        await one.ask("POST", "/topic/delete?topic=t")
        async with asyncio.timeout(20):
            await event.wait()


async def test_the_nsqlookupds_are_told_once(start: Any) -> None:
    async with start() as one:
        one.host.discovery = lookupd = Lookupd()
        await one.ask("POST", "/topic/pause")
        one.host.drain.begin()
        one.host.drain.begin()
        one.host.drain.cancel()
        one.host.drain.cancel()
        one.host.discovery = None

        assert lookupd.told == ["withdraw", "come back"]
