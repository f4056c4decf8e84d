"""`/channel/dead` and `/channel/redrive` on a real socket."""

import json
from typing import Any

import pytest

from millstream.engine.policies import PolicyEntry
from millstream.nsqd import http_dead

DEAD = "t.c.dead"


async def bury(one: Any, count: int, channel: str = "c") -> list[str]:
    """Give up so many messages: their ids."""
    client = await one.connect()
    client.subscribe("t", channel, 500)
    assert await client.text() == "OK"
    await one.ask("POST", "/mpub?topic=t", b"\n".join(b"%d" % number for number in range(count)))
    ids = []
    for _ in range(count):
        message_id, _, _ = await client.message()
        ids.append(message_id.decode())
        client.send(b"REQ %s 0\n" % message_id)
    waiting = one.host.broker.topics["t"].channels[channel]
    await one.until(lambda: waiting.dead_letter_count >= count)
    client.writer.close()
    await one.until(lambda: not waiting.consumers)
    return ids


async def shown(one: Any, query: str = "") -> Any:
    status, body = await one.ask("GET", f"/channel/dead?topic=t&channel=c{query}")
    assert status == 200
    return json.loads(body)


async def redrive(one: Any, query: str) -> tuple[int, Any]:
    status, body = await one.ask("POST", f"/channel/redrive?topic=t&channel=c&{query}")
    return status, json.loads(body)


POLICY = (PolicyEntry(topic="t", channel="c", max_attempts=1),)


@pytest.mark.shows("nsqd GET /channel/dead", beyond="the dead letters of a channel")
async def test_dead_letters_are_shown_page_by_page(start: Any) -> None:
    async with start(policy=POLICY) as one:
        ids = await bury(one, 5)

        first = await shown(one, "&limit=2")
        rest = await shown(one, f"&after={first['after']}")

        assert first["dead_letter_topic"] == DEAD
        assert [letter["origin"]["id"] for letter in first["letters"] + rest["letters"]] == ids
        assert [letter["body"] for letter in first["letters"]] == ["0", "1"]
        assert rest["after"] is None
        assert one.host.broker.topics[DEAD].channels["dead"].depth == 5


async def test_without_dead_letters_there_is_nothing_to_show_or_to_redrive(start: Any) -> None:
    async with start() as one:
        one.host.channel(one.host.topic("t"), "c")

        assert await shown(one) == {"dead_letter_topic": DEAD, "letters": [], "after": None}
        assert await redrive(one, "all") == (200, {"redriven": 0, "present": 0})
        assert await redrive(one, f"id={'0' * 16}") == (404, {"message": "LETTER_NOT_FOUND"})


@pytest.mark.shows("nsqd POST /channel/redrive", beyond="puts dead letters back into their channel")
@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_one_some_and_all_go_back_into_that_channel_only(start: Any, durability: str) -> None:
    async with start(policy=POLICY, durability=durability) as one:
        one.host.channel(one.host.topic("t"), "other")
        ids = await bury(one, 6)
        topic = one.host.broker.topics["t"]

        assert await redrive(one, f"id={ids[3]}") == (200, {"redriven": 1, "present": 0})
        assert await redrive(one, f"id={ids[3]}") == (404, {"message": "LETTER_NOT_FOUND"})
        assert await redrive(one, "limit=2") == (200, {"redriven": 2, "present": 0})
        assert [letter["body"] for letter in (await shown(one))["letters"]] == ["2", "4", "5"]
        assert await redrive(one, "all=true") == (200, {"redriven": 3, "present": 0})

        assert (topic.channels["c"].depth, topic.channels["other"].depth) == (6, 6)
        assert one.host.broker.topics[DEAD].channels["dead"].is_idle
        client = await one.connect()
        client.subscribe("t", "c", 10)
        assert await client.text() == "OK"
        found = [await client.message() for _ in range(6)]
        assert [message_id.decode() for message_id, _, _ in found] == [ids[place] for place in (3, 0, 1, 2, 4, 5)]
        assert {attempts for _, _, attempts in found} == {1}
        client.send(*(b"FIN %s\n" % message_id for message_id, _, _ in found))
        await one.until(lambda: topic.channels["c"].is_idle)


