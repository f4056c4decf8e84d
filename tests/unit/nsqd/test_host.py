"""`nsqd.host`: topics and channels for everybody, and who hears of them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.nsqd.trouble import Place


class Lookup:
    """Discovery that notes what it is told, and answers when it is let."""

    def __init__(self, *channels: str) -> None:
        self.told: list[str] = []
        self.channels = list(channels)
        self.may_answer = asyncio.Event()
        self.fails = False
        self.has_peers = True

    def topic_created(self, topic: str) -> None:
        self.told.append(f"+{topic}")

    def topic_deleted(self, topic: str) -> None:
        self.told.append(f"-{topic}")

    def channel_created(self, topic: str, channel: str) -> None:
        self.told.append(f"+{topic}/{channel}")

    def channel_deleted(self, topic: str, channel: str) -> None:
        self.told.append(f"-{topic}/{channel}")

    async def channels_of(self, topic: str) -> list[str]:
        del topic
        await self.may_answer.wait()
        return self.channels


def names_in(path: Path) -> list[str]:
    return [found["name"] for found in json.loads((path / "nsqd.dat").read_bytes())["topics"] or ()]


async def test_discovery_hears_of_everything_that_comes_and_goes(start: Any) -> None:
    async with start() as one, asyncio.TaskGroup() as group:
        lookup = Lookup()
        lookup.may_answer.set()
        one.host.open(group, lookup)
        topic = one.host.topic("t")
        channel = one.host.channel(topic, "c")
        one.host.turn.run()
        one.host.broker.delete_channel(topic, channel)
        one.host.broker.delete_topic(topic)
        one.host.turn.run()

        assert lookup.told == ["+t", "+t/c", "-t/c", "-t"]


async def test_channels_known_elsewhere_get_the_first_message_of_a_new_topic(start: Any) -> None:
    async with start() as one, asyncio.TaskGroup() as group:
        lookup = Lookup("a", "b")
        one.host.open(group, lookup)
        peer = await one.connect()
        peer.publish("t", b"first")
        assert await peer.text() == "OK"
        topic = one.host.broker.topics["t"]
        local = one.host.channel(topic, "local")
        assert (topic.depth, local.depth) == (1, 0)

        lookup.may_answer.set()
        await one.until(lambda: not topic.is_held)

        assert {name: found.depth for name, found in topic.channels.items()} == {"local": 1, "a": 1, "b": 1}


async def test_without_an_nsqlookupd_a_new_topic_waits_for_nobody(start: Any) -> None:
    async with start() as one:
        assert not one.host.discovery.has_peers
        assert not one.host.topic("t").is_held


async def test_a_topic_that_is_deleted_while_discovery_is_asked_stays_deleted(start: Any) -> None:
    async with start() as one, asyncio.TaskGroup() as group:
        lookup = Lookup("a")
        one.host.open(group, lookup)
        topic = one.host.topic("t")
        one.host.broker.delete_topic(topic)

        lookup.may_answer.set()
        await one.until(lambda: not topic.is_held)

        assert (one.host.broker.topics, topic.channels) == ({}, {})


async def test_a_burst_of_topics_is_in_the_metadata_file_soon(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        for name in "abc":
            one.host.topic(name)

        await one.until(lambda: names_in(tmp_path) == ["a", "b", "c"])


async def test_metadata_can_be_written_at_once(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        one.host.topic("t")
        one.host.save_metadata()

        assert names_in(tmp_path) == ["t"]


async def test_metadata_that_is_behind_is_written_when_it_is_settled(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        one.host.topic("t")
        one.host.turn.run()
        one.host.settle_metadata()
        assert names_in(tmp_path) == ["t"]

        (tmp_path / "nsqd.dat").unlink()
        one.host.settle_metadata()

        assert not (tmp_path / "nsqd.dat").exists()  # nothing was owed


async def test_metadata_that_the_disk_refuses_is_written_later(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        one.host.topic("t")
        one.host.turn.run()
        one.disk.is_full = True
        with pytest.raises(StorageError):
            one.host.settle_metadata()
        one.host.save_metadata()
        assert names_in(tmp_path) == []

        one.disk.is_full = False

        await one.until(lambda: names_in(tmp_path) == ["t"])


async def test_a_topic_that_the_disk_refuses_raises(start: Any) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        topic.publish(bytearray(b"x"), 0, 1, 1)
        one.host.turn.published(topic, None)
        one.host.turn.run()
        one.disk.is_full = True

        with pytest.raises(StorageError):
            one.host.channel(topic, "c")

        one.disk.is_full = False
        assert one.host.channel(topic, "c").depth == 1


async def test_health_is_what_has_trouble(start: Any) -> None:
    async with start() as one:
        assert one.host.health == "OK"
        one.host.turn.troubles.failed(Place("t", "write"), "why")
        assert one.host.health == "NOK - why"
        one.disk.free_bytes = 0
        one.host.disk.poll()
        assert one.host.health == f"NOK - {one.host.disk.text}; why"
        one.disk.free_bytes = None


async def test_channels_that_cannot_be_made_on_a_failing_disk_do_not_take_the_daemon_with_them(start: Any) -> None:
    async with start() as one, asyncio.TaskGroup() as group:
        lookup = Lookup("a", "b")
        one.host.open(group, lookup)
        peer = await one.connect()
        peer.publish("t", b"first")
        assert await peer.text() == "OK"
        topic = one.host.broker.topics["t"]
        one.disk.is_full = True

        lookup.may_answer.set()
        await one.until(lambda: not topic.is_held)

        assert (topic.channels, topic.depth) == ({}, 1)
        one.disk.is_full = False
        assert one.host.channel(topic, "a").depth == 1


async def test_the_metadata_file_is_written_again_when_the_disk_has_room_again(start: Any, tmp_path: Path) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        one.disk.is_full = True
        assert await one.ask("POST", "/topic/pause?topic=t") == (500, b'{"message":"INTERNAL_ERROR"}')
        assert b"nsqd.dat.tmp - No space left" in (await one.ask("GET", "/ping"))[1]

        one.disk.is_full = False
        await one.until(lambda: one.host.health == "OK")

        assert b'"paused":true' in (tmp_path / "nsqd.dat").read_bytes()


async def test_a_topic_that_is_gone_has_no_trouble(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        one.host.turn.troubles.failed(Place("t", "write"), "why")
        one.host.turn.troubles.failed(Place("t", "read", "c"), "why")

        await one.ask("POST", "/channel/delete?topic=t&channel=c")
        await one.ask("POST", "/topic/delete?topic=t")

        await one.until(lambda: one.host.health == "OK")
        assert one.host.turn.troubles.failures("t") == 0


async def test_numbers_of_sessions_are_never_those_of_the_living(start: Any) -> None:
    async with start() as one:
        first = one.host.next_number()
        peer = await one.connect()
        await one.until(lambda: bool(one.host.sessions))
        (taken,) = one.host.sessions
        one.host._last_number = taken - 1  # noqa: SLF001 - four billion connections take too long

        assert first != taken
        assert one.host.next_number() == taken + 1
        peer.writer.close()


async def test_an_ephemeral_channel_goes_with_its_last_consumer(start: Any) -> None:
    async with start() as one:
        left, right = await one.connect(), await one.connect()
        for peer in (left, right):
            peer.subscribe("t", "c#ephemeral")
            assert await peer.text() == "OK"
        topic = one.host.broker.topics["t"]
        left.writer.close()
        await one.until(lambda: len(one.host.sessions) == 1)
        assert list(topic.channels) == ["c#ephemeral"]

        right.writer.close()

        await one.until(lambda: not topic.channels)
