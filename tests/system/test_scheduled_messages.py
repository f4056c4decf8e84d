"""Scheduled messages of a real nsqd: listed, moved and cancelled over HTTP, a client beside it and a kill between."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Connect = Callable[..., Awaitable[Any]]
NS_PER_MS = 1_000_000
HOUR_MS = 3_600_000
WHERE = "topic=reminders&channel=mail"


def schedule(nsqd: Any) -> dict[str, Any]:
    """What is scheduled, by body, in order."""
    found = json.loads(nsqd.get(f"/channel/scheduled?{WHERE}&include_body=true"))
    assert "next" not in found
    return {each["body"]: each for each in found["scheduled"]}


async def defer(publisher: Any, **delays_ms: int) -> None:
    for body, delay_ms in delays_ms.items():
        data = body.encode()
        answer = await publisher.ask(b"DPUB reminders %d\n" % delay_ms + len(data).to_bytes(4, "big") + data)
        assert answer == b"OK"


@pytest.mark.parametrize("durability", ["log", "fsync"])
async def test_what_was_answered_holds_over_a_kill(daemons: Any, connect: Connect, durability: str) -> None:
    nsqd = daemons.nsqd(f"--durability={durability}", "--max-req-timeout=876000h")
    publisher, reader = await connect(nsqd), await connect(nsqd)
    await reader.subscribe("reminders", "mail", 0)
    await defer(publisher, in_years=10 * 365 * 24 * HOUR_MS, never=HOUR_MS, nearer=2 * HOUR_MS, later=3 * HOUR_MS)
    listed = schedule(nsqd)
    assert list(listed) == ["never", "nearer", "later", "in_years"]

    nsqd.post(f"/channel/scheduled/cancel?{WHERE}&id={listed['never']['id']}")
    due_ns = time.time_ns() + 2_000 * NS_PER_MS
    nsqd.post(f"/channel/scheduled/move?{WHERE}&id={listed['nearer']['id']}&at={due_ns}")
    published_ns = time.time_ns()
    await defer(publisher, soon=1_500, then=3_000)
    nsqd.kill()
    nsqd.start()

    again = schedule(nsqd)
    assert "never" not in again
    assert [again[body] for body in ("later", "in_years")] == [listed[body] for body in ("later", "in_years")]
    reader = await connect(nsqd)
    await reader.subscribe("reminders", "mail", 10)
    came = {}
    for _ in range(3):
        message = await reader.message()
        came[message.body.decode()] = (time.time_ns(), message.attempts, message.id.decode())
        reader.finish(message)

    assert came.keys() == {"soon", "nearer", "then"}
    assert {attempts for _, attempts, _ in came.values()} == {1}
    assert came["nearer"][2] == listed["nearer"]["id"]
    assert came["nearer"][0] >= due_ns
    assert came["soon"][0] >= published_ns + 1_500 * NS_PER_MS
    assert came["then"][0] >= published_ns + 3_000 * NS_PER_MS
    assert list(schedule(nsqd)) == ["later", "in_years"]


async def test_what_is_scheduled_far_ahead_can_be_had_now(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd()
    publisher, reader = await connect(nsqd), await connect(nsqd)
    await reader.subscribe("reminders", "mail", 10)
    await defer(publisher, a=HOUR_MS, b=HOUR_MS, c=HOUR_MS)
    listed = schedule(nsqd)

    nsqd.post(f"/channel/scheduled/cancel?{WHERE}", "\n".join(listed[body]["id"] for body in "ac").encode())
    nsqd.post(f"/channel/scheduled/move?{WHERE}&id={listed['b']['id']}&in=0s")
    message = await reader.message()
    reader.send(b"REQ %b %d\n" % (message.id, HOUR_MS))
    await publisher.publish("reminders", b"after")
    assert (await reader.message()).body == b"after"

    assert message.body == b"b"
    assert [(each["id"], each["attempts"]) for each in schedule(nsqd).values()] == [(listed["b"]["id"], 1)]
