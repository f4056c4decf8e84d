"""Prints the records of `nsqd.stats` as NSQ's plain text, whose widths scrapers rely on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from millstream.base.options import version_text
from millstream.base.units import format_duration
from millstream.engine.latency import LatencyStats
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.policy_stats import channel_text, topic_text
from millstream.nsqd.stats import MEMORY_NAMES, ChannelStats, NsqdStats, TopicStats, visible_count

_NS_PER_S: Final = 1_000_000_000
_UNITS: Final = ((_NS_PER_S, "s"), (1_000_000, "ms"), (1_000, "us"))


def to_text(stats: NsqdStats, now_ns: int) -> str:
    """NSQ's text at `now_ns` on the wall clock."""
    return "\n".join(_lines(stats, now_ns)) + "\n"


def _lines(stats: NsqdStats, now_ns: int) -> Iterator[str]:
    yield version_text("nsqd")
    yield f"start_time {_rfc3339(stats.start_time_s)}"
    yield f"uptime {format_duration(max(0, now_ns - stats.start_time_s * _NS_PER_S))}"
    yield from ("", f"Health: {stats.health}")
    yield from (f"Damage: {damage.text}" for damage in stats.damage)
    if stats.memory is not None:
        yield from ("", "Memory:")
        for name in MEMORY_NAMES:
            yield f"   {name:<25}\t{getattr(stats.memory, name)}"
    yield ""
    yield "Topics:" if stats.topics else "Topics: None"
    for number, topic in enumerate(stats.topics or ()):
        if number:
            yield ""
        yield _topic_line(topic)
        yield from (f"      damage: {damage.text}" for damage in topic.damage)
        if topic.policy is not None:
            yield f"        {topic_text(topic.policy)}"
        for channel in topic.channels:
            yield _channel_line(channel)
            if channel.policy is not None:
                yield f"        {channel_text(channel.policy)}"
            for client in channel.clients or ():
                yield f"        {_client_line(client, stats.topic, now_ns)}"
    yield ""
    yield "Producers:" if stats.producers else "Producers: None"
    for client in stats.producers or ():
        yield f"   {_client_line(client, stats.topic, now_ns)}"


def _rfc3339(seconds: int) -> str:
    instant = datetime.fromtimestamp(seconds, tz=UTC).astimezone()
    return instant.isoformat().replace("+00:00", "Z")


def _topic_line(topic: TopicStats) -> str:
    return (
        f"{'*P ' if topic.paused else '   '}[{topic.name:<15}] depth: {topic.depth:<5} "
        f"be-depth: {topic.backend_depth:<5} msgs: {topic.message_count:<8} e2e%: {_latencies(topic.latency)}"
    )


def _channel_line(channel: ChannelStats) -> str:
    return (
        f"{'   *P ' if channel.paused else '      '}[{channel.name:<25}] depth: {channel.depth:<5} "
        f"be-depth: {channel.backend_depth:<5} inflt: {channel.in_flight_count:<4} def: {channel.deferred_count:<4} "
        f"re-q: {channel.requeue_count:<5} timeout: {channel.timeout_count:<5} "
        f"msgs: {channel.message_count:<8} e2e%: {_latencies(channel.latency)}"
    )


def _latencies(latency: LatencyStats | None) -> str:
    return "" if latency is None else ", ".join(_short(value_ns) for _, value_ns in latency.percentiles)


def _short(value_ns: int) -> str:
    for unit_ns, unit in _UNITS:
        if value_ns > unit_ns:
            return f"{value_ns / unit_ns:0.1f}{unit}"
    return f"{value_ns:0.1f}ns"


def _client_line(client: ClientStats, asked: str, now_ns: int) -> str:
    port = client.remote_address.rpartition(":")[2]
    name = f"{client.hostname}:{port} {client.user_agent}"
    connected = format_duration(max(0, now_ns // _NS_PER_S - client.connect_ts) * _NS_PER_S)
    count = visible_count(client, asked)
    if count is not None:
        return f"[V2 {name:<21}] msgs: {count[1]:<8} topics: {count[0]}={count[1]} connected: {connected}"
    return (
        f"[V2 {name:<21}] state: {client.state} inflt: {client.in_flight_count:<4} rdy: {client.ready_count:<4} "
        f"fin: {client.finish_count:<8} re-q: {client.requeue_count:<8} msgs: {client.message_count:<8} "
        f"connected: {connected}"
    )
