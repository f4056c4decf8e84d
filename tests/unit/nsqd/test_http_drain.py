"""`/drain`: what is left is shown, and a drain is begun and cancelled."""

import json
from typing import Any

import pytest


@pytest.mark.shows("nsqd GET /drain", beyond="whether nsqd runs empty, and what is left")
async def test_what_is_left_is_shown(start: Any) -> None:
    async with start() as one:
        for channel in ("busy", "idle"):
            await one.ask("POST", "/topic/create?topic=t")
            await one.ask("POST", f"/channel/create?topic=t&channel={channel}")
        await one.ask("POST", "/topic/create?topic=empty")
        await one.ask("POST", "/pub?topic=alone", b"x")
        await one.ask("POST", "/channel/pause?topic=t&channel=idle")
        client = await one.connect()
        client.subscribe("t", "busy", 1)
        assert await client.text() == "OK"
        for body in (b"one", b"two"):
            await one.ask("POST", "/pub?topic=t", body)
        await one.ask("POST", "/pub?topic=t&defer=60000", b"later")
        await client.message()
        one.host.drain.begin()

        status, body = await one.ask("GET", "/drain")
        found = json.loads(body)

        assert status == 200
        assert [found[key] for key in ("draining", "topics_left", "depth")] == [True, 2, 4]
        assert [found[key] for key in ("in_flight_count", "deferred_count")] == [1, 2]
        assert [topic["topic_name"] for topic in found["topics"]] == ["t", "alone"]
        assert found["topics"][0]["channels"][0] == {
            "channel_name": "busy",
            "depth": 1,
            "in_flight_count": 1,
            "deferred_count": 1,
            "client_count": 1,
            "paused": False,
        }
        assert found["topics"][0]["channels"][1]["paused"] is True
        assert found["topics"][1] == {"topic_name": "alone", "depth": 1, "paused": False, "channels": []}


@pytest.mark.shows("nsqd POST /drain", beyond="lets nsqd run empty and end")
@pytest.mark.shows("nsqd POST /drain ?cancel", beyond="takes that back")
async def test_a_cancelled_drain_takes_messages_again(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/pub?topic=t", b"x")
        assert (await one.ask("POST", "/drain"))[0] == 200
        status, body = await one.ask("POST", "/drain?cancel=true")

        assert (status, json.loads(body)["draining"]) == (200, False)
        assert await one.ask("POST", "/pub?topic=t", b"x") == (200, b"OK")


async def test_cancel_is_true_or_false(start: Any) -> None:
    async with start() as one:
        assert await one.ask("POST", "/drain?cancel=perhaps") == (400, b'{"message":"INVALID_ARG_CANCEL"}')
        assert not one.host.drain.is_on
