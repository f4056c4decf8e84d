"""Tells a topic and its channels which policies hold for them: after a start, for what is new, and when they change.

`engine.broker` calls it. What is ephemeral lives in memory only: it is bounded by `--mem-queue-size` when no policy
bounds it, and drops its oldest.
"""

from dataclasses import replace

from millstream.base.clock import Clock
from millstream.engine.channel import Channel
from millstream.engine.dooming import judge_line
from millstream.engine.enforcement import TopicLimits
from millstream.engine.limits import BrokerSettings
from millstream.engine.policies import Overflow, Policy, PolicyBook
from millstream.engine.topic import Topic


def police(topic: Topic, book: PolicyBook, clock: Clock, settings: BrokerSettings) -> None:
    """Set what holds for a topic and for each of its channels, and bring them within it."""
    for channel in topic.channels.values():
        _police_channel(topic, channel, book, settings)
    _police_topic(topic, book, clock, settings)


def police_channel(topic: Topic, channel: Channel, book: PolicyBook, clock: Clock, settings: BrokerSettings) -> None:
    """Set what holds for a channel that is new."""
    _police_channel(topic, channel, book, settings)
    if not channel.policy.is_nothing:
        _police_topic(topic, book, clock, settings)


def _police_topic(topic: Topic, book: PolicyBook, clock: Clock, settings: BrokerSettings) -> None:
    policy = book.of_topic(topic.name)
    if topic.is_ephemeral:
        policy = _bounded(policy, settings)
    if policy.is_nothing and all(channel.policy.is_nothing for channel in topic.channels.values()):
        _lift(topic)
        return
    if topic.limits is None:
        topic.limits = TopicLimits(topic, clock)
    topic.limits.set_policy(policy)
    topic.limits.look()


def _lift(topic: Topic) -> None:
    if topic.limits is not None:
        topic.limits = None
        topic.refuse("")
        topic.log.bound_files(0, 0)


def _police_channel(topic: Topic, channel: Channel, book: PolicyBook, settings: BrokerSettings) -> None:
    policy = book.of_channel(topic.name, channel.name)
    if channel.settings.is_ephemeral or topic.is_ephemeral:
        policy = _bounded(policy, settings)
    if policy != channel.policy:
        channel.policy = policy
        channel.max_attempts = policy.max_attempts
        judge_line(channel)


def _bounded(policy: Policy, settings: BrokerSettings) -> Policy:
    depth_max = policy.max_depth or max(1, settings.mem_queue_size)
    return replace(policy, max_depth=depth_max, overflow=Overflow.DROP_OLDEST)
