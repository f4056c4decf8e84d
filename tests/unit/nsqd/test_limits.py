"""Limits as publishers and consumers of one nsqd meet them, over TCP and HTTP."""

import json
from typing import Any

import pytest

from millstream.engine.policies import PolicyEntry

DEAD = "t.c.dead"


async def test_a_full_topic_refuses_over_tcp_and_http_until_it_is_drained(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_depth=2),)) as one:
        one.host.channel(one.host.topic("t"), "c")
        client = await one.connect()
        client.publish("t", b"a", b"b", b"c")
        assert [await client.text() for _ in range(3)] == ["OK"] * 3

        client.publish("t", b"d")
        reason = "channel c of topic t is beyond its max_depth of 2"
        assert await client.text() == f"E_PUB_FAILED PUB failed {reason}"
        assert await client.is_closed()
        assert await one.ask("POST", "/pub?topic=t", b"e") == (
            503,
            b'{"message":"OVER_LIMIT: %s"}' % reason.encode(),
        )
        assert (await one.ask("POST", "/mpub?topic=t", b"e\nf"))[0] == 503
        assert await one.ask("POST", "/pub?topic=other", b"x") == (200, b"OK")
        topic = (await one.stats("&topic=t"))["topics"][0]
        assert (topic["refusal"], topic["rejected_count"]) == (reason, 3)

        reader = await one.connect()
        reader.subscribe("t", "c", 10)
        assert await reader.text() == "OK"
        for _ in range(3):
            message_id, _, _ = await reader.message()
            reader.send(b"FIN %s\n" % message_id)
        await one.until(lambda: not one.host.broker.topics["t"].refusal)
        assert await one.ask("POST", "/pub?topic=t", b"g") == (200, b"OK")


async def test_a_publisher_that_goes_on_is_refused_with_the_command_it_used(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_depth=1),)) as one:
        await one.ask("POST", "/mpub?topic=t", b"a\nb")
        for command, text in ((b"MPUB t\n", "E_MPUB_FAILED MPUB"), (b"DPUB t 5\n", "E_DPUB_FAILED DPUB")):
            client = await one.connect()
            body = b"\0\0\0\1\0\0\0\1x" if command.startswith(b"MPUB") else b"x"
            client.send(command, len(body).to_bytes(4, "big"), body)
            assert await client.text() == f"{text} failed topic t is beyond its max_depth of 1"


async def test_what_was_published_before_is_answered_before_the_refusal(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_depth=1),), durability="fsync") as one:
        client = await one.connect()
        client.publish("t", b"a", b"b", b"c")
        assert [await client.text() for _ in range(3)] == ["OK"] * 3
        client.publish("t", b"d")
        assert (await client.text()).startswith("E_PUB_FAILED")


async def test_the_oldest_are_dropped_and_counted(start: Any) -> None:
    policy = PolicyEntry(topic="t", channel="c", max_depth=2, overflow="drop_oldest")
    async with start(policy=(policy,)) as one:
        topic = one.host.topic("t")
        one.host.channel(topic, "c")
        for body in (b"a", b"b", b"c", b"d", b"e"):
            await one.ask("POST", "/pub?topic=t", body)

        channel = (await one.stats("&topic=t"))["topics"][0]["channels"][0]
        assert (channel["depth"], channel["dropped_count"]) == (2, 3)
        client = await one.connect()
        client.subscribe("t", "c", 5)
        assert await client.text() == "OK"
        assert [(await client.message())[1] for _ in range(2)] == [b"d", b"e"]


