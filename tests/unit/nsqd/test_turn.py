"""`nsqd.turn`: what one turn of the loop does, and in which order."""

import asyncio
import random
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from millstream.engine.consumer import Consumer


class Waiting:
    """A publisher that notes what was durable when it was asked."""

    def __init__(self, topic: Any) -> None:
        self.topic = topic
        self.seen: list[bool] = []

    def settle(self) -> bool:
        self.seen.append(self.topic.log.durable_seq == self.topic.log.next_seq)
        return self.seen[-1]


def publish(one: Any, topic: Any, publisher: Any = None) -> None:
    topic.publish(bytearray(b"x"), 0, 1, 1)
    one.host.turn.published(topic, publisher)


async def test_a_turn_comes_once_however_often_it_is_woken(start: Any) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        waiting = Waiting(topic)
        for _ in range(3):
            publish(one, topic)
        publish(one, topic, waiting)
        assert (topic.is_dirty, topic.depth) == (True, 0)

        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert (topic.is_dirty, topic.depth) == (False, 4)
        assert waiting.seen == [True]


async def test_run_settles_at_once_for_whoever_cannot_wait(start: Any) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        waiting = Waiting(topic)
        publish(one, topic, waiting)

        one.host.turn.run()

        assert (topic.depth, waiting.seen) == (1, [True])


async def test_with_fsync_a_publisher_waits_for_the_disk(start: Any) -> None:
    async with start(durability="fsync") as one:
        topic = one.host.topic("t")
        waiting = Waiting(topic)
        publish(one, topic, waiting)

        one.host.turn.run()

        assert (waiting.seen, topic.depth) == ([False], 0)
        await one.until(lambda: waiting.seen[-1])
        assert topic.depth == 1


async def test_a_failed_write_is_the_trouble_until_one_succeeds(start: Any) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        one.disk.is_full = True
        publish(one, topic)
        one.host.turn.run()
        assert one.host.turn.troubles.text.startswith("write")
        assert topic.depth == 0

        one.disk.is_full = False
        publish(one, topic)
        one.host.turn.run()

        assert (one.host.turn.troubles.text, topic.depth) == ("", 1)


async def test_a_marked_channel_is_dealt(start: Any) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        channel = one.host.channel(topic, "c")
        consumer = Consumer(99, 10**9)
        channel.join(consumer)
        publish(one, topic)
        one.host.turn.run()
        assert consumer.in_flight == 0

        consumer.ready_count = 1
        one.host.turn.mark(topic, channel)
        one.host.turn.run()

        assert (consumer.in_flight, channel.depth) == (1, 0)


