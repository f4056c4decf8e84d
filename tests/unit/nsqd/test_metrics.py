"""`nsqd.metrics` on a real socket, read with Prometheus' own parser."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from millstream.base.exposition import CONTENT_TYPE
from millstream.base.version import VERSION
from millstream.engine.policies import PolicyEntry

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"


class Scrape:
    """One answer of `/metrics`; samples by name and label values."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in self.families.values()
            for sample in family.samples
        }


async def scrape(one: Any) -> Scrape:
    status, headers, body = await one.exchange("GET", "/metrics")
    assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
    return Scrape(body.decode())


async def test_an_nsqd_without_topics_speaks_of_itself(start: Any) -> None:
    async with start() as one:
        found = await scrape(one)

    assert found.values["nsqd_healthy",] == 1
    assert found.values["nsqd_start_time_seconds",] == one.host.start_time_s
    assert found.values["nsqd_data_path_size_bytes",] > found.values["nsqd_data_path_free_bytes",] > 0
    assert found.values["process_resident_memory_bytes",] > 1 << 20
    assert found.values["process_open_fds",] > 3
    assert found.families["nsqd_build_info"].samples[0].labels["version"] == VERSION
    assert not [name for name in found.families if name.startswith(("nsqd_topic", "nsqd_channel", "nsqd_fsync"))]


@pytest.mark.shows("nsqd GET /metrics", beyond="statistics for Prometheus, listed in metrics.md")
async def test_topics_and_channels_have_their_figures(start: Any) -> None:
    async with start(msg_timeout_ms=1_000) as one:
        await one.ask("POST", "/mpub?topic=quiet", b"a\nbcd")
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        peer = await one.connect()
        peer.subscribe("t", "c", ready=3)
        await peer.text()
        await one.ask("POST", "/mpub?topic=t", b"1\n2\n3\n4\n5")
        held = [await peer.message() for _ in range(3)]
        peer.send(b"FIN %s\n" % held[0][0], b"REQ %s 60000\n" % held[1][0])
        await peer.message()
        await peer.message()
        one.clock.move_s(2.5)
        await one.until(lambda: one.host.broker.topics["t"].channels["c"].timeout_count == 3)
        peer.send(b"RDY 0\n")
        found = await scrape(one)

    values = found.values
    assert values["nsqd_topic_depth", "quiet"] == 2
    assert values["nsqd_topic_message_bytes_total", "quiet"] == 4
    assert values["nsqd_topic_oldest_message_age_seconds", "quiet"] == 2.5
    assert values["nsqd_topic_log_bytes", "quiet"] > 60
    assert (values["nsqd_topic_depth", "t"], values["nsqd_topic_oldest_message_age_seconds", "t"]) == (0, 0)
    assert values["nsqd_topic_messages_total", "t"] == values["nsqd_channel_messages_total", "t", "c"] == 5
    assert values["nsqd_channel_depth", "t", "c"] + values["nsqd_channel_in_flight", "t", "c"] == 3
    assert values["nsqd_channel_deferred", "t", "c"] == values["nsqd_channel_requeues_total", "t", "c"] == 1
    assert values["nsqd_channel_timeouts_total", "t", "c"] == 3
    assert values["nsqd_channel_consumers", "t", "c"] == values["nsqd_connections",] == 1


async def test_the_age_of_what_waits_grows_and_ends_with_it(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        await one.ask("POST", "/pub?topic=t", b"x")
        ages = []
        for _ in range(2):
            one.clock.move_s(1.5)
            ages.append((await scrape(one)).values["nsqd_channel_oldest_message_age_seconds", "t", "c"])
        await one.ask("POST", "/channel/empty?topic=t&channel=c")
        ages.append((await scrape(one)).values["nsqd_channel_oldest_message_age_seconds", "t", "c"])

    assert ages == [1.5, 3.0, 0.0]


async def test_pauses_are_seen(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        before = (await scrape(one)).values
        await one.ask("POST", "/topic/pause?topic=t")
        await one.ask("POST", "/channel/pause?topic=t&channel=c")
        after = (await scrape(one)).values

    assert (before["nsqd_topic_paused", "t"], before["nsqd_channel_paused", "t", "c"]) == (0, 0)
    assert (after["nsqd_topic_paused", "t"], after["nsqd_channel_paused", "t", "c"]) == (1, 1)


async def test_end_to_end_latency_is_a_summary_when_percentiles_were_asked_for(start: Any) -> None:
    async with start(e2e_processing_latency_percentile=(0.5, 1.0)) as one:
        peer = await one.connect()
        peer.subscribe("t", "c", ready=1)
        await peer.text()
        empty = await scrape(one)
        await one.ask("POST", "/pub?topic=t", b"x")
        message_id, _, _ = await peer.message()
        one.clock.move_s(2)
        peer.send(b"FIN %s\n" % message_id)
        channel = one.host.broker.topics["t"].channels["c"]
        await one.until(lambda: channel.in_flight_count == 0)
        found = await scrape(one)

    name = "nsqd_channel_e2e_latency_seconds"
    assert found.families[name].type == "summary"
    assert [found.values[name, "t", "c", fraction] for fraction in ("0.5", "1.0")] == [2.0, 2.0]
    assert (found.values[f"{name}_sum", "t", "c"], found.values[f"{name}_count", "t", "c"]) == (2.0, 1)
    assert str(empty.values[name, "t", "c", "0.5"]) == "nan"


async def test_publishes_that_a_full_disk_refused_are_counted(start: Any) -> None:
    async with start() as one:
        await one.ask("POST", "/pub?topic=t", b"x")
        one.disk.is_full = True
        assert (await one.ask("POST", "/pub?topic=t", b"x"))[0] == 503
        peer = await one.connect()
        peer.publish("t", b"x")
        assert (await peer.text()).startswith("E_PUB_FAILED")
        found = (await scrape(one)).values
        one.disk.is_full = False

    assert (found["nsqd_publish_failures_total",], found["nsqd_healthy",]) == (2, 0)


async def test_syncs_are_measured_where_there_are_any(start: Any) -> None:
    async with start(durability="fsync") as one:
        await one.ask("POST", "/pub?topic=t", b"x")
        found = await scrape(one)

    assert found.families["nsqd_fsync_duration_seconds"].type == "histogram"
    assert found.values["nsqd_fsync_duration_seconds_count",] >= 1


async def test_the_page_lists_every_metric(start: Any, tmp_path: Path) -> None:
    (tmp_path / "nsqd.dat.bad").touch()
    policy = (PolicyEntry(topic="*", max_depth=9),)
    async with start(durability="fsync", e2e_processing_latency_percentile=(0.5,), policy=policy) as one:
        await one.ask("POST", "/topic/create?topic=t")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        found = await scrape(one)

    listed = {line.split("`")[1] for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")}
    # The parser takes the ending of counters off.
    named = {name + "_total" * (family.type == "counter") for name, family in found.families.items()}
    assert named == listed
