"""`/policy` on a real socket."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from millstream.base.options import describe
from millstream.engine.policies import PolicyEntry

DOCS = Path(__file__).parents[3] / "docs" / "limits.md"


def test_the_page_lists_every_key() -> None:
    text = DOCS.read_text(encoding="utf-8")

    assert [found.key for found in describe(PolicyEntry) if f"`{found.key}`" not in text] == []
    assert len(describe(PolicyEntry)) == len(fields(PolicyEntry))


async def ask(one: Any, method: str, query: str, body: object = None) -> tuple[int, Any]:
    status, data = await one.ask(method, f"/policy{query}", b"" if body is None else json.dumps(body).encode())
    return status, json.loads(data)


@pytest.mark.shows("nsqd GET /policy", beyond="which limits, retention and dead letters hold")
@pytest.mark.shows("nsqd PUT /policy", beyond="sets limits, retention and dead letters")
@pytest.mark.shows("nsqd DELETE /policy", beyond="takes that back")
async def test_a_policy_is_set_shown_and_removed(start: Any) -> None:
    async with start(policy=(PolicyEntry(topic="*", max_attempts=9),)) as one:
        body = {"max_depth": 100, "max_age": "90m", "overflow": "drop_oldest", "max_bytes": "1MiB"}
        written = {"max_depth": 100, "max_bytes": 1 << 20, "max_age": "1h30m0s", "overflow": "drop_oldest"}
        holds = {**written, "max_attempts": 9, "dead_letter_topic": "t.c.dead"}

        answer = await ask(one, "PUT", "?topic=t&channel=c", body)

        assert answer == (
            200,
            {"topic": "t", "channel": "c", "entry": {"topic": "t", "channel": "c", **written}, "policy": holds},
        )
        assert await ask(one, "GET", "?topic=t&channel=c") == answer
        assert await ask(one, "GET", "") == (
            200,
            {
                "config": [{"topic": "*", "max_attempts": 9}],
                "http": [{"topic": "t", "channel": "c", **written}],
            },
        )
        assert (await ask(one, "DELETE", "?topic=t&channel=c"))[1]["policy"] == {
            "max_attempts": 9,
            "dead_letter_topic": "t.c.dead",
        }
        assert await ask(one, "DELETE", "?topic=t&channel=c") == (404, {"message": "POLICY_NOT_FOUND"})


async def test_a_pattern_is_set_as_well_and_what_holds_is_asked_by_name(start: Any) -> None:
    async with start() as one:
        status, answer = await ask(one, "PUT", "?topic=click*", {"max_depth": 7})
        assert (status, answer) == (200, {"topic": "click*", "entry": {"topic": "click*", "max_depth": 7}})

        _, found = await ask(one, "GET", "?topic=clicks")
        assert (found["entry"], found["policy"]) == (None, {"max_depth": 7, "overflow": "reject"})


async def test_it_holds_at_once(start: Any) -> None:
    async with start() as one:
        one.host.channel(one.host.topic("t"), "c")
        await one.ask("POST", "/mpub?topic=t", b"a\nb\nc")

        await ask(one, "PUT", "?topic=t", {"max_depth": 1, "overflow": "drop_oldest"})

        assert one.host.broker.topics["t"].channels["c"].depth == 1


@pytest.mark.parametrize(
    ("query", "body", "text"),
    [
        ("", {"max_depth": 1}, "MISSING_ARG_TOPIC"),
        ("?topic=", {"max_depth": 1}, "MISSING_ARG_TOPIC"),
        ("?topic=t", {"max_dept": 1}, "INVALID_POLICY: unknown key max_dept: did you mean max_depth?"),
        ("?topic=t", {"max_depth": -1}, "INVALID_POLICY: max_depth is -1, out of bounds: use at least 0"),
        ("?topic=t", {}, "INVALID_POLICY: sets nothing"),
        ("?topic=t", {"topic": "u", "max_depth": 1}, "INVALID_POLICY: topic and channel stand in the query"),
        ("?topic=t&channel=c", {"retain_bytes": 5}, "INVALID_POLICY: retain_age and retain_bytes are of a topic"),
        ("?topic=a%20b", {"max_depth": 1}, 'INVALID_POLICY: topic "a b" matches no name'),
        ("?topic=t", [1], "INVALID_POLICY: "),
    ],
)
async def test_what_cannot_hold_is_refused_with_the_fix(start: Any, query: str, body: object, text: str) -> None:
    async with start() as one:
        status, answer = await ask(one, "PUT", query, body)

        assert status == 400
        assert answer["message"].startswith(text)
        assert one.host.broker.policies.is_empty


async def test_a_body_that_is_no_json_is_refused(start: Any) -> None:
    async with start() as one:
        for body in (b"{", b"\xff", b"[" * 10_000):
            status, answer = await one.ask("PUT", "/policy?topic=t", body)
            assert (status, answer[:26]) == (400, b'{"message":"INVALID_POLICY')
        assert (await one.ask("PUT", "/policy?topic=t", b" " * 20_000))[0] == 413


async def test_a_change_that_the_disk_refuses_is_an_error(start: Any) -> None:
    async with start() as one:
        one.disk.is_full = True

        assert await ask(one, "PUT", "?topic=t", {"max_depth": 1}) == (500, {"message": "INTERNAL_ERROR"})
        one.disk.is_full = False
        assert one.host.broker.policies.is_empty