@pytest.mark.parametrize("fails_first", [False, True])
async def test_journals_are_saved_a_little_later_and_again_when_that_failed(start: Any, fails_first: bool) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        channel = one.host.channel(topic, "c")
        consumer = Consumer(99, 10**9)
        channel.join(consumer)
        consumer.ready_count = 1
        publish(one, topic)
        one.host.turn.run()
        one.disk.is_full = fails_first
        assert channel.is_changed
        if fails_first:
            await one.until(lambda: bool(one.host.turn.troubles.errors))
            one.disk.is_full = False

        await one.until(lambda: not channel.is_changed)


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_what_is_deferred_is_saved_although_a_save_came_before_it_was_shown(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        topic = one.host.topic("t")
        channel = one.host.channel(topic, "c")
        publish(one, topic)
        await one.until(lambda: channel.depth == 1 and not channel.is_changed)
        topic.publish_deferred(bytearray(b"x"), 0, 1, 1, 9 * 10**18)
        one.host.turn.published(topic, None)

        one.host.turn._save()  # noqa: SLF001 - its timer, in the moment between a read and the turn behind it
        one.host.turn.run()

        await one.until(lambda: channel.deferred_count == 1)
        await one.until(lambda: not channel.is_changed)


@pytest.mark.parametrize(("durability", "measures"), [("memory", False), ("log", False), ("fsync", True)])
async def test_syncs_are_measured_where_there_are_any(start: Any, durability: str, *, measures: bool) -> None:
    async with start(durability=durability) as one:
        assert (one.host.turn.sync_durations_s is not None) == measures


def spoil_the_first_frame(data_path: Path) -> None:
    (path,) = data_path.rglob("*.frames")
    content = path.read_bytes()
    path.write_bytes(content[:8] + bytes(20) + content[28:])


async def test_a_message_that_the_disk_has_spoilt_is_reported_and_keeps_nobody_waiting(
    start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with start() as one:
        topic = one.host.topic("t")
        channel = one.host.channel(topic, "c")
        now_ns = one.clock.wall_ns()
        for body in (b"spoilt", b"sound"):
            topic.publish_deferred(bytearray(body), 0, len(body), now_ns, now_ns + 1)
        one.host.turn.published(topic, None)
        one.host.turn.run()
        await one.until(lambda: not channel.is_changed)
        spoil_the_first_frame(tmp_path)

        client = await one.connect()
        client.subscribe("t", "c", 5)
        assert await client.text() == "OK"
        one.clock.move_s(1)

        assert (await client.message())[1] == b"sound"
        await one.until(lambda: "channel.messages_lost" in caplog.text)
        assert channel.stragglers.lost_count == 1
        assert b'nsqd_channel_lost_messages_total{topic="t",channel="c"} 1' in (await one.ask("GET", "/metrics"))[1]


@pytest.mark.parametrize(("durability", "call"), [("log", "write"), ("fsync", "write"), ("fsync", "sync")])
async def test_the_trouble_of_a_topic_is_its_own_and_lasts_until_it_works_again(
    start: Any, durability: str, call: str
) -> None:
    async with start(durability=durability) as one:
        for topic in ("bad", "good"):
            assert (await one.ask("POST", f"/pub?topic={topic}", b"x"))[0] == 200
        one.disk.failing[call] = "bad.topic"

        assert (await one.ask("POST", "/pub?topic=bad", b"x"))[0] == 503
        assert (await one.ask("POST", "/pub?topic=good", b"x"))[0] == 200

        status, text = await one.ask("GET", "/ping")
        assert (status, text.startswith(f"NOK - {call} ".encode())) == (500, True)
        assert b"bad.topic" in text
        assert one.host.turn.troubles.failures("bad") >= 1
        assert one.host.turn.troubles.failures("good") == 0
        one.disk.failing.clear()
        assert (await one.ask("POST", "/pub?topic=bad", b"x"))[0] == 200
        await one.until(lambda: one.host.health == "OK")


@pytest.mark.parametrize(("durability", "call"), [("log", "write"), ("fsync", "write"), ("fsync", "sync")])
async def test_a_topic_that_nobody_publishes_to_is_tried_until_it_works(start: Any, durability: str, call: str) -> None:
    async with start(durability=durability) as one:
        assert (await one.ask("POST", "/pub?topic=t", b"x"))[0] == 200
        one.disk.failing[call] = "t.topic"
        assert (await one.ask("POST", "/pub?topic=t", b"x"))[0] == 503
        if call == "write":
            one.host.turn.retry(writes=True)
            assert one.host.health != "OK"

        one.disk.failing.clear()

        await one.until(lambda: one.host.health == "OK")
        assert (await one.ask("POST", "/pub?topic=t", b"x"))[0] == 200


async def test_a_topic_whose_first_write_fails_is_tried_beside_its_folder(start: Any) -> None:
    async with start() as one:
        one.disk.failing["write"] = "t.topic"
        assert (await one.ask("POST", "/pub?topic=t", b"x"))[0] == 503
        one.disk.failing.clear()

        await one.until(lambda: one.host.health == "OK")


async def test_a_channel_that_could_not_be_read_goes_on_by_itself(start: Any) -> None:
    async with start(mem_queue_size=0) as one:
        for topic in ("t", "u"):
            for _ in range(3):
                await one.ask("POST", f"/mpub?topic={topic}", b"\n".join([b"x" * 1000] * 700))
        one.disk.failing["read"] = "t.topic"
        peer, other = await one.connect(), await one.connect()
        peer.subscribe("t", "c", ready=1)
        other.subscribe("u", "c", ready=1)
        assert [await peer.text(), await other.text()] == ["OK", "OK"]
        await one.until(lambda: "read" in one.host.health)
        assert (await other.message())[1] == b"x" * 1000

        one.disk.failing.clear()

        assert (await peer.message())[1] == b"x" * 1000
        assert one.host.health == "OK"


async def test_a_channel_that_could_not_be_read_works_again_although_nobody_reads_it(start: Any) -> None:
    async with start(mem_queue_size=0) as one:
        for _ in range(3):
            await one.ask("POST", "/mpub?topic=t", b"\n".join([b"x" * 1000] * 700))
        one.disk.failing["read"] = "t.topic"
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await one.until(lambda: "read" in one.host.health)
        peer.writer.close()
        await one.until(lambda: not one.host.sessions)

        one.disk.failing.clear()

        await one.until(lambda: one.host.health == "OK")


class _Subscriber:
    """Takes what comes, and answers when it is told to."""

    def __init__(self, peer: Any, chance: random.Random) -> None:
        self.peer = peer
        self.held: list[bytes] = []
        self._chance = chance
        self._task = asyncio.ensure_future(self._take())

    async def _take(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            while True:
                kind, data = await self.peer.frame()
                if kind == 2:
                    self.held.append(data[10:26])

    def answer(self) -> None:
        for name in self.held[: self._chance.randint(0, len(self.held))]:
            self.peer.send(self._chance.choice([b"FIN %b\n", b"FIN %b\n", b"REQ %b 0\n", b"REQ %b 9000\n"]) % name)
            self.held.remove(name)
        for name in self.held[:1]:
            self.peer.send(b"TOUCH %b\n" % name)

    def leave(self) -> None:
        self.peer.writer.close()
        self._task.cancel()


@pytest.mark.parametrize("durability", ["log", "fsync"])
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_to_a_channel_is_in_its_journal_soon(start: Any, durability: str, seed: int) -> None:
    chance = random.Random(seed)
    async with start(durability=durability, msg_timeout_ms=2000) as one:
        publisher = await one.connect()
        subscribers: list[_Subscriber] = []
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=quiet")

        async def act() -> None:
            kind = chance.random()
            if kind < 0.3:
                publisher.publish("t", *[b"x"] * chance.randint(1, 5))
            elif kind < 0.5:
                publisher.send(b"DPUB t %d\n" % chance.choice([900, 100_000]), struct.pack(">i", 1), b"d")
            elif kind < 0.6:
                peer = await one.connect()
                peer.identify(sample_rate=chance.choice([0, 0, 50]))
                peer.subscribe("t", "c", chance.choice([1, 3, 50]))
                subscribers.append(_Subscriber(peer, chance))
            elif kind < 0.9:
                for subscriber in subscribers:
                    subscriber.answer()
            elif kind < 0.95 and subscribers:
                subscribers.pop().leave()
            else:
                what = chance.choice(["empty", "pause", "unpause", "unpause"])
                await one.ask("POST", f"/channel/{what}?topic=t&channel={chance.choice(['c', 'quiet'])}")

        for _ in range(12):
            for _ in range(chance.randint(1, 12)):
                await act()
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.004, 0.005, 0.006]))
            one.clock.move_s(chance.choice([0, 0, 1, 3]))
            await one.until(lambda: not any(channel.is_changed for channel in one.host.topic("t").channels.values()))
        for subscriber in subscribers:
            subscriber.leave()
