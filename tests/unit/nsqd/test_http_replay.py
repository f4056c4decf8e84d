"""`nsqd.http_replay` on a real socket, with a client that gets what is sent once more."""

import json
from typing import Any

import pytest


async def fill(one: Any, *bodies: bytes) -> None:
    for body in bodies:
        assert await one.ask("POST", "/pub?topic=t", body) == (200, b"OK")


async def channels(one: Any, *names: str) -> None:
    await one.ask("POST", "/topic/create?topic=t")
    for name in names:
        assert (await one.ask("POST", f"/channel/create?topic=t&channel={name}"))[0] == 200


async def drain(one: Any, channel: str, count: int) -> list[bytes]:
    """Read and finish so many messages as a client of its own."""
    peer = await one.connect()
    peer.subscribe("t", channel, ready=count)
    assert await peer.text() == "OK"
    bodies = []
    for _ in range(count):
        identity, body, _ = await peer.message()
        peer.send(b"FIN ", identity, b"\n")
        bodies.append(body)
    found = one.host.broker.topics["t"].channels[channel]
    await one.until(lambda: found.in_flight_count == 0)
    peer.writer.close()
    await one.until(lambda: not found.consumers)
    return bodies


async def change(one: Any, path: str, query: str) -> Any:
    status, body = await one.ask("POST", f"{path}?topic=t&channel=c{query}")
    assert status == 200, body
    return json.loads(body)


@pytest.mark.shows("nsqd POST /channel/rewind", beyond="sends a channel back to a time, an id, or the oldest message")
async def test_a_channel_goes_back_to_a_time(start: Any) -> None:
    async with start() as one:
        await channels(one, "c", "keeps")
        await fill(one, b"0")
        one.clock.move_s(60)
        await fill(one, b"1", b"2")
        assert await drain(one, "c", 3) == [b"0", b"1", b"2"]

        answer = await change(one, "/channel/rewind", "&to=-30s")

        assert answer["depth"] == 2
        assert await drain(one, "c", 2) == [b"1", b"2"]


async def test_a_new_channel_begins_at_the_oldest_record(start: Any) -> None:
    async with start() as one:
        await channels(one, "keeps")
        await fill(one, b"0", b"1")

        assert (await change(one, "/channel/rewind", "&to=start"))["depth"] == 2

        assert await drain(one, "c", 2) == [b"0", b"1"]


async def test_a_channel_goes_back_to_an_id_and_is_found_there_after_a_restart(start: Any) -> None:
    async with start() as one:
        await channels(one, "c", "keeps")
        await fill(one, b"0", b"1", b"2")
        found = json.loads((await one.ask("GET", "/topic/peek?topic=t"))[1])["messages"]
        await drain(one, "c", 3)

        assert (await change(one, "/channel/rewind", f"&id={found[1]['id']}"))["id"] == found[1]["id"]

    async with start() as one:
        assert await drain(one, "c", 2) == [b"1", b"2"]


@pytest.mark.shows("nsqd POST /channel/replay", beyond="delivers a span of time to one channel once more")
async def test_a_span_of_time_is_replayed_into_one_channel(start: Any) -> None:
    async with start() as one:
        await channels(one, "c", "keeps")
        for body in (b"0", b"1", b"2"):
            await fill(one, body)
            one.clock.move_s(60)
        await drain(one, "c", 3)

        answer = await change(one, "/channel/replay", "&from=-150s&to=-30s")

        assert answer["messages"] == 2
        assert await drain(one, "c", 2) == [b"1", b"2"]
        assert one.host.broker.topics["t"].channels["keeps"].depth == 3


@pytest.mark.shows("nsqd POST /channel/mpub", beyond="messages for one channel only")
async def test_messages_for_one_channel_only(start: Any) -> None:
    async with start() as one:
        await channels(one, "c", "other")

        assert await one.ask("POST", "/channel/mpub?topic=t&channel=c", b"a\nb") == (200, b"OK")
        assert await one.ask("POST", "/channel/mpub?topic=t&channel=c", b"") == (200, b"OK")

        assert one.host.broker.topics["t"].channels["other"].depth == 0

    async with start() as one:
        assert sorted(await drain(one, "c", 2)) == [b"a", b"b"]


@pytest.mark.parametrize("durability", ["memory", "log", "fsync"])
async def test_the_answer_holds_at_every_durability(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        await channels(one, "c")
        assert await one.ask("POST", "/channel/mpub?topic=t&channel=c", b"a") == (200, b"OK")
        assert await drain(one, "c", 1) == [b"a"]


async def test_what_the_disk_refuses_is_not_said_to_be_done(start: Any) -> None:
    async with start() as one:
        await channels(one, "c", "keeps")
        await fill(one, b"0")
        await drain(one, "c", 1)
        one.disk.is_full = True

        for path, query, body in (
            ("/channel/rewind", "&to=start", b""),
            ("/channel/mpub", "", b"x"),
        ):
            status, answer = await one.ask("POST", f"{path}?topic=t&channel=c{query}", body)
            assert (status, answer) == (503, b'{"message":"STORAGE_FAILED"}')
        one.disk.is_full = False


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/channel/rewind", "", "MISSING_ARG_TO"),
        ("/channel/rewind", "&to=start&id=0000000000000001", "MISSING_ARG_TO"),
        ("/channel/rewind", "&to=nowhere", "INVALID_ARG_TO"),
        ("/channel/rewind", "&id=1", "INVALID_ARG_ID"),
        ("/channel/rewind", "&to=%2B1h", "INVALID_ARG_TO: the channel stands"),
        ("/channel/replay", "&from=x", "INVALID_ARG_FROM"),
        ("/channel/replay", "&from=-1m&to=-2m", "INVALID_ARG_FROM: it has to lie before to"),
    ],
)
async def test_bad_arguments_are_refused(start: Any, path: str, query: str, code: str) -> None:
    async with start() as one:
        await channels(one, "c")
        await fill(one, b"x")

        status, body = await one.ask("POST", f"{path}?topic=t&channel=c{query}")

    assert status == 400
    assert json.loads(body)["message"].startswith(code)


async def test_a_draining_nsqd_takes_no_message_for_a_channel(start: Any) -> None:
    async with start() as one:
        await channels(one, "c")
        await fill(one, b"x")
        await one.ask("POST", "/drain")

        assert await one.ask("POST", "/channel/mpub?topic=t&channel=c", b"a") == (503, b'{"message":"DRAINING"}')


@pytest.mark.shows("nsqd /stats channel.replay_depth", beyond="what of a replay is still to come, while there is any")
async def test_a_long_replay_is_shown_in_stats_and_fed_as_time_passes(start: Any) -> None:
    many = 10_000
    async with start(max_rdy_count=many) as one:
        await channels(one, "c", "keeps")
        assert (await one.ask("POST", "/mpub?topic=t", b"x\n" * many))[0] == 200
        await drain(one, "c", many)

        assert (await change(one, "/channel/replay", ""))["messages"] == many
        waits = next(found for found in (await one.stats())["topics"][0]["channels"] if found["channel_name"] == "c")
        assert waits["depth"] + waits["replay_depth"] == many
        assert waits["replay_depth"] > 0

        assert len(await drain(one, "c", many)) == many
