"""`/channel/scheduled`: what waits for its time is shown in pages, cancelled and moved; everything asked is checked."""

import json
from typing import Any

import pytest

from millstream.base.rfc3339 import format_rfc3339

WHERE = "topic=t&channel=c"


async def defer(one: Any, *delays_ms: int, body: bytes = b"later") -> list[str]:
    """Publish deferred messages into channel `c` of topic `t`: their ids, in order of time."""
    await one.ask("POST", "/topic/create?topic=t")
    await one.ask("POST", f"/channel/create?{WHERE}")
    for delay_ms in delays_ms:
        assert await one.ask("POST", f"/pub?topic=t&defer={delay_ms}", body) == (200, b"OK")
    return [each["id"] for each in (await show(one, "&limit=1000"))["scheduled"]]


async def show(one: Any, more: str = "") -> Any:
    status, body = await one.ask("GET", f"/channel/scheduled?{WHERE}{more}")
    assert status == 200, body
    return json.loads(body)


async def change(one: Any, what: str, more: str, body: bytes = b"") -> tuple[int, Any]:
    status, answer = await one.ask("POST", f"/channel/scheduled/{what}?{WHERE}{more}", body)
    return status, json.loads(answer)


@pytest.mark.shows("nsqd GET /channel/scheduled", beyond="deferred messages in the order of their time")
async def test_messages_are_shown_by_their_time(start: Any) -> None:
    async with start() as one:
        await defer(one, 9_000, 3_000)

        found = await show(one)

        now_ns = one.clock.wall_ns()
        assert found["count"] == 2
        assert [each["due"] for each in found["scheduled"]] == [
            format_rfc3339(now_ns + 3 * 10**9),
            format_rfc3339(now_ns + 9 * 10**9),
        ]
        first = found["scheduled"][0]
        assert {key: first[key] for key in ("attempts", "timestamp", "size")} == {
            "attempts": 0,
            "timestamp": now_ns,
            "size": 5,
        }
        assert "next" not in found
        assert "body" not in first


async def test_bodies_are_shown_when_asked_for_as_text_or_in_base64(start: Any) -> None:
    async with start() as one:
        await defer(one, 1_000, body="gr\u00fc\u00dfe".encode())
        await defer(one, 2_000, body=b"\xff\x00")

        first, second = (await show(one, "&include_body=true"))["scheduled"]

        assert (first["body"], second["body_base64"]) == ("gr\u00fc\u00dfe", "/wA=")


async def test_pages_follow_one_another(start: Any) -> None:
    async with start() as one:
        ids = await defer(one, *range(1_000, 8_000, 1_000))
        found: list[str] = []
        after, pages = "", 0
        while pages == 0 or after:
            page = await show(one, f"&limit=3{after}")
            found += [each["id"] for each in page["scheduled"]]
            after = f"&after={page['next']}" if "next" in page else ""
            pages += 1

        assert (found, pages) == (ids, 3)


@pytest.mark.parametrize(
    "more",
    [
        *("&limit=0", "&limit=1001", "&limit=-1", "&limit=x", "&limit=", "&limit=99999999999", "&limit=%D9%A3"),
        *(
            "&after=",
            "&after=5",
            "&after=x-00000000000003e8",
            "&after=5-xyz",
            "&after=9999999999999999999-00000000000003e8",
        ),
        *("&include_body=perhaps", "&include_body="),
    ],
)
async def test_a_page_that_cannot_be_is_refused(start: Any, more: str) -> None:
    async with start() as one:
        await defer(one, 1_000)

        status, body = await one.ask("GET", f"/channel/scheduled?{WHERE}{more}")

        name = more[1:].partition("=")[0].upper()
        assert (status, json.loads(body)) == (400, {"message": f"INVALID_ARG_{name}"})


