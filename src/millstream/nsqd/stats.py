"""What `/stats` says, as frozen records taken at one moment, and as NSQ's JSON.

`nsqd.http` collects from the broker and the sessions; `nsqd.stats_text` prints the same records for people. Nothing
here changes anything.
"""

import gc
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from millstream.base.system import resident_bytes
from millstream.base.version import NSQ_VERSION
from millstream.engine.channel import Channel
from millstream.engine.latency import Latencies, LatencyStats, merged
from millstream.engine.nearness import served
from millstream.engine.replaying import left_to_replay
from millstream.engine.topic import Topic
from millstream.nsqd import policy_stats
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.policy_stats import ChannelPolicyStats, TopicPolicyStats
from millstream.storage.damage import Damage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStats:
    """One channel; `clients` is None when they were not asked for, `latency` when it is not measured."""

    name: str
    depth: int
    backend_depth: int
    in_flight_count: int
    deferred_count: int
    message_count: int
    requeue_count: int
    timeout_count: int
    client_count: int
    clients: tuple[ClientStats, ...] | None
    paused: bool
    latency: LatencyStats | None = None
    replay_depth: int = 0
    """Messages of the log that a replay has still to add to `depth`; shown while there are any."""
    served: tuple[int, ...] = ()
    """With topology-aware consumption: messages given to consumers in nsqd's zone, in its region, and elsewhere."""
    policy: ChannelPolicyStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicStats:
    """One topic and those of its channels that were asked for; its `latency` is that of all its channels together."""

    name: str
    channels: tuple[ChannelStats, ...]
    depth: int
    backend_depth: int
    message_count: int
    message_bytes: int
    paused: bool
    latency: LatencyStats | None = None
    damage: tuple[Damage, ...] = ()
    policy: TopicPolicyStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """NSQ's figures of its runtime as far as this one has them; the rest is 0."""

    heap_objects: int = 0
    heap_idle_bytes: int = 0
    heap_in_use_bytes: int = 0
    heap_released_bytes: int = 0
    gc_pause_usec_100: int = 0
    gc_pause_usec_99: int = 0
    gc_pause_usec_95: int = 0
    next_gc_bytes: int = 0
    gc_total_runs: int = 0


SERVED_NAMES: Final = ("zone_local_msg_count", "region_local_msg_count", "global_msg_count")
MEMORY_NAMES: Final = tuple(field.name for field in fields(MemoryStats))


@dataclass(frozen=True, slots=True, kw_only=True)
class NsqdStats:
    """One nsqd. `topics` is None when the one asked for does not exist, `producers` when clients were not asked for.

    `topic` is the one asked for, or empty: of several topics that a client publishes to, `/stats` shows that one.
    """

    health: str
    start_time_s: int
    topic: str
    topics: tuple[TopicStats, ...] | None
    memory: MemoryStats | None
    producers: tuple[ClientStats, ...] | None
    damage: tuple[Damage, ...] = ()
    """What is damaged of the data path itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a request wants to know; an empty name is no filter."""

    topic: str = ""
    channel: str = ""
    include_clients: bool = True
    include_memory: bool = True


def collect_topics(
    topics: Mapping[str, Topic],
    question: Question,
    clients: Mapping[Channel, Sequence[ClientStats]],
    mem_queue_size: int,
    percentiles: Sequence[float] = (),
    damage_of: Callable[[str], Sequence[Damage]] = lambda _topic: (),
) -> tuple[TopicStats, ...] | None:
    """The topics asked for, by name. `clients` says who subscribes to a channel, `damage_of` what a topic has lost.

    `percentiles` of end-to-end latency are those that the process was asked for.
    """
    if question.topic and question.topic not in topics:
        return None
    found: list[TopicStats] = []
    for name in [question.topic] if question.topic else sorted(topics):
        topic = topics[name]
        if question.channel and question.channel not in topic.channels:
            continue
        names = [question.channel] if question.channel else sorted(topic.channels)
        channels = [topic.channels[channel_name] for channel_name in names]
        found.append(
            TopicStats(
                name=name,
                channels=tuple(
                    _channel_stats(
                        channel,
                        tuple(clients.get(channel, ())) if question.include_clients else None,
                        mem_queue_size,
                        percentiles,
                    )
                    for channel in channels
                ),
                depth=topic.depth,
                backend_depth=max(0, topic.depth - mem_queue_size),
                message_count=topic.message_count,
                message_bytes=topic.message_bytes,
                paused=topic.paused,
                latency=_latency_stats(topic.channels.values(), percentiles),
                damage=tuple(damage_of(name)),
                policy=policy_stats.of_topic(topic),
            )
        )
    return tuple(found)


def _channel_stats(
    channel: Channel, clients: tuple[ClientStats, ...] | None, mem_queue_size: int, percentiles: Sequence[float]
) -> ChannelStats:
    return ChannelStats(
        name=channel.name,
        depth=channel.depth,
        backend_depth=max(0, channel.depth - mem_queue_size),
        in_flight_count=channel.in_flight_count,
        deferred_count=channel.deferred_count,
        message_count=channel.message_count,
        requeue_count=channel.requeue_count,
        timeout_count=channel.timeout_count,
        client_count=len(channel.consumers),
        clients=clients,
        paused=channel.paused,
        latency=_latency_stats((channel,), percentiles),
        replay_depth=left_to_replay(channel),
        served=tuple(served(channel.consumers, channel.served_before)[: len(SERVED_NAMES)]),
        policy=policy_stats.of_channel(channel),
    )


