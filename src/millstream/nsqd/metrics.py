"""`/metrics`: what Prometheus scrapes of one nsqd.

`nsqd.http` routes the request here; the figures are read from the broker and the host at that moment. The names are
listed in docs/metrics.md.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from millstream.base.exposition import CONTENT_TYPE, NO_LABELS, Exposition, Labels
from millstream.base.system import open_descriptors, resident_bytes
from millstream.base.version import NSQ_VERSION, VERSION
from millstream.engine.channel import Channel
from millstream.engine.latency import merged
from millstream.engine.oldest import OldestMessages
from millstream.engine.topic import Topic
from millstream.net.http import Request, Response
from millstream.nsqd import policy_stats
from millstream.nsqd.host import Host
from millstream.nsqd.policy_stats import ChannelPolicyStats, TopicPolicyStats
from millstream.storage.log import Log

_NS_PER_S: Final = 1_000_000_000

# Name, help, and how to read it.
TOPIC_GAUGES: Final[tuple[tuple[str, str, Callable[[Topic], int]], ...]] = (
    ("nsqd_topic_depth", "Messages that no channel was given yet.", lambda topic: topic.depth),
    ("nsqd_topic_paused", "1 while the topic is paused.", lambda topic: int(topic.paused)),
)
TOPIC_COUNTERS: Final[tuple[tuple[str, str, Callable[[Topic], int]], ...]] = (
    ("nsqd_topic_messages_total", "Messages accepted.", lambda topic: topic.message_count),
    ("nsqd_topic_message_bytes_total", "Bytes of the bodies accepted.", lambda topic: topic.message_bytes),
)
CHANNEL_GAUGES: Final[tuple[tuple[str, str, Callable[[Channel], int]], ...]] = (
    ("nsqd_channel_depth", "Messages that wait for a delivery.", lambda channel: channel.depth),
    ("nsqd_channel_in_flight", "Messages that consumers hold.", lambda channel: channel.in_flight_count),
    ("nsqd_channel_deferred", "Messages that wait for their time.", lambda channel: channel.deferred_count),
    ("nsqd_channel_consumers", "Clients that subscribe.", lambda channel: len(channel.consumers)),
    ("nsqd_channel_paused", "1 while the channel is paused.", lambda channel: int(channel.paused)),
)
CHANNEL_COUNTERS: Final[tuple[tuple[str, str, Callable[[Channel], int]], ...]] = (
    ("nsqd_channel_messages_total", "Messages received from the topic.", lambda channel: channel.message_count),
    ("nsqd_channel_requeues_total", "Messages requeued by consumers.", lambda channel: channel.requeue_count),
    (
        "nsqd_channel_lost_messages_total",
        "Messages that cannot be delivered: what the disk has of them is gone or spoilt.",
        lambda channel: channel.stragglers.lost_count,
    ),
    ("nsqd_channel_timeouts_total", "Messages not answered in time.", lambda channel: channel.timeout_count),
)
# Of topics and channels to which a policy applies.
TOPIC_POLICY_COUNTERS: Final[tuple[tuple[str, str, Callable[[TopicPolicyStats], int]], ...]] = (
    ("nsqd_topic_rejected_total", "Publishes refused because of a limit.", lambda stats: stats.rejected_count),
    ("nsqd_topic_dropped_total", "Messages dropped before a channel was given them.", lambda s: s.dropped_count),
    ("nsqd_topic_dead_letters_total", "Dead letters of what no channel was given.", lambda s: s.dead_letter_count),
)
TOPIC_POLICY_GAUGES: Final[tuple[tuple[str, str, Callable[[TopicPolicyStats], int]], ...]] = (
    ("nsqd_topic_refuses", "1 while publishers are refused because of a limit.", lambda s: int(bool(s.refusal))),
    ("nsqd_topic_retained_bytes", "Bytes of finished messages in the log.", lambda stats: stats.retained_bytes),
)
CHANNEL_POLICY_COUNTERS: Final[tuple[tuple[str, str, Callable[[ChannelPolicyStats], int]], ...]] = (
    ("nsqd_channel_dropped_total", "Messages dropped because of a limit.", lambda stats: stats.dropped_count),
    ("nsqd_channel_dead_letters_total", "Messages dead-lettered.", lambda stats: stats.dead_letter_count),
)
CHANNEL_POLICY_GAUGES: Final[tuple[tuple[str, str, Callable[[ChannelPolicyStats], int]], ...]] = (
    (
        "nsqd_channel_dead_letters_pending",
        "Messages that wait for their place in the dead-letter topic.",
        lambda stats: stats.dead_letter_pending,
    ),
)


class MetricsApi:
    """The endpoint of one nsqd."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._oldest = OldestMessages()

    def show(self, _request: Request) -> Response:
        """Everything, in Prometheus' text format."""
        out = Exposition()
        self._process(out)
        topics = [({"topic": name}, topic) for name, topic in sorted(self._host.broker.topics.items())]
        channels = [
            ({**labels, "channel": name}, channel)
            for labels, topic in topics
            for name, channel in sorted(topic.channels.items())
        ]
        self._topics(out, topics)
        self._channels(out, channels)
        return Response(200, out.encode(), CONTENT_TYPE)

    def _process(self, out: Exposition) -> None:
        host = self._host
        python = ".".join(map(str, sys.version_info[:3]))
        build = {"version": VERSION, "nsq_version": NSQ_VERSION, "python": python}
        out.gauge("nsqd_build_info", "What runs here; always 1.", [(build, 1)])
        out.gauge("nsqd_healthy", "0 while something cannot be written or read.", _one(int(host.health == "OK")))
        out.gauge("nsqd_start_time_seconds", "When nsqd started, in Unix time.", _one(host.start_time_s))
        out.gauge("nsqd_connections", "TCP clients.", _one(len(host.sessions)))
        out.counter(
            "nsqd_publish_failures_total", "Publishes that the log could not take.", _one(host.publish_failures)
        )
        refused = [
            ({"limit": "connections"}, host.gate.refused_connections),
            ({"limit": "rate"}, host.gate.refused_rate),
        ]
        out.counter("nsqd_connections_refused_total", "Connections beyond a limit of their address.", refused)
        unauthorized = host.tokens.refused if host.tokens is not None else 0
        out.counter("nsqd_http_unauthorized_total", "HTTP requests without a token of the file.", _one(unauthorized))
        out.histogram("nsqd_loop_lag_seconds", "How late the ticks of the event loop come.", host.loop_lag_s)
        sync_durations_s = host.turn.sync_durations_s
        if sync_durations_s is not None:
            out.histogram("nsqd_fsync_duration_seconds", "How long one round of syncs takes.", sync_durations_s)
        out.gauge("nsqd_data_path_free_bytes", "Free on the disk of the data path.", _one(host.disk.free_bytes))
        out.gauge("nsqd_data_path_size_bytes", "Size of the disk of the data path.", _one(host.disk.total_bytes))
        out.gauge("nsqd_disk_low", "1 while less is free than --disk-warn-free.", _one(int(host.disk.is_low)))
        out.gauge("nsqd_disk_refusing", "1 while publishes are refused for it.", _one(int(host.disk.is_refusing)))
        out.gauge("process_resident_memory_bytes", "Memory of the process in RAM.", _one(resident_bytes()))
        out.gauge("process_open_fds", "Open files and sockets.", _one(open_descriptors()))

    def _topics(self, out: Exposition, topics: Sequence[tuple[Labels, Topic]]) -> None:
        for name, text, read in TOPIC_GAUGES:
            out.gauge(name, text, [(labels, read(topic)) for labels, topic in topics])
        for name, text, read in TOPIC_COUNTERS:
            out.counter(name, text, [(labels, read(topic)) for labels, topic in topics])
        out.gauge(
            "nsqd_topic_log_bytes",
            "What the log takes on the disk.",
            [(labels, topic.log.size_bytes) for labels, topic in topics if isinstance(topic.log, Log)],
        )
        failures = self._host.turn.troubles.failures
        out.counter(
            "nsqd_topic_write_failures_total",
            "Writes of the log and of journals that failed.",
            [(labels, failures(labels["topic"])) for labels, _ in topics],
        )
        damage = [({"topic": name}, found) for name, found in sorted(self._host.damage.by_topic.items())]
        out.gauge(
            "nsqd_damage",
            "What was found damaged and is not acknowledged, of topics and (without one) of the data path.",
            [
                ({**labels, "kind": kind}, count)
                for labels, found in damage
                for kind, count in sorted(Counter(one.kind for one in found).items())
            ],
        )
        limited = [(labels, stats) for labels, topic in topics if (stats := policy_stats.of_topic(topic)) is not None]
        for name, text, read_policy in TOPIC_POLICY_COUNTERS:
            out.counter(name, text, [(labels, read_policy(stats)) for labels, stats in limited])
        for name, text, read_policy in TOPIC_POLICY_GAUGES:
            out.gauge(name, text, [(labels, read_policy(stats)) for labels, stats in limited])
        self._oldest.begin()
        out.gauge(
            "nsqd_topic_oldest_message_age_seconds",
            "Age of the oldest message that no channel was given yet; 0 when there is none.",
            self._ages((labels, self._oldest.of_topic(topic)) for labels, topic in topics),
        )

    def _channels(self, out: Exposition, channels: Sequence[tuple[Labels, Channel]]) -> None:
        for name, text, read in CHANNEL_GAUGES:
            out.gauge(name, text, [(labels, read(channel)) for labels, channel in channels])
        for name, text, read in CHANNEL_COUNTERS:
            out.counter(name, text, [(labels, read(channel)) for labels, channel in channels])
        found = [(labels, each) for labels, one in channels if (each := policy_stats.of_channel(one)) is not None]
        for name, text, read_policy in CHANNEL_POLICY_COUNTERS:
            out.counter(name, text, [(labels, read_policy(stats)) for labels, stats in found])
        for name, text, read_policy in CHANNEL_POLICY_GAUGES:
            out.gauge(name, text, [(labels, read_policy(stats)) for labels, stats in found])
        out.gauge(
            "nsqd_channel_oldest_message_age_seconds",
            "Age of the oldest message that waits for a delivery; 0 when there is none.",
            self._ages((labels, self._oldest.of_channel(channel)) for labels, channel in channels),
        )
        out.summary("nsqd_channel_e2e_latency_seconds", "Time from publish to FIN.", self._latencies(channels))

    def _ages(self, found: Iterator[tuple[Labels, int | None]]) -> Iterator[tuple[Labels, float]]:
        now_ns = self._host.clock.wall_ns()
        for labels, timestamp_ns in found:
            if timestamp_ns is not None:
                yield labels, max(0, now_ns - timestamp_ns) / _NS_PER_S if timestamp_ns else 0.0

    def _latencies(
        self, channels: Sequence[tuple[Labels, Channel]]
    ) -> Iterator[tuple[Labels, list[tuple[float, float]], float, int]]:
        for labels, channel in channels:
            if channel.latency is None:
                continue
            found = merged((channel.latency,), self._host.options.e2e_processing_latency_percentile)
            # Of nothing there is no percentile, which Prometheus calls NaN.
            quantiles = [
                (fraction, value / _NS_PER_S if found.count else float("nan"))
                for fraction, value in reversed(found.percentiles)
            ]
            yield labels, quantiles, found.total_ns / _NS_PER_S, found.total_count


def _one(value: float) -> list[tuple[Labels, float]]:
    return [(NO_LABELS, value)]
