"""`nsqd.http_peek` on a real socket: messages are shown, and stay where they are."""

import json
from typing import Any

import pytest


async def fill(one: Any, *bodies: bytes, query: str = "") -> None:
    for body in bodies:
        assert await one.ask("POST", f"/pub?topic=t{query}", body) == (200, b"OK")


async def peek(one: Any, query: str = "", path: str = "/channel/peek") -> Any:
    status, body = await one.ask("GET", f"{path}?topic=t&channel=c{query}")
    assert status == 200, body
    return json.loads(body)


@pytest.mark.shows("nsqd GET /channel/peek", beyond="messages of a channel, without taking them")
async def test_a_channel_shows_what_waits_is_held_and_is_deferred(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        await fill(one, b"first", b"\xff\x00")
        await fill(one, b"later", query="&defer=5000")
        peer = await one.connect()
        peer.identify(client_id="me", hostname="here")
        await peer.text()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        identity, _, _ = await peer.message()

        held, waits, deferred = (await peek(one))["messages"]

    assert held["id"] == identity.decode()
    assert (held["state"], held["attempts"], held["body"]) == ("in_flight", 1, "first")
    assert held["client"]["client_id"] == "me"
    assert held["deadline_time"] > held["time"]
    assert (waits["state"], waits["attempts"], waits["body_base64"], waits["body_bytes"]) == ("ready", 0, "/wA=", 2)
    assert (deferred["state"], deferred["body"]) == ("deferred", "later")
    assert deferred["due"] - deferred["timestamp"] == 5_000_000_000


async def test_pages_ids_states_and_times_narrow_it_down(start: Any) -> None:
    async with start() as one:
        await fill(one, b"0", b"1")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        one.clock.move_s(60)
        await fill(one, b"2")

        first = await peek(one, "&limit=2")
        rest = await peek(one, f"&start={first['next']}")
        by_id = await peek(one, f"&id={first['messages'][1]['id']}")
        by_time = await peek(one, "&from=-30s")
        by_state = await peek(one, "&state=deferred,in_flight")
        bare = await peek(one, "&body=false")
        absent = await peek(one, f"&id={0:016x}")

    assert [found["body"] for found in first["messages"]] == ["0", "1"]
    assert [found["body"] for found in rest["messages"]] == ["2"]
    assert rest["next"] is None
    assert [found["body"] for found in by_id["messages"]] == ["1"]
    assert [found["body"] for found in by_time["messages"]] == ["2"]
    assert by_state["messages"] == absent["messages"] == []
    assert not any("body" in found for found in bare["messages"])


@pytest.mark.shows("nsqd GET /topic/peek", beyond="messages of a topic's log, without taking them")
async def test_a_topic_shows_its_whole_log(start: Any) -> None:
    async with start() as one:
        await fill(one, b"before any channel")

        found = await peek(one, path="/topic/peek")

    assert [(message["state"], message["body"]) for message in found["messages"]] == [("stored", "before any channel")]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("&limit=0", "INVALID_ARG_LIMIT"),
        ("&limit=10001", "INVALID_ARG_LIMIT"),
        ("&limit=x", "INVALID_ARG_LIMIT"),
        ("&start=zz", "INVALID_ARG_START"),
        ("&id=8000000000000000", "INVALID_ARG_ID"),
        ("&id=", "INVALID_ARG_ID"),
        ("&state=dead", "INVALID_ARG_STATE"),
        ("&body=perhaps", "INVALID_ARG_BODY"),
        ("&from=yesterday", "INVALID_ARG_FROM: "),
        ("&to=2027-01-01T00:00:00", "INVALID_ARG_TO: "),
    ],
)
async def test_bad_arguments_are_refused(start: Any, query: str, code: str) -> None:
    async with start() as one:
        await fill(one, b"x")
        await one.ask("POST", "/channel/create?topic=t&channel=c")

        status, body = await one.ask("GET", f"/channel/peek?topic=t&channel=c{query}")

    assert status == 400
    assert json.loads(body)["message"].startswith(code)
