"""`nsqd.statsd`: NSQ's names, types, order and packets."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from millstream.base.system import host_name
from millstream.engine.latency import LatencyStats
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.stats import ChannelStats, MemoryStats, TopicStats
from millstream.nsqd.statsd import Report, packets, statsd_prefix

LATENCY = LatencyStats(count=3, percentiles=((1.0, 900), (0.999, 800), (0.5, 70)), total_ns=1, total_count=3)
CHANNEL = ChannelStats(
    name="c",
    depth=1,
    backend_depth=2,
    in_flight_count=3,
    deferred_count=4,
    message_count=5,
    requeue_count=6,
    timeout_count=7,
    client_count=8,
    clients=None,
    paused=False,
)
TOPIC = TopicStats(
    name="t", channels=(CHANNEL,), depth=9, backend_depth=10, message_count=11, message_bytes=12, paused=False
)


def report(prefix: str = "nsq.h.", *, exclude_ephemeral: bool = False) -> Report:
    return Report(prefix, exclude_ephemeral=exclude_ephemeral)


@pytest.mark.shows(
    "nsqd statsd topic.*.message_count",
    "nsqd statsd topic.*.message_bytes",
    "nsqd statsd topic.*.depth",
    "nsqd statsd topic.*.backend_depth",
    "nsqd statsd topic.*.channel.*.message_count",
    "nsqd statsd topic.*.channel.*.depth",
    "nsqd statsd topic.*.channel.*.backend_depth",
    "nsqd statsd topic.*.channel.*.in_flight_count",
    "nsqd statsd topic.*.channel.*.deferred_count",
    "nsqd statsd topic.*.channel.*.requeue_count",
    "nsqd statsd topic.*.channel.*.timeout_count",
    "nsqd statsd topic.*.channel.*.clients",
)
def test_a_topic_comes_before_its_channels_each_in_nsqs_order() -> None:
    assert report().lines([TOPIC], None) == [
        "nsq.h.topic.t.message_count:11|c\n",
        "nsq.h.topic.t.message_bytes:12|c\n",
        "nsq.h.topic.t.depth:9|g\n",
        "nsq.h.topic.t.backend_depth:10|g\n",
        "nsq.h.topic.t.channel.c.message_count:5|c\n",
        "nsq.h.topic.t.channel.c.depth:1|g\n",
        "nsq.h.topic.t.channel.c.backend_depth:2|g\n",
        "nsq.h.topic.t.channel.c.in_flight_count:3|g\n",
        "nsq.h.topic.t.channel.c.deferred_count:4|g\n",
        "nsq.h.topic.t.channel.c.requeue_count:6|c\n",
        "nsq.h.topic.t.channel.c.timeout_count:7|c\n",
        "nsq.h.topic.t.channel.c.clients:8|g\n",
    ]


@pytest.mark.shows(
    "nsqd statsd topic.*.e2e_processing_latency_*", "nsqd statsd topic.*.channel.*.e2e_processing_latency_*"
)
def test_percentiles_stand_last_and_lose_their_decimals() -> None:
    topic = replace(TOPIC, latency=LATENCY, channels=(replace(CHANNEL, latency=LATENCY),))

    found = report("").lines([topic], None)

    names = ["e2e_processing_latency_100:900|g\n", "e2e_processing_latency_100:800|g\n"]
    names.append("e2e_processing_latency_50:70|g\n")
    assert found[4:7] == [f"topic.t.{name}" for name in names]
    assert found[-3:] == [f"topic.t.channel.c.{name}" for name in names]


@pytest.mark.shows(
    "nsqd statsd mem.heap_objects",
    "nsqd statsd mem.heap_in_use_bytes",
    "nsqd statsd mem.gc_runs",
    better="of Python's runtime: blocks in use, memory in RAM, collections",
)
@pytest.mark.shows(
    "nsqd statsd mem.heap_idle_bytes",
    "nsqd statsd mem.heap_released_bytes",
    "nsqd statsd mem.gc_pause_usec_100",
    "nsqd statsd mem.gc_pause_usec_99",
    "nsqd statsd mem.gc_pause_usec_95",
    "nsqd statsd mem.next_gc_bytes",
    absent="always 0: Python's runtime has no such figure",
)
def test_memory_comes_last_and_its_collections_are_counted() -> None:
    one = report("")

    first = one.lines([], MemoryStats(heap_objects=1, heap_in_use_bytes=3, gc_total_runs=9))
    second = one.lines([], MemoryStats(gc_total_runs=11))

    assert first == [
        "mem.heap_objects:1|g\n",
        "mem.heap_idle_bytes:0|g\n",
        "mem.heap_in_use_bytes:3|g\n",
        "mem.heap_released_bytes:0|g\n",
        "mem.gc_pause_usec_100:0|g\n",
        "mem.gc_pause_usec_99:0|g\n",
        "mem.gc_pause_usec_95:0|g\n",
        "mem.next_gc_bytes:0|g\n",
        "mem.gc_runs:9|c\n",
    ]
    assert second[-1] == "mem.gc_runs:2|c\n"


@pytest.mark.shows("nsqd: statsd: counters go as what was added since")
def test_counters_go_as_what_was_added_since() -> None:
    one = report("")
    one.lines([TOPIC], None)

    found = one.lines([replace(TOPIC, message_count=15, channels=(replace(CHANNEL, timeout_count=17),))], None)

    assert found[:3] == ["topic.t.message_count:4|c\n", "topic.t.message_bytes:0|c\n", "topic.t.depth:9|g\n"]
    assert found[-2:] == ["topic.t.channel.c.timeout_count:10|c\n", "topic.t.channel.c.clients:8|g\n"]


def test_a_topic_that_was_made_again_counts_from_nothing() -> None:
    one = report("")
    one.lines([TOPIC], None)
    assert one.lines([replace(TOPIC, message_count=2)], None)[0] == "topic.t.message_count:2|c\n"

    one.lines([], None)

    assert one.lines([replace(TOPIC, message_count=12)], None)[0] == "topic.t.message_count:12|c\n"


@pytest.mark.shows("nsqd --statsd-exclude-ephemeral")
def test_what_is_ephemeral_can_be_left_out() -> None:
    ephemeral = replace(TOPIC, name="u#ephemeral")
    mixed = replace(TOPIC, channels=(replace(CHANNEL, name="d#ephemeral"), CHANNEL))

    everything = report("").lines([ephemeral, mixed], None)
    lasting = report("", exclude_ephemeral=True).lines([ephemeral, mixed], None)

    assert everything[0] == "topic.u#ephemeral.message_count:11|c\n"
    assert "topic.t.channel.d#ephemeral.depth:1|g\n" in everything
    assert lasting == report("").lines([TOPIC], None)


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({"broadcast_address": "127.0.0.1"}, "nsq.127_0_0_1_4151."),
        ({"broadcast_address": "127.0.0.1", "broadcast_http_port": 80}, "nsq.127_0_0_1_80."),
        ({"broadcast_address": "a.b", "statsd_prefix": "%s.x.%s"}, "a_b_4151.x.a_b_4151."),
        ({"broadcast_address": "::1"}, "nsq.[__1]_4151."),
        ({"statsd_prefix": "plain"}, "plain."),
        ({"statsd_prefix": "dotted."}, "dotted."),
        ({"statsd_prefix": ""}, ""),
        ({}, f"nsq.{host_name().replace('.', '_')}_4151."),
    ],
)
@pytest.mark.shows("nsqd --statsd-prefix", "nsqd: statsd: the prefix names this nsqd")
def test_the_prefix_names_this_nsqd(options: dict[str, Any], prefix: str) -> None:
    assert statsd_prefix(DaemonOptions(**options), 4151) == prefix


@pytest.mark.shows("nsqd: statsd: datagrams of whole lines, spread over the interval", "nsqd --statsd-udp-packet-size")
def test_lines_fill_packets_and_are_never_split() -> None:
    lines = ["aaaa\n", "bbbb\n", "cc\n", "a line that is too long\n", "d\n"]

    assert packets(lines, 10) == [b"aaaa\nbbbb\n", b"cc\n", b"a line that is too long\n", b"d\n"]
    assert packets(lines, 500) == ["".join(lines).encode()]
    assert packets([], 10) == []


@contextmanager
def receiver(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((host, 0))
        made.setblocking(False)
        yield made


async def received(one: socket.socket, is_last: Callable[[str], bool]) -> list[str]:
    packets_seen: list[str] = []
    async with asyncio.timeout(20):
        while not packets_seen or not is_last(packets_seen[-1]):
            packets_seen.append((await asyncio.get_running_loop().sock_recv(one, 65_536)).decode())
    return packets_seen


@pytest.mark.shows("nsqd: statsd: an interval of a second or less", better="works; NSQ's daemon ends")
async def test_the_daemon_pushes_at_every_interval(start: Any) -> None:
    with receiver() as statsd:
        port = statsd.getsockname()[1]
        async with start(
            statsd_address=f"127.0.0.1:{port}",
            statsd_interval_ms=20,
            statsd_udp_packet_size=200,
            broadcast_address="me",
            broadcast_http_port=7,
        ) as one:
            await one.ask("POST", "/pub?topic=t", b"hello")
            seen = await received(statsd, lambda packet: "message_count:1|c" in packet)
            rest = seen[-1:] + await received(statsd, lambda packet: "gc_runs" in packet)
            again = await received(statsd, lambda packet: "message_count" in packet)

    assert all(len(packet) <= 200 and packet.endswith("\n") for packet in seen + rest + again)
    assert "".join(rest).startswith("nsq.me_7.topic.t.message_count:1|c\nnsq.me_7.topic.t.message_bytes:5|c\n")
    assert again[-1].startswith("nsq.me_7.topic.t.message_count:0|c\n")


@pytest.mark.shows("nsqd --statsd-mem-stats")
async def test_memory_can_be_left_out(start: Any) -> None:
    with receiver() as statsd:
        port = statsd.getsockname()[1]
        async with start(
            statsd_address=f"127.0.0.1:{port}", statsd_interval_ms=20, statsd_mem_stats=False, statsd_prefix=""
        ) as one:
            await one.ask("POST", "/topic/create?topic=t")
            (packet,) = await received(statsd, lambda _: True)

    assert packet == (
        "topic.t.message_count:0|c\ntopic.t.message_bytes:0|c\ntopic.t.depth:0|g\ntopic.t.backend_depth:0|g\n"
    )


async def test_a_statsd_may_have_an_address_of_ipv6(start: Any) -> None:
    try:
        with receiver("::1"):
            pass
    except OSError as error:
        pytest.skip(f"no IPv6 here - {error}")
    with receiver("::1") as statsd:
        async with start(statsd_address=f"[::1]:{statsd.getsockname()[1]}", statsd_interval_ms=20):
            assert await received(statsd, lambda packet: "gc_runs" in packet)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:1"])
async def test_a_statsd_that_is_not_there_does_no_harm(start: Any, address: str) -> None:
    async with start(statsd_address=address, statsd_interval_ms=1) as one:
        for _ in range(10):
            assert (await one.ask("GET", "/ping")) == (200, b"OK")


async def test_the_prefix_is_shown_with_its_address(start: Any) -> None:
    async with start(broadcast_address="a.b", broadcast_http_port=9) as one:
        assert await one.ask("GET", "/config/statsd_prefix") == (200, b"nsq.a_b_9.")
