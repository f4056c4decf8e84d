"""Pushes the statistics of nsqd to a statsd over UDP, under NSQ's names.

`nsqd.service` runs it as a task of the daemon's group when there is a `--statsd-address`, and cancels it at the stop.
The figures are those of `/stats`; counters go as what was added since the last push.
"""

import asyncio
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from millstream.base.log import get_logger
from millstream.base.system import host_name
from millstream.base.units import Address, parse_address
from millstream.engine.latency import LatencyStats
from millstream.net.resolver import places_of
from millstream.nsqd.host import Host
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.stats import (
    MEMORY_NAMES,
    ChannelStats,
    MemoryStats,
    Question,
    TopicStats,
    collect_memory,
    collect_topics,
)
from millstream.protocol.names import is_ephemeral

log = get_logger(__name__)

# Datagrams are spread over the interval but for this last part, so that one push ends before the next begins.
_REST_S: Final = 1.0
_GC_RUNS: Final = "gc_total_runs"


def statsd_prefix(options: DaemonOptions, http_port: int) -> str:
    """What every name begins with: `nsq.127_0_0_1_4151.` by default; empty when the option is."""
    if not options.statsd_prefix:
        return ""
    address = Address(options.broadcast_address or host_name(), options.broadcast_http_port or http_port)
    prefix = options.statsd_prefix.replace("%s", str(address).replace(".", "_").replace(":", "_"))
    return prefix if prefix.endswith(".") else prefix + "."


class Report:
    """Turns snapshots into statsd's lines; remembers the last one, because counters go as differences."""

    def __init__(self, prefix: str, *, exclude_ephemeral: bool) -> None:
        self._prefix = prefix
        self._exclude_ephemeral = exclude_ephemeral
        self._totals: dict[str, int] = {}
        self._last_totals: Mapping[str, int] = {}

    def lines(self, topics: Sequence[TopicStats], memory: MemoryStats | None) -> list[str]:
        """Everything to say of one snapshot, each line with its newline. The first counters are totals."""
        self._totals = {}
        found: list[str] = []
        for topic in topics:
            if not self._is_left_out(topic.name):
                found += self._topic(topic)
        if memory is not None:
            found += [self._gauge(f"mem.{name}", getattr(memory, name)) for name in MEMORY_NAMES if name != _GC_RUNS]
            found.append(self._count("mem.gc_runs", memory.gc_total_runs))
        # What is gone is forgotten with it: a topic of the same name begins at nothing.
        self._last_totals = self._totals
        return found

    def _is_left_out(self, name: str) -> bool:
        return self._exclude_ephemeral and is_ephemeral(name)

    def _topic(self, topic: TopicStats) -> Iterator[str]:
        key = f"topic.{topic.name}"
        yield self._count(f"{key}.message_count", topic.message_count)
        yield self._count(f"{key}.message_bytes", topic.message_bytes)
        yield self._gauge(f"{key}.depth", topic.depth)
        yield self._gauge(f"{key}.backend_depth", topic.backend_depth)
        yield from self._latency(key, topic.latency)
        for channel in topic.channels:
            if not self._is_left_out(channel.name):
                yield from self._channel(f"{key}.channel.{channel.name}", channel)

    def _channel(self, key: str, channel: ChannelStats) -> Iterator[str]:
        yield self._count(f"{key}.message_count", channel.message_count)
        yield self._gauge(f"{key}.depth", channel.depth)
        yield self._gauge(f"{key}.backend_depth", channel.backend_depth)
        yield self._gauge(f"{key}.in_flight_count", channel.in_flight_count)
        yield self._gauge(f"{key}.deferred_count", channel.deferred_count)
        yield self._count(f"{key}.requeue_count", channel.requeue_count)
        yield self._count(f"{key}.timeout_count", channel.timeout_count)
        yield self._gauge(f"{key}.clients", channel.client_count)
        yield from self._latency(key, channel.latency)

    def _latency(self, key: str, latency: LatencyStats | None) -> Iterator[str]:
        # As in NSQ 0.999 becomes 100.
        for fraction, value_ns in latency.percentiles if latency is not None else ():
            yield self._gauge(f"{key}.e2e_processing_latency_{fraction * 100:.0f}", value_ns)

    def _count(self, key: str, total: int) -> str:
        last = self._last_totals.get(key, 0)
        self._totals[key] = total
        # Less than before: it was deleted and made again in between.
        return f"{self._prefix}{key}:{total - last if total >= last else total}|c\n"

    def _gauge(self, key: str, value: int) -> str:
        return f"{self._prefix}{key}:{value}|g\n"


def packets(lines: Iterable[str], size_bytes_max: int) -> list[bytes]:
    """Lines in as few datagrams as their order allows; one that is too long by itself goes alone."""
    found: list[bytes] = []
    packet = b""
    for line in lines:
        encoded = line.encode()
        if packet and len(packet) + len(encoded) > size_bytes_max:
            found.append(packet)
            packet = b""
        packet += encoded
    if packet:
        found.append(packet)
    return found


class Statsd:
    """One push per interval, until the task that runs it is cancelled. What is lost on the way is nobody's concern."""

    def __init__(self, host: Host, prefix: str) -> None:
        self._host = host
        self._address = parse_address(host.options.statsd_address)
        self._interval_s = host.options.statsd_interval_ms / 1_000
        self._report = Report(prefix, exclude_ephemeral=host.options.statsd_exclude_ephemeral)

    async def run(self) -> None:
        """Push for as long as the daemon lives."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + self._interval_s, loop.time())
            await asyncio.sleep(due_s - loop.time())
            try:
                await self._push()
            except (OSError, UnicodeError) as error:
                # An unknown host or one out of reach, mostly; the next push looks it up again.
                log.warning("statsd.push_failed", address=self._address, error=error)

    async def _push(self) -> None:
        place, *_ = await places_of(self._address, socket.SOCK_DGRAM)
        # Not a transport: uvloop forgets one whose making is cancelled. Not connected: a connected socket would drop a
        # datagram to report that an earlier one was refused.
        with socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            found = packets(self._lines(), self._host.options.statsd_udp_packet_size)
            pause_s = max(0.0, self._interval_s - _REST_S) / max(1, len(found))
            for packet in found:
                with suppress(BlockingIOError):
                    sender.sendto(packet, place)
                await asyncio.sleep(pause_s)

    def _lines(self) -> list[str]:
        options = self._host.options
        topics = collect_topics(
            self._host.broker.topics,
            Question(include_clients=False),
            {},
            options.mem_queue_size,
            options.e2e_processing_latency_percentile,
        )
        return self._report.lines(topics or (), collect_memory() if options.statsd_mem_stats else None)