@pytest.mark.shows("nsqd POST /channel/scheduled/cancel", beyond="deferred messages that a channel is not to get")
async def test_a_cancelled_message_is_gone_for_that_channel_alone(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=other")
        ids = await defer(one, 1_000, 2_000)
        client, other = await one.connect(), await one.connect()

        assert await change(one, "cancel", f"&id={ids[0]}") == (200, {"cancelled": 1, "missing": []})
        assert await change(one, "cancel", f"&id={ids[0]}") == (404, {"message": "MESSAGE_NOT_FOUND"})

        client.subscribe("t", "c", 10)
        other.subscribe("t", "other", 10)
        assert [await client.text(), await other.text()] == ["OK", "OK"]
        one.clock.move_s(5)
        assert (await client.message())[0].decode() == ids[1]
        assert [(await other.message())[0].decode() for _ in range(2)] == ids
        assert (await one.stats())["topics"][0]["channels"][0]["deferred_count"] == 0


async def test_many_are_cancelled_at_once_and_those_that_were_not_there_are_named(start: Any) -> None:
    async with start() as one:
        ids = await defer(one, *range(1_000, 5_000, 1_000))
        stranger = "0000000000000007"

        answer = await change(one, "cancel", "", "\n".join([ids[0], stranger, ids[2], ids[0], ""]).encode())

        assert answer == (200, {"cancelled": 2, "missing": [stranger]})
        assert [each["id"] for each in (await show(one))["scheduled"]] == [ids[1], ids[3]]


@pytest.mark.parametrize(
    ("more", "body", "status", "message"),
    [
        ("", b"", 400, "MISSING_ARG_ID"),
        ("", b" \n ", 400, "MISSING_ARG_ID"),
        ("", b"xyz", 400, "INVALID_ARG_ID"),
        ("", b"\xff", 400, "INVALID_ARG_ID"),
        ("&id=", b"", 400, "INVALID_ARG_ID"),
        ("&id=12", b"", 400, "INVALID_ARG_ID"),
        ("&id=00000000000003e8", b"", 404, "MESSAGE_NOT_FOUND"),
        ("", b"0" * 180_001, 413, "BODY_TOO_BIG"),
    ],
)
async def test_a_cancel_that_cannot_be_is_refused(
    start: Any, more: str, body: bytes, status: int, message: str
) -> None:
    async with start() as one:
        await defer(one, 1_000)

        assert await change(one, "cancel", more, body) == (status, {"message": message})
        assert (await show(one))["count"] == 1


@pytest.mark.shows("nsqd POST /channel/scheduled/move", beyond="another time for a deferred message")
async def test_a_message_is_moved_to_an_instant_or_by_a_while(start: Any) -> None:
    async with start() as one:
        first, second, third, fourth = await defer(one, 1_000, 2_000, 3_000, 4_000)
        now_ns = one.clock.wall_ns()
        wanted = {
            first: ("in=5m", now_ns + 300 * 10**9),
            second: (f"at={now_ns + 77}", now_ns + 77),
            third: ("at=" + format_rfc3339(now_ns + 10**9 + 1), now_ns + 10**9 + 1),
            fourth: ("at=2000-01-01T00:00:00+02:00", now_ns),
        }
        for message_id, (when, due_ns) in wanted.items():
            answer = await change(one, "move", f"&id={message_id}&{when}")
            assert answer == (200, {"id": message_id, "due": format_rfc3339(due_ns)})

        client = await one.connect()
        client.subscribe("t", "c", 10)
        assert await client.text() == "OK"
        assert (await client.message())[0].decode() == fourth
        one.clock.move_s(2)
        assert [(await client.message())[0].decode() for _ in range(2)] == [second, third]
        assert [each["id"] for each in (await show(one))["scheduled"]] == [first]
        assert await change(one, "move", f"&id={second}&in=1s") == (404, {"message": "MESSAGE_NOT_FOUND"})


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ("&in=1s", 400, "MISSING_ARG_ID"),
        ("&id=x&in=1s", 400, "INVALID_ARG_ID"),
        ("&id={id}", 400, "MISSING_ARG_AT"),
        ("&id={id}&in=", 400, "INVALID_ARG_IN"),
        ("&id={id}&in=5", 400, "INVALID_ARG_IN"),
        ("&id={id}&in=1d", 400, "INVALID_ARG_IN"),
        ("&id={id}&in=-1s", 400, "INVALID_ARG_IN"),
        ("&id={id}&in=1h0m1s", 400, "INVALID_ARG_IN"),
        ("&id={id}&in=2000000h", 400, "INVALID_ARG_IN"),
        ("&id={id}&in=9999999h", 400, "INVALID_ARG_IN"),
        ("&id={id}&at=", 400, "INVALID_ARG_AT"),
        ("&id={id}&at=soon", 400, "INVALID_ARG_AT"),
        ("&id={id}&at=-5", 400, "INVALID_ARG_AT"),
        ("&id={id}&at=99999999999999999999", 400, "INVALID_ARG_AT"),
        ("&id={id}&at=2300-01-01T00:00:00Z", 400, "INVALID_ARG_AT"),
        ("&id=0000000000000007&in=1s", 404, "MESSAGE_NOT_FOUND"),
    ],
)
async def test_a_move_that_cannot_be_is_refused(start: Any, more: str, status: int, message: str) -> None:
    async with start() as one:
        (message_id,) = await defer(one, 1_000)
        before = await show(one)

        assert await change(one, "move", more.format(id=message_id)) == (status, {"message": message})
        assert await show(one) == before


