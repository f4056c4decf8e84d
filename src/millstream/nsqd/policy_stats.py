"""What `/stats` and `/policy` say of policies: what holds, in the words of the configuration file, and what it did.

`nsqd.stats` puts these records beside its own where a policy applies, and `nsqd.stats_text` prints them.
"""

from dataclasses import dataclass
from typing import Any

from millstream.base.units import format_duration
from millstream.engine.channel import Channel
from millstream.engine.policies import Policy
from millstream.engine.topic import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPolicyStats:
    """Of one topic. Counts since the start: publishes refused, messages dropped and dead-lettered from its backlog."""

    policy: Policy
    refusal: str
    rejected_count: int
    dropped_count: int
    dead_letter_count: int
    retained_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPolicyStats:
    """Of one channel. `dead_letter_pending` waits for its place in the dead-letter topic; it counts as depth too."""

    policy: Policy
    dropped_count: int
    dead_letter_count: int
    dead_letter_pending: int


def of_topic(topic: Topic) -> TopicPolicyStats | None:
    """None when no policy applies to the topic, or kept publishers out of it for one of its channels."""
    limits = topic.limits
    if limits is None or not (limits.policy.is_given or topic.refusal or topic.rejected_count):
        return None
    return TopicPolicyStats(
        policy=limits.policy,
        refusal=topic.refusal,
        rejected_count=topic.rejected_count,
        dropped_count=topic.dropped_count,
        dead_letter_count=topic.dead_letter_count,
        retained_bytes=limits.retained_bytes,
    )


def of_channel(channel: Channel) -> ChannelPolicyStats | None:
    """None when no policy applies."""
    if not channel.policy.is_given:
        return None
    return ChannelPolicyStats(
        policy=channel.policy,
        dropped_count=channel.dropped_count,
        dead_letter_count=channel.dead_letter_count,
        dead_letter_pending=len(channel.doomed),
    )


def policy_json(policy: Policy) -> dict[str, Any]:
    """What holds, by the keys of the configuration file; what is off is left out."""
    found = {
        "max_depth": policy.max_depth,
        "max_bytes": policy.max_bytes,
        "max_age": format_duration(policy.max_age_ns) if policy.max_age_ns else "",
        "overflow": str(policy.overflow) if policy.has_limit else "",
        "retain_age": format_duration(policy.retain_age_ns) if policy.retain_age_ns else "",
        "retain_bytes": policy.retain_bytes,
        "max_attempts": policy.max_attempts,
        "dead_letter_topic": policy.dead_letter_topic,
    }
    return {key: value for key, value in found.items() if value}


def topic_json(stats: TopicPolicyStats | None) -> dict[str, Any]:
    """The keys that a topic has more because of its policy."""
    if stats is None:
        return {}
    found: dict[str, Any] = {"policy": policy_json(stats.policy)}
    if stats.refusal:
        found["refusal"] = stats.refusal
    return found | {
        "rejected_count": stats.rejected_count,
        "dropped_count": stats.dropped_count,
        "dead_letter_count": stats.dead_letter_count,
        "retained_bytes": stats.retained_bytes,
    }


def channel_json(stats: ChannelPolicyStats | None) -> dict[str, Any]:
    """The keys that a channel has more because of its policy."""
    if stats is None:
        return {}
    return {
        "policy": policy_json(stats.policy),
        "dropped_count": stats.dropped_count,
        "dead_letter_count": stats.dead_letter_count,
        "dead_letter_pending": stats.dead_letter_pending,
    }


def topic_text(stats: TopicPolicyStats) -> str:
    """One line."""
    refusal = " REFUSES" if stats.refusal else ""
    return (
        f"policy:{_in_words(stats.policy)} rejected: {stats.rejected_count} dropped: {stats.dropped_count} "
        f"dead: {stats.dead_letter_count} retained: {stats.retained_bytes}{refusal}"
    )


def channel_text(stats: ChannelPolicyStats) -> str:
    """One line."""
    return (
        f"policy:{_in_words(stats.policy)} dropped: {stats.dropped_count} "
        f"dead: {stats.dead_letter_count} pending: {stats.dead_letter_pending}"
    )


def _in_words(policy: Policy) -> str:
    return "".join(f" {key}={value}" for key, value in policy_json(policy).items())