async def test_all_goes_in_batches_and_takes_what_fails_meanwhile_only_once(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_dead, "BATCH", 7)
    async with start(policy=POLICY) as one:
        await bury(one, 40)
        client = await one.connect()
        client.subscribe("t", "c", 500)
        assert await client.text() == "OK"

        answer = await redrive(one, "all")
        for _ in range(40):
            message_id, _, _ = await client.message()
            client.send(b"REQ %s 0\n" % message_id)

        assert answer == (200, {"redriven": 40, "present": 0})
        await one.until(lambda: one.host.broker.topics["t"].channels["c"].dead_letter_count == 80)
        letters = (await shown(one))["letters"]
        assert [letter["origin"]["redriven"] for letter in letters] == [1] * 40


async def test_a_restart_in_between_keeps_everything(start: Any) -> None:
    async with start(policy=POLICY) as one:
        ids = await bury(one, 3)
        await redrive(one, f"id={ids[1]}")

    async with start(policy=POLICY) as one:
        assert [letter["body"] for letter in (await shown(one))["letters"]] == ["0", "2"]
        client = await one.connect()
        client.subscribe("t", "c", 10)
        assert await client.text() == "OK"
        assert await client.message() == (ids[1].encode(), b"1", 1)


async def test_what_no_channel_was_given_can_be_taken_by_one(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="t", max_depth=1, overflow="dead_letter"),)) as one:
        await one.ask("POST", "/mpub?topic=t", b"a\nb\nc")
        await one.until(lambda: one.host.broker.topics["t"].dead_letter_count == 2)
        await one.ask("DELETE", "/policy?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")

        assert (await shown(one))["letters"] == []
        assert [letter["body"] for letter in (await shown(one, "&from=t.dead"))["letters"]] == ["a", "b"]
        await one.ask("PUT", "/policy?topic=t", b'{"max_depth":0}')
        answer = await redrive(one, "all&from=t.dead")

        assert answer == (200, {"redriven": 2, "present": 0})
        client = await one.connect()
        client.subscribe("t", "c", 10)
        assert await client.text() == "OK"
        assert sorted([(await client.message())[1] for _ in range(3)]) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/channel/dead?channel=c", 400, "MISSING_ARG_TOPIC"),
        ("GET", "/channel/dead?topic=t", 400, "MISSING_ARG_CHANNEL"),
        ("GET", "/channel/dead?topic=a%20b&channel=c", 400, "INVALID_ARG_TOPIC"),
        ("GET", "/channel/dead?topic=nothing&channel=c", 404, "TOPIC_NOT_FOUND"),
        ("GET", "/channel/dead?topic=t&channel=nothing", 404, "CHANNEL_NOT_FOUND"),
        ("GET", "/channel/dead?topic=t&channel=c&limit=0", 400, "INVALID_ARG_LIMIT"),
        ("GET", "/channel/dead?topic=t&channel=c&limit=1001", 400, "INVALID_ARG_LIMIT"),
        ("GET", "/channel/dead?topic=t&channel=c&after=5", 400, "INVALID_ARG_AFTER"),
        ("POST", "/channel/redrive?topic=t&channel=c", 400, "MISSING_ARG_ID: say which"),
        ("POST", "/channel/redrive?topic=t&channel=c&id=xyz", 400, "INVALID_ARG_ID"),
        ("POST", "/channel/redrive?topic=t&channel=c&limit=-1", 400, "INVALID_ARG_LIMIT"),
        ("POST", "/channel/redrive?topic=t&channel=c&all=perhaps", 400, "INVALID_ARG_ALL"),
        ("POST", "/channel/redrive?topic=nothing&channel=c&all", 404, "TOPIC_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_meant_is_refused(start: Any, method: str, target: str, status: int, code: str) -> None:
    async with start() as one:
        one.host.channel(one.host.topic("t"), "c")

        answer = await one.ask(method, target)

        assert answer[0] == status
        assert json.loads(answer[1])["message"].startswith(code)


async def test_nothing_is_put_back_where_it_would_be_lost(start: Any) -> None:
    async with start() as one:
        one.host.channel(one.host.topic("t"), "tail#ephemeral")

        status, body = await one.ask("POST", "/channel/redrive?topic=t&channel=tail%23ephemeral&all")

        assert status == 400
        assert json.loads(body)["message"].startswith("INVALID_ARG_CHANNEL: ")


async def test_a_redrive_that_the_disk_refuses_leaves_the_letters(start: Any) -> None:
    async with start(policy=POLICY) as one:
        await bury(one, 2)
        one.disk.is_full = True

        assert await redrive(one, "all") == (500, {"message": "INTERNAL_ERROR"})

        assert len((await shown(one))["letters"]) == 2
        one.disk.is_full = False
        status, answer = await redrive(one, "all")
        assert (status, answer["redriven"] + answer["present"]) == (200, 2)
