"""`nsqd.stats`: records of a broker's topics, and NSQ's JSON of them."""

from dataclasses import replace
from typing import Any

import pytest

from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.limits import ChannelSettings
from millstream.engine.log import ForgetfulProgress
from millstream.engine.topic import Topic
from millstream.net.tls import TlsFacts
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.stats import (
    MEMORY_NAMES,
    MemoryStats,
    NsqdStats,
    Question,
    collect_memory,
    collect_topics,
    to_json,
    visible_count,
)
from millstream.protocol.chunks import BufferPool, ChunkQueue

CLIENT = ClientStats(
    client_id="id",
    hostname="host",
    remote_address="127.0.0.1:5",
    state=3,
    ready_count=2,
    in_flight_count=1,
    message_count=4,
    finish_count=3,
    requeue_count=0,
    connect_ts=9,
    sample_rate=0,
    user_agent="<a&b>",
    topology_zone="z",
    topology_region="r",
    message_counts={},
)
NSQD = NsqdStats(health="OK", start_time_s=7, topic="", topics=(), memory=None, producers=None)


class StillClock:
    NOW_NS = 10**18

    def wall_ns(self) -> int:
        return self.NOW_NS

    def monotonic_ns(self) -> int:
        return 0


def topic(name: str, *channels: str, paused: bool = False, latency_window_ns: int = 0) -> Topic:
    made = Topic(name, ChunkQueue(BufferPool(), 100), ForgetfulProgress())
    made.paused = paused
    for channel in channels:
        made.add(
            Channel(
                channel,
                made.log,
                ForgetfulProgress(),
                StillClock(),
                lambda: 0.0,
                ChannelSettings(latency_window_ns=latency_window_ns),
                made.moved_seq,
            )
        )
    return made


def publish(to: Topic, *bodies: bytes) -> None:
    for body in bodies:
        to.publish(bytearray(body), 0, len(body), 1)
    to.commit()


def collect(
    topics: list[Topic],
    mem_queue_size: int = 10,
    clients: Any = None,
    percentiles: tuple[float, ...] = (),
    **asked: Any,
) -> Any:
    by_name = {one.name: one for one in topics}
    return collect_topics(by_name, Question(**asked), clients or {}, mem_queue_size, percentiles)


def test_a_topic_without_channels_holds_its_messages_itself() -> None:
    one = topic("t")
    publish(one, b"a", b"bcd")

    (stats,) = collect([one])

    assert (stats.name, stats.depth, stats.message_count, stats.message_bytes) == ("t", 2, 2, 4)


def test_what_lies_beyond_the_memory_queue_is_backend_depth() -> None:
    waiting, moved = topic("t"), topic("u", "c")
    for one in (waiting, moved):
        publish(one, b"a", b"b", b"c")

    stats, (channel,) = collect([waiting, moved], 2)[0], collect([waiting, moved], 2)[1].channels

    assert (stats.depth, stats.backend_depth) == (3, 1)
    assert (channel.depth, channel.backend_depth, channel.message_count) == (3, 1, 3)
    assert collect([waiting], 5)[0].backend_depth == 0


def test_topics_and_channels_are_sorted_by_name() -> None:
    found = collect([topic("b", "y", "x"), topic("a")])

    assert [(one.name, [each.name for each in one.channels]) for one in found] == [("a", []), ("b", ["x", "y"])]


def test_a_channel_counts_the_consumers_that_it_has() -> None:
    one = topic("t", "c")
    channel = one.channels["c"]
    channel.join(Consumer(1, 10**9))
    channel.paused = True

    ((with_clients,),) = [found.channels for found in collect([one], clients={channel: [CLIENT]})]
    ((without,),) = [found.channels for found in collect([one], clients={channel: [CLIENT]}, include_clients=False)]

    assert (with_clients.client_count, with_clients.clients, with_clients.paused) == (1, (CLIENT,), True)
    assert (without.client_count, without.clients) == (1, None)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"topic": "a"}, ["a"]),
        ({"topic": "none"}, None),
        ({"channel": "c"}, ["a"]),
        ({"topic": "b", "channel": "c"}, []),
    ],
)
def test_filters_leave_out_what_was_not_asked_for(asked: dict[str, Any], names: list[str] | None) -> None:
    found = collect([topic("a", "c", "d"), topic("b", "d")], **asked)

    assert (found and [one.name for one in found]) == names if names else found == (None if names is None else ())


@pytest.mark.shows(
    "nsqd /stats memory.heap_objects",
    "nsqd /stats memory.heap_in_use_bytes",
    "nsqd /stats memory.gc_total_runs",
    better="of Python's runtime: blocks in use, memory in RAM, collections",
)
@pytest.mark.shows(
    "nsqd /stats memory.heap_idle_bytes",
    "nsqd /stats memory.heap_released_bytes",
    "nsqd /stats memory.gc_pause_usec_100",
    "nsqd /stats memory.gc_pause_usec_99",
    "nsqd /stats memory.gc_pause_usec_95",
    "nsqd /stats memory.next_gc_bytes",
    absent="always 0: Python's runtime has no such figure",
)
def test_memory_is_told_as_far_as_this_runtime_knows_it() -> None:
    memory = collect_memory()

    assert min(memory.heap_objects, memory.heap_in_use_bytes, memory.gc_total_runs) > 0
    known = {"heap_objects", "heap_in_use_bytes", "gc_total_runs"}
    assert {name for name in MEMORY_NAMES if getattr(memory, name)} == known