def _latency_stats(channels: Iterable[Channel], percentiles: Sequence[float]) -> LatencyStats | None:
    measured: list[Latencies] = [channel.latency for channel in channels if channel.latency is not None]
    return merged(measured, percentiles) if measured else None


def collect_memory() -> MemoryStats:
    """The runtime of this process, now."""
    return MemoryStats(
        heap_objects=sys.getallocatedblocks(),
        heap_in_use_bytes=resident_bytes(),
        gc_total_runs=sum(generation["collections"] for generation in gc.get_stats()),
    )


def visible_count(client: ClientStats, topic: str) -> tuple[str, int] | None:
    """The one topic that is shown of those a client published to: the one asked for, or else its first."""
    if topic:
        return (topic, client.message_counts[topic]) if topic in client.message_counts else None
    return next(iter(client.message_counts.items()), None)


def to_json(stats: NsqdStats) -> dict[str, Any]:
    """NSQ's JSON, keys in NSQ's order."""
    found: dict[str, Any] = {
        "version": NSQ_VERSION,
        "health": stats.health,
        "start_time": stats.start_time_s,
        "topics": None if stats.topics is None else [_topic_json(topic, stats.topic) for topic in stats.topics],
    }
    if stats.memory is not None:
        found["memory"] = {name: getattr(stats.memory, name) for name in MEMORY_NAMES}
    found["producers"] = _clients_json(stats.producers, stats.topic) if stats.producers else None
    return found | _damage_json(stats.damage)


def _damage_json(damage: Iterable[Damage]) -> dict[str, Any]:
    """A key that is there only when something is damaged: NSQ knows none."""
    found = [{"kind": one.kind, "text": one.text, "set_aside": one.mark if one.is_aside else None} for one in damage]
    return {"damage": found} if found else {}


def _latency_json(latency: LatencyStats | None) -> dict[str, Any]:
    if latency is None:
        return {"count": 0, "percentiles": None}
    return {
        "count": latency.count,
        # As Go writes a float: 1, not 1.0.
        "percentiles": [
            {"quantile": int(fraction) if fraction == 1 else fraction, "value": value}
            for fraction, value in latency.percentiles
        ],
    }


def _topic_json(topic: TopicStats, asked: str) -> dict[str, Any]:
    return {
        "topic_name": topic.name,
        "channels": [_channel_json(channel, asked) for channel in topic.channels],
        "depth": topic.depth,
        "backend_depth": topic.backend_depth,
        "message_count": topic.message_count,
        "message_bytes": topic.message_bytes,
        "paused": topic.paused,
        "e2e_processing_latency": _latency_json(topic.latency),
        **_damage_json(topic.damage),
        **policy_stats.topic_json(topic.policy),
    }


def _channel_json(channel: ChannelStats, asked: str) -> dict[str, Any]:
    return {
        "channel_name": channel.name,
        "depth": channel.depth,
        "backend_depth": channel.backend_depth,
        "in_flight_count": channel.in_flight_count,
        "deferred_count": channel.deferred_count,
        **({"replay_depth": channel.replay_depth} if channel.replay_depth else {}),
        "message_count": channel.message_count,
        **{name: count for name, count in zip(SERVED_NAMES, channel.served, strict=False) if count},
        "requeue_count": channel.requeue_count,
        "timeout_count": channel.timeout_count,
        "client_count": channel.client_count,
        "clients": None if channel.clients is None else _clients_json(channel.clients, asked),
        "paused": channel.paused,
        "e2e_processing_latency": _latency_json(channel.latency),
        **policy_stats.channel_json(channel.policy),
    }


def _clients_json(clients: Iterable[ClientStats], asked: str) -> list[dict[str, Any]]:
    return [_client_json(client, asked) for client in clients]


def _client_json(client: ClientStats, asked: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "client_id": client.client_id,
        "hostname": client.hostname,
        "version": "V2",
        "remote_address": client.remote_address,
        "state": client.state,
        "ready_count": client.ready_count,
        "in_flight_count": client.in_flight_count,
        "message_count": client.message_count,
        "finish_count": client.finish_count,
        "requeue_count": client.requeue_count,
        "connect_ts": client.connect_ts,
        "sample_rate": client.sample_rate,
        "deflate": client.deflate,
        "snappy": client.snappy,
        "user_agent": client.user_agent,
    }
    granted = client.granted
    if granted is not None:
        found["authed"] = True
        found |= {"auth_identity": granted.identity} if granted.identity else {}
        found |= {"auth_identity_url": granted.identity_url} if granted.identity_url else {}
    found |= {"topology_zone": client.topology_zone, "topology_region": client.topology_region}
    count = visible_count(client, asked)
    if count is not None:
        found["pub_counts"] = [{"topic": count[0], "count": count[1]}]
    return found | {
        "tls": client.tls is not None,
        "tls_cipher_suite": client.tls.cipher_suite if client.tls else "",
        "tls_version": client.tls.version if client.tls else "",
        "tls_negotiated_protocol": client.tls.negotiated_protocol if client.tls else "",
        # Go says so of every TLS connection.
        "tls_negotiated_protocol_is_mutual": client.tls is not None,
    }
