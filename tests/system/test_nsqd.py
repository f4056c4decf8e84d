"""nsqd as a process: what publishers and subscribers see of it over TCP, and how it starts, stops and starts again."""

import json
import re
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Connect = Callable[..., Awaitable[Any]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

NS_PER_MS = 1_000_000


def bodies_of(messages: list[Any]) -> list[bytes]:
    return [message.body for message in messages]


@pytest.mark.shows(
    "nsqd: order of messages", better="the order of publishing, from memory and from the disk; NSQ mixes the two"
)
async def test_each_channel_gets_every_message_in_order(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    wanted = [b"%d" % number for number in range(3_000)]
    publisher, left, right = [await connect(nsqd) for _ in range(3)]
    await left.subscribe("events", "left", 2_500)
    await right.subscribe("events", "right", 7)
    for start in range(0, 2_000, 500):
        await publisher.publish("events", *wanted[start : start + 500])
    publisher.send(b"".join([b"PUB events\n" + len(body).to_bytes(4, "big") + body for body in wanted[2_000:]]))
    assert [await publisher.response() for _ in wanted[2_000:]] == [b"OK"] * 1_000

    for subscriber in (left, right):
        seen = []
        for _ in wanted:
            message = await subscriber.message()
            subscriber.finish(message)
            seen.append(message)
        assert bodies_of(seen) == wanted
        assert {message.attempts for message in seen} == {1}
        assert len({message.id for message in seen}) == len(wanted)


async def test_what_is_published_before_there_is_a_channel_goes_to_the_first(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, first, second = [await connect(nsqd) for _ in range(3)]
    await publisher.publish("events", b"early")
    await first.subscribe("events", "first", 1)
    early = await first.message()
    await second.subscribe("events", "second", 1)
    first.finish(early)
    await publisher.publish("events", b"late")

    assert early.body == b"early"
    assert [(await client.message()).body for client in (first, second)] == [b"late", b"late"]


async def test_a_client_may_send_everything_at_once(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    client = await connect(
        nsqd, b"  V2SUB events work\nRDY 2\nPUB events\n\x00\x00\x00\x01aPUB events\n\x00\x00\x00\x01b"
    )
    frames = [await client.frame() for _ in range(5)]

    assert [data for kind, data in frames if kind == 0] == [b"OK", b"OK", b"OK"]
    assert [data[26:] for kind, data in frames if kind == 2] == [b"a", b"b"]


async def test_large_messages_come_through_whole(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    largest = bytes(range(256)) * 4096
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.subscribe("large", "work", 10)
    await publisher.publish("large", largest)
    await publisher.publish("large", largest[1:], b"small", largest[2:], largest[3:], largest[4:])
    messages = await subscriber.messages(6)
    subscriber.finish(*messages)

    assert bodies_of(messages) == [largest, largest[1:], b"small", *(largest[start:] for start in (2, 3, 4))]


async def test_a_requeued_message_comes_again_at_once_or_after_its_delay(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.subscribe("events", "work", 10)
    await publisher.publish("events", b"late", b"soon")
    late, soon = await subscriber.messages(2)
    asked_ns = time.time_ns()
    subscriber.send(b"REQ %b 200\nREQ %b 0\n" % (late.id, soon.id))
    second_soon, second_late = await subscriber.messages(2)

    assert [(each.id, each.attempts, each.body) for each in (second_soon, second_late)] == [
        (soon.id, 2, b"soon"),
        (late.id, 2, b"late"),
    ]
    assert time.time_ns() >= asked_ns + 200 * NS_PER_MS


async def test_an_unanswered_message_times_out_and_a_touched_one_later(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.identify(msg_timeout=1000)
    await subscriber.subscribe("events", "work", 10)
    await publisher.publish("events", b"touched", b"forgotten")
    publisher.send(b"DPUB events 500\n\x00\x00\x00\x04half")
    touched, forgotten, half = await subscriber.messages(3)
    subscriber.send(b"TOUCH %b\nFIN %b\n" % (touched.id, half.id))
    again = await subscriber.messages(2)

    assert half.body == b"half"
    assert [(each.id, each.attempts) for each in again] == [(forgotten.id, 2), (touched.id, 2)]
    subscriber.finish(*again)


@pytest.mark.shows("nsqd: deferred messages", "nsqd DPUB")
async def test_a_deferred_message_waits_for_its_time(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.subscribe("events", "work", 10)
    published_ns = time.time_ns()
    assert await publisher.ask(b"DPUB events 300\n\x00\x00\x00\x05later") == b"OK"
    assert await publisher.ask(b"DPUB events 0\n\x00\x00\x00\x03now") == b"OK"
    now, later = await subscriber.messages(2)

    assert (now.body, later.body) == (b"now", b"later")
    assert later.attempts == 1
    assert time.time_ns() >= published_ns + 300 * NS_PER_MS


@pytest.mark.shows(
    "nsqd: a client that goes leaves what it held", better="what a client held when it went goes to the next at once"
)
async def test_what_a_client_held_goes_to_another_as_soon_as_it_is_gone(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, first, second = [await connect(nsqd) for _ in range(3)]
    await first.subscribe("events", "work", 10)
    await publisher.publish("events", b"a", b"b", b"c")
    held = await first.messages(3)
    await second.subscribe("events", "work", 10)
    first.finish(held[1])
    await first.close()
    again = await second.messages(2)

    # The message timeout is a minute: nobody waited for it.
    assert [(each.body, each.attempts) for each in again] == [(b"a", 2), (b"c", 2)]


@pytest.mark.parametrize("batch", [1, 400])
@pytest.mark.shows("nsqd: consumers share a channel", better="each gets an even share")
async def test_four_consumers_share_a_channel_evenly(daemons: Any, connect: Connect, batch: int) -> None:
    nsqd = daemons.nsqd()
    publisher, *consumers = [await connect(nsqd) for _ in range(5)]
    for consumer in consumers:
        await consumer.subscribe("events", "work", 400)
    for start in range(0, 400, batch):
        await publisher.publish("events", *[b"%d" % number for number in range(start, start + batch)])
    nsqd.post("/topic/pause?topic=events")

    clients = nsqd.channel("events", "work")["clients"]
    counts = [client["message_count"] for client in clients]
    assert sum(counts) == 400
    assert max(counts) - min(counts) <= 4


async def test_a_client_that_says_cls_gets_no_more_and_may_still_answer(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.subscribe("events", "work", 1)
    await publisher.publish("events", b"held", b"waiting")
    held = await subscriber.message()

    assert await subscriber.ask(b"CLS\n") == b"CLOSE_WAIT"
    subscriber.finish(held, held)
    assert await subscriber.error() == b"E_FIN_FAILED FIN %b failed ID not in flight" % held.id
    stats = nsqd.channel("events", "work")
    assert (stats["depth"], stats["in_flight_count"], stats["clients"][0]["finish_count"]) == (1, 0, 1)


@pytest.mark.shows("nsqd: heartbeats, and the end for a client that is silent")
async def test_a_heartbeat_comes_each_second_and_who_is_silent_is_let_go(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    silent, alive = await connect(nsqd), await connect(nsqd)
    for client in (silent, alive):
        await client.identify(heartbeat_interval=1000)

    assert await silent.raw_frame() == (0, b"_heartbeat_")
    assert await alive.raw_frame() == (0, b"_heartbeat_")
    alive.send(b"NOP\n")
    assert await silent.closed() == []
    assert await alive.raw_frame() == (0, b"_heartbeat_")
    await alive.publish("events", b"still here")


@pytest.mark.parametrize("level", ["log", "fsync", "memory"])
@pytest.mark.shows("nsqd --durability")
@pytest.mark.shows("nsqd: what a stop keeps", better="order, attempts and delays as well")
@pytest.mark.shows(
    "nsqd: delays of deferred messages over a restart", better="are kept; in NSQ such a message is delivered at once"
)
@pytest.mark.shows("nsqd: pausing a topic or a channel, over a restart too")
async def test_a_clean_restart_keeps_what_was_not_finished(
    daemons: Any, connect: Connect, level: str, eventually: Eventually
) -> None:
    nsqd = daemons.nsqd(f"--durability={level}")
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.subscribe("events", "work", 2)
    nsqd.post("/channel/create?topic=events&channel=paused")
    nsqd.post("/channel/pause?topic=events&channel=paused")
    await publisher.publish("events", b"finished", b"held", b"waiting")
    finished, held = await subscriber.messages(2)
    subscriber.finish(finished)
    waiting = await subscriber.message()
    subscriber.send(b"REQ %b 0\n" % held.id)
    again = await subscriber.message()
    deferred_ns = time.time_ns()
    assert await publisher.ask(b"DPUB events 4000\n\x00\x00\x00\x05later") == b"OK"
    await eventually(lambda: nsqd.channel("events", "work")["deferred_count"] == 1)

    assert (again.body, again.attempts) == (b"held", 2)
    assert nsqd.signal() == 0
    nsqd.start()
    stats = nsqd.channel("events", "paused")
    assert stats["paused"] is True
    assert (stats["depth"], stats["deferred_count"]) == (3, 1)
    heir = await connect(nsqd)
    await heir.subscribe("events", "work", 10)
    kept = await heir.messages(2)
    later = await heir.message()
    assert sorted((each.body, each.attempts, each.id) for each in kept) == [
        (b"held", 3, held.id),
        (b"waiting", 2, waiting.id),
    ]
    assert (later.body, later.attempts) == (b"later", 1)
    assert time.time_ns() >= deferred_ns + 4000 * NS_PER_MS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.shows("nsqd: SIGTERM and SIGINT")
async def test_a_signal_ends_it_with_status_0_and_every_connection_with_it(
    daemons: Any, connect: Connect, number: signal.Signals
) -> None:
    nsqd = daemons.nsqd()
    subscriber, silent = await connect(nsqd), await connect(nsqd, b"")
    await subscriber.subscribe("events", "work", 1)

    assert nsqd.signal(number) == 0
    assert await subscriber.closed() == []
    assert await silent.closed() == []
    assert nsqd.log[-1].endswith("nsqd.stopped")


@pytest.mark.shows("nsqd: the data path is for one process", "nsqd --data-path")
async def test_a_data_path_has_one_nsqd(daemons: Any) -> None:
    first = daemons.nsqd(f"--data-path={daemons.folder}")
    second = daemons.nsqd(f"--data-path={daemons.folder}", starts=False)
    second.spawn()

    assert second.wait() == 1
    assert re.search(
        r"FATAL: .*failed to lock data-path: .*\(possibly in use by another instance of nsqd\)", second.log[-2]
    )
    assert first.get("/ping") == b"OK"


async def test_topics_channels_and_their_depths_are_in_the_stats(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher = await connect(nsqd)
    nsqd.post("/topic/create?topic=events")
    nsqd.post("/channel/create?topic=events&channel=work")
    await publisher.publish("events", b"one", b"two")
    stats = json.loads(nsqd.get("/stats?format=json"))

    (topic,) = stats["topics"]
    (channel,) = topic["channels"]
    assert (topic["topic_name"], topic["message_count"]) == ("events", 2)
    assert (channel["channel_name"], channel["depth"]) == ("work", 2)