def test_the_json_has_nsqs_keys_in_nsqs_order() -> None:
    one = topic("t", "c")
    found = to_json(replace(NSQD, topics=collect([one], clients={one.channels["c"]: [CLIENT]}), memory=MemoryStats()))

    assert list(found) == ["version", "health", "start_time", "topics", "memory", "producers"]
    assert list(found["memory"]) == list(MEMORY_NAMES)
    assert list(found["topics"][0]) == [
        "topic_name",
        "channels",
        "depth",
        "backend_depth",
        "message_count",
        "message_bytes",
        "paused",
        "e2e_processing_latency",
    ]
    assert list(found["topics"][0]["channels"][0]) == [
        "channel_name",
        "depth",
        "backend_depth",
        "in_flight_count",
        "deferred_count",
        "message_count",
        "requeue_count",
        "timeout_count",
        "client_count",
        "clients",
        "paused",
        "e2e_processing_latency",
    ]
    assert list(found["topics"][0]["channels"][0]["clients"][0]) == [
        "client_id",
        "hostname",
        "version",
        "remote_address",
        "state",
        "ready_count",
        "in_flight_count",
        "message_count",
        "finish_count",
        "requeue_count",
        "connect_ts",
        "sample_rate",
        "deflate",
        "snappy",
        "user_agent",
        "topology_zone",
        "topology_region",
        "tls",
        "tls_cipher_suite",
        "tls_version",
        "tls_negotiated_protocol",
        "tls_negotiated_protocol_is_mutual",
    ]


def test_what_was_not_asked_for_is_null_or_left_out() -> None:
    found = to_json(replace(NSQD, topics=None))

    assert (found["topics"], found["producers"]) == (None, None)
    assert "memory" not in found
    assert to_json(replace(NSQD, producers=()))["producers"] is None


def test_a_producer_shows_the_topic_that_was_asked_for() -> None:
    producer = replace(CLIENT, message_counts={"a": 1, "b": 2})

    assert visible_count(producer, "b") == ("b", 2)
    assert visible_count(producer, "") == ("a", 1)
    assert visible_count(producer, "c") is None
    assert visible_count(CLIENT, "") is None
    found = to_json(replace(NSQD, producers=(producer,), topic="b"))
    assert found["producers"][0]["pub_counts"] == [{"topic": "b", "count": 2}]
    assert "pub_counts" not in to_json(replace(NSQD, producers=(producer,), topic="c"))["producers"][0]


def test_a_client_shows_what_its_connection_was_upgraded_to() -> None:
    secured = replace(CLIENT, tls=TlsFacts("TLS1.2", "Unknown 49196", "h2"), snappy=True, message_counts={"t": 1})

    (plain,) = to_json(replace(NSQD, producers=(CLIENT,)))["producers"]
    (shown,) = to_json(replace(NSQD, producers=(secured,)))["producers"]

    names = ("tls", "tls_cipher_suite", "tls_version", "tls_negotiated_protocol", "tls_negotiated_protocol_is_mutual")
    assert [plain[name] for name in names] == [False, "", "", "", False]
    assert [shown[name] for name in names] == [True, "Unknown 49196", "TLS1.2", "h2", True]
    assert (plain["snappy"], shown["snappy"], shown["deflate"]) == (False, True, False)


def test_latency_that_nobody_asked_for_is_empty() -> None:
    (stats,) = collect([topic("t", "c")])

    found = to_json(replace(NSQD, topics=(stats,)))["topics"][0]

    nothing = {"count": 0, "percentiles": None}
    assert (found["e2e_processing_latency"], found["channels"][0]["e2e_processing_latency"]) == (nothing, nothing)


def test_the_latency_of_a_topic_is_that_of_all_its_channels() -> None:
    one = topic("t", "c", "d", latency_window_ns=10**12)
    for name, latencies_ns in (("c", (1, 2, 3)), ("d", (100,))):
        for latency_ns in latencies_ns:
            measured = one.channels[name].latency
            assert measured is not None
            measured.finished_at(StillClock.NOW_NS - latency_ns)

    (stats,) = collect([one], percentiles=(1.0, 0.5), channel="c")

    found = to_json(replace(NSQD, topics=(stats,)))["topics"][0]
    assert found["e2e_processing_latency"] == {
        "count": 4,
        "percentiles": [{"quantile": 1, "value": 100}, {"quantile": 0.5, "value": 2}],
    }
    assert [each["e2e_processing_latency"] for each in found["channels"]] == [
        {"count": 3, "percentiles": [{"quantile": 1, "value": 3}, {"quantile": 0.5, "value": 2}]}
    ]