async def test_a_message_may_wait_for_a_hundred_years(start: Any) -> None:
    async with start(max_req_timeout_ms=876_000 * 3_600_000) as one:
        first, second = await defer(one, 1_000, 876_000 * 3_600_000)

        assert (await change(one, "move", f"&id={first}&in=876000h"))[0] == 200
        one.clock.move_s(86_400)
        found = await show(one)

        assert {each["id"] for each in found["scheduled"]} == {first, second}
    async with start(max_req_timeout_ms=876_000 * 3_600_000) as one:
        assert await show(one) == found


@pytest.mark.parametrize("durability", ["log", "fsync", "memory"])
async def test_changes_outlive_a_stop(start: Any, durability: str) -> None:
    async with start(durability=durability) as one:
        first, second, third = await defer(one, 60_000, 120_000, 180_000)
        await change(one, "cancel", f"&id={second}")
        await change(one, "move", f"&id={third}&in=1s")

    async with start(durability=durability) as one:
        assert [each["id"] for each in (await show(one))["scheduled"]] == [third, first]


async def test_a_change_that_the_disk_refuses_is_none(start: Any) -> None:
    async with start() as one:
        (message_id,) = await defer(one, 60_000)
        before = await show(one)
        one.disk.is_full = True

        for what, more in (("cancel", ""), ("move", "&in=1s")):
            answer = await change(one, what, f"&id={message_id}{more}")
            assert answer == (500, {"message": "INTERNAL_ERROR"})

        assert await show(one) == before
        one.disk.is_full = False
        assert (await change(one, "cancel", f"&id={message_id}"))[0] == 200


async def test_topic_and_channel_must_be_there(start: Any) -> None:
    async with start() as one:
        assert await one.ask("GET", f"/channel/scheduled?{WHERE}") == (404, b'{"message":"TOPIC_NOT_FOUND"}')
        assert await one.ask("POST", "/channel/scheduled/cancel") == (400, b'{"message":"MISSING_ARG_TOPIC"}')
        assert (await one.ask("POST", f"/channel/scheduled?{WHERE}"))[0] == 405


async def test_ephemeral_channels_have_scheduled_messages_too(start: Any) -> None:
    async with start() as one:
        client = await one.connect()
        client.subscribe("t", "c#ephemeral")
        assert await client.text() == "OK"
        await one.ask("POST", "/pub?topic=t&defer=60000", b"later")
        where = "topic=t&channel=c%23ephemeral"

        _, body = await one.ask("GET", f"/channel/scheduled?{where}&include_body=1")
        (found,) = json.loads(body)["scheduled"]
        status, _ = await one.ask("POST", f"/channel/scheduled/cancel?{where}&id={found['id']}")

        assert (found["body"], status) == ("later", 200)
