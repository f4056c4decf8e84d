"""What `/stats` and `/metrics` say more where a policy applies, and that they say no more where none does."""

from typing import Any

import pytest

from millstream.engine.policies import Overflow, Policy, PolicyEntry
from millstream.nsqd.policy_stats import policy_json

POLICY_KEYS = (
    "max_depth",
    "max_bytes",
    "max_age",
    "overflow",
    "retain_age",
    "retain_bytes",
    "max_attempts",
    "dead_letter_topic",
)


@pytest.mark.shows(
    "nsqd /stats channel.policy",
    "nsqd /stats topic.policy",
    *(f"nsqd /stats policy.{key}" for key in POLICY_KEYS),
    beyond="what holds of limits, retention and dead letters, when anything does",
)
def test_what_is_off_is_left_out() -> None:
    assert policy_json(Policy()) == {}
    everything = Policy(
        max_depth=1,
        max_bytes=2,
        max_age_ns=3_000_000_000,
        overflow=Overflow.DEAD_LETTER,
        retain_age_ns=60_000_000_000,
        retain_bytes=4,
        max_attempts=5,
        dead_letter_topic="d",
    )
    assert policy_json(everything) == {
        "max_depth": 1,
        "max_bytes": 2,
        "max_age": "3s",
        "overflow": "dead_letter",
        "retain_age": "1m0s",
        "retain_bytes": 4,
        "max_attempts": 5,
        "dead_letter_topic": "d",
    }


async def test_without_a_policy_nothing_is_said_of_one(start: Any) -> None:
    async with start(mem_queue_size=2) as one:
        for channel in ("c", "tail#ephemeral"):
            one.host.channel(one.host.topic("t"), channel)
        await one.ask("POST", "/mpub?topic=t", b"a\nb\nc\nd")

        topic = (await one.stats())["topics"][0]
        assert "policy" not in topic
        assert all("policy" not in channel and "dropped_count" not in channel for channel in topic["channels"])
        assert b"policy" not in (await one.ask("GET", "/stats"))[1]
        metrics = (await one.ask("GET", "/metrics"))[1]
        assert b"dropped" not in metrics
        assert b"retained" not in metrics
        assert topic["channels"][1]["depth"] == 2


@pytest.mark.shows(
    "nsqd /stats channel.dropped_count",
    "nsqd /stats channel.dead_letter_count",
    "nsqd /stats channel.dead_letter_pending",
    "nsqd /stats topic.refusal",
    "nsqd /stats topic.rejected_count",
    "nsqd /stats topic.dropped_count",
    "nsqd /stats topic.dead_letter_count",
    "nsqd /stats topic.retained_bytes",
    beyond="what limits did and what is retained, where a policy holds",
)
async def test_what_holds_and_what_it_did_is_shown(start: Any) -> None:
    policies = (
        PolicyEntry(topic="t", retain_bytes=1 << 20),
        PolicyEntry(topic="t", channel="c", max_depth=2, overflow="drop_oldest"),
        PolicyEntry(topic="u", max_depth=1),
    )
    async with start(policy=policies) as one:
        one.host.channel(one.host.topic("t"), "c")
        await one.ask("POST", "/mpub?topic=t", b"a\nb\nc\nd")
        await one.ask("POST", "/mpub?topic=u", b"a\nb")
        await one.ask("POST", "/pub?topic=u", b"c")

        t, u = (await one.stats())["topics"]
        assert t["policy"] == {"retain_bytes": 1 << 20}
        assert (t["retained_bytes"], t["rejected_count"], t["dropped_count"], t["dead_letter_count"]) == (
            2 * 35,
            0,
            0,
            0,
        )
        assert t["channels"][0]["policy"] == {"max_depth": 2, "overflow": "drop_oldest"}
        assert (t["channels"][0]["dropped_count"], t["channels"][0]["depth"]) == (2, 2)
        assert u["refusal"] == "topic u is beyond its max_depth of 1"

        text = (await one.ask("GET", "/stats"))[1].decode()
        assert "policy: retain_bytes=1048576 rejected: 0 dropped: 0 dead: 0 retained: 70\n" in text
        assert "policy: max_depth=2 overflow=drop_oldest dropped: 2 dead: 0 pending: 0\n" in text
        assert "policy: max_depth=1 overflow=reject rejected: 1 dropped: 0 dead: 0 retained: 0 REFUSES\n" in text

        metrics = (await one.ask("GET", "/metrics"))[1].decode()
        assert 'nsqd_channel_dropped_total{topic="t",channel="c"} 2\n' in metrics
        assert 'nsqd_topic_rejected_total{topic="u"} 1\n' in metrics
        assert 'nsqd_topic_refuses{topic="u"} 1\n' in metrics
        assert 'nsqd_topic_retained_bytes{topic="t"} 70\n' in metrics
        assert 'nsqd_channel_dead_letters_pending{topic="t",channel="c"} 0\n' in metrics