async def test_what_is_too_old_goes_by_the_clock(start: Any) -> None:
    policy = PolicyEntry(topic="t", max_age_ms=60_000, overflow="drop_oldest")
    async with start(policy=(policy,)) as one:
        one.host.channel(one.host.topic("t"), "c")
        await one.ask("POST", "/pub?topic=t", b"old")
        channel = one.host.broker.topics["t"].channels["c"]

        one.clock.move_s(61)

        await one.until(lambda: channel.depth == 0)
        assert channel.dropped_count == 1


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_a_message_that_fails_for_good_moves_to_its_dead_letter_topic(start: Any, durability: str) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_attempts=2),), durability=durability) as one:
        client = await one.connect()
        client.identify(client_id="worker", hostname="worker.example")
        assert await client.text() == "OK"
        client.subscribe("t", "c", 1)
        assert await client.text() == "OK"
        await one.ask("POST", "/pub?topic=t", b"poison")
        for attempts in (1, 2):
            message_id, body, tried = await client.message()
            assert (body, tried) == (b"poison", attempts)
            client.send(b"REQ %s 0\n" % message_id)

        await one.until(lambda: one.host.broker.topics["t"].channels["c"].dead_letter_count == 1)
        await one.ask("POST", "/pub?topic=t", b"good")
        assert (await client.message())[1:] == (b"good", 1)

        reader = await one.connect()
        reader.subscribe(DEAD, "dead", 1)
        assert await reader.text() == "OK"
        letter = json.loads((await reader.message())[1])
        origin = letter["origin"]
        assert letter["body"] == "poison"
        assert (origin["topic"], origin["channel"], origin["id"], origin["attempts"]) == (
            *("t", "c"),
            *(message_id.decode(), 2),
        )
        assert (origin["reason"], origin["last_event"]) == ("max_attempts", "requeue")
        assert origin["last_client"]["client_id"] == "worker"
        assert origin["last_client"]["address"].startswith("127.0.0.1:")
        channel = (await one.stats("&topic=t"))["topics"][0]["channels"][0]
        assert channel["policy"] == {"max_attempts": 2, "dead_letter_topic": DEAD}
        assert (channel["dead_letter_count"], channel["dead_letter_pending"]) == (1, 0)


async def test_who_disconnected_with_it_is_named_by_its_address(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_attempts=1),)) as one:
        client = await one.connect()
        client.subscribe("t", "c", 1)
        assert await client.text() == "OK"
        await one.ask("POST", "/pub?topic=t", b"x")
        await client.message()

        client.writer.close()

        await one.until(lambda: DEAD in one.host.broker.topics)
        await one.until(lambda: one.host.broker.topics["t"].channels["c"].is_idle)
        status, body = await one.ask("GET", "/channel/dead?topic=t&channel=c")
        origin = json.loads(body)["letters"][0]["origin"]
        assert (status, origin["last_event"]) == (200, "disconnect")
        assert origin["last_client"]["client_id"] == "127.0.0.1"


async def test_on_a_full_disk_a_dead_letter_waits_in_its_channel(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_attempts=1),)) as one:
        client = await one.connect()
        client.subscribe("t", "c", 1)
        assert await client.text() == "OK"
        await one.ask("POST", "/pub?topic=t", b"x")
        message_id, _, _ = await client.message()
        one.disk.is_full = True

        client.send(b"REQ %s 0\n" % message_id)
        channel = one.host.broker.topics["t"].channels["c"]
        await one.until(lambda: bool(one.host.broker.dead_letters.last_trouble))
        assert (channel.depth, len(channel.doomed), channel.dead_letter_count) == (1, 1, 0)

        one.disk.is_full = False
        one.clock.move_s(2)
        await one.until(lambda: channel.dead_letter_count == 1)
        assert channel.is_idle


async def test_many_dead_letters_all_move(start: Any) -> None:
    policy = PolicyEntry(topic="t", channel="c", max_depth=5, overflow="dead_letter")
    async with start(policy=(policy,)) as one:
        one.host.channel(one.host.topic("t"), "c")
        await one.ask("POST", "/mpub?topic=t", b"\n".join(b"%d" % number for number in range(3_000)))
        channel = one.host.broker.topics["t"].channels["c"]

        await one.until(lambda: channel.dead_letter_count == 2_995)

        assert (channel.depth, one.host.broker.topics[DEAD].channels["dead"].depth) == (5, 2_995)


async def test_a_stop_leaves_what_is_doomed_for_the_next_start(start: Any) -> None:
    policy = (PolicyEntry(topic="t", max_attempts=1),)
    async with start(policy=policy) as one:
        one.host.channel(one.host.topic("t"), "c")
        await one.ask("POST", "/pub?topic=t", b"x")
        one.host.limits.stop()
        client = await one.connect()
        client.subscribe("t", "c", 1)
        assert await client.text() == "OK"
        message_id, _, _ = await client.message()
        client.send(b"REQ %s 0\n" % message_id)
        channel = one.host.broker.topics["t"].channels["c"]
        await one.until(lambda: len(channel.doomed) == 1)

    async with start(policy=policy) as one:
        await one.until(lambda: DEAD in one.host.broker.topics)
        await one.until(lambda: one.host.broker.topics["t"].channels["c"].is_idle)


async def test_a_topic_that_is_deleted_while_it_refuses_is_forgotten(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_depth=1),)) as one:
        await one.ask("POST", "/mpub?topic=t", b"a\nb")
        assert (await one.ask("POST", "/pub?topic=t", b"c"))[0] == 503

        await one.ask("POST", "/topic/delete?topic=t")

        assert await one.ask("POST", "/pub?topic=t", b"c") == (200, b"OK")
