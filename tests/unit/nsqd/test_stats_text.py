"""`nsqd.stats_text`: widths and words that scrapers look for."""

from dataclasses import replace

import pytest

from millstream.base.options import version_text
from millstream.engine.latency import LatencyStats
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.stats import ChannelStats, MemoryStats, NsqdStats, TopicStats
from millstream.nsqd.stats_text import to_text

CLIENT = ClientStats(
    client_id="id",
    hostname="host",
    remote_address="127.0.0.1:50123",
    state=3,
    ready_count=2,
    in_flight_count=1,
    message_count=4,
    finish_count=3,
    requeue_count=0,
    connect_ts=1_000,
    sample_rate=0,
    user_agent="a/1",
    topology_zone="",
    topology_region="",
    message_counts={},
)
CHANNEL = ChannelStats(
    name="c",
    depth=1,
    backend_depth=0,
    in_flight_count=2,
    deferred_count=3,
    message_count=4,
    requeue_count=5,
    timeout_count=6,
    client_count=1,
    clients=(CLIENT,),
    paused=False,
)
TOPIC = TopicStats(
    name="t", channels=(CHANNEL,), depth=7, backend_depth=8, message_count=9, message_bytes=0, paused=False
)
NSQD = NsqdStats(health="OK", start_time_s=1_000, topic="", topics=(), memory=None, producers=())
NOW_NS = 1_090_500_000_000


def lines(stats: NsqdStats) -> list[str]:
    return to_text(stats, NOW_NS).split("\n")


def test_an_nsqd_without_topics_says_none() -> None:
    found = lines(NSQD)

    assert found[0] == version_text("nsqd")
    assert found[1].startswith("start_time 19")
    assert found[2:] == ["uptime 1m30.5s", "", "Health: OK", "", "Topics: None", "", "Producers: None", ""]
    assert lines(replace(NSQD, topics=None, producers=None)) == found


def test_memory_is_a_table_of_nine() -> None:
    found = lines(replace(NSQD, memory=MemoryStats(heap_objects=12)))

    assert found[6] == "Memory:"
    assert found[7] == "   heap_objects             \t12"
    assert found[15] == "   gc_total_runs            \t0"


def test_topics_stand_apart_and_channels_below_them() -> None:
    found = lines(replace(NSQD, topics=(TOPIC, replace(TOPIC, name="u", channels=()))))

    assert found[6:11] == [
        "Topics:",
        "   [t              ] depth: 7     be-depth: 8     msgs: 9        e2e%: ",
        (
            "      [c                        ] depth: 1     be-depth: 0     inflt: 2    def: 3    re-q: 5     "
            "timeout: 6     msgs: 4        e2e%: "
        ),
        (
            "        [V2 host:50123 a/1       ] state: 3 inflt: 1    rdy: 2    fin: 3        re-q: 0        "
            "msgs: 4        connected: 1m30s"
        ),
        "",
    ]
    assert found[11].startswith("   [u ")


def test_what_is_paused_is_marked() -> None:
    paused = replace(TOPIC, paused=True, channels=(replace(CHANNEL, paused=True, clients=None),))

    found = lines(replace(NSQD, topics=(paused,)))

    assert found[7].startswith("*P [t ")
    assert found[8].startswith("   *P [c ")
    assert found[9:] == ["", "Producers: None", ""]


def test_a_producer_shows_what_it_published() -> None:
    producer = replace(CLIENT, message_counts={"t": 12, "u": 1})

    assert lines(replace(NSQD, producers=(producer,)))[-3:] == [
        "Producers:",
        "   [V2 host:50123 a/1       ] msgs: 12       topics: t=12 connected: 1m30s",
        "",
    ]
    assert "state: 3" in lines(replace(NSQD, topic="v", producers=(producer,)))[-2]


def test_a_clock_that_was_set_back_shows_no_negative_time() -> None:
    found = to_text(replace(NSQD, producers=(CLIENT,)), 0)

    assert "uptime 0s\n" in found
    assert "connected: 0s\n" in found


@pytest.mark.parametrize(
    ("values_ns", "text"),
    [
        ((), ""),
        ((0,), "0.0ns"),
        ((1_000, 1_001), "1000.0ns, 1.0us"),
        ((1_000_000, 1_250_000), "1000.0us, 1.2ms"),
        ((1_000_000_000, 90_500_000_000), "1000.0ms, 90.5s"),
    ],
)
def test_percentiles_have_a_unit_that_fits(values_ns: tuple[int, ...], text: str) -> None:
    percentiles = tuple((0.5, value) for value in values_ns)
    latency = LatencyStats(count=1, percentiles=percentiles, total_ns=0, total_count=1)
    channel = replace(CHANNEL, latency=latency, clients=())

    found = lines(replace(NSQD, topics=(replace(TOPIC, latency=latency, channels=(channel,)),)))

    assert [line.partition("e2e%: ")[2] for line in found[7:9]] == [text, text]
