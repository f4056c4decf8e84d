"""End-to-end latency: samples on FIN, over a window of two halves."""

from collections.abc import Callable
from typing import Any

import pytest

from millstream.engine.latency import Latencies, LatencyStats, merged, timestamp_of
from millstream.protocol.chunks import BufferPool, ChunkQueue
from millstream.testing.clock import FakeClock

ORIGIN = 1000
SECOND_NS = 10**9
WINDOW_NS = 100 * SECOND_NS


def fins(*places: int) -> bytearray:
    return bytearray(b"".join(b"FIN %016x\n" % (ORIGIN + place) for place in places))


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    return make_bench(latency_window_ns=WINDOW_NS)


def stats(bench: Any, *fractions: float) -> LatencyStats:
    return merged((bench.channel.latency,), fractions)


def test_a_channel_that_was_not_asked_measures_nothing(make_bench: Callable[..., Any]) -> None:
    assert make_bench().channel.latency is None


def test_a_finished_message_counts_from_its_publish_to_its_fin(bench: Any) -> None:
    consumer = bench.join(10)
    bench.publish(1)
    bench.clock.advance(ns=2 * SECOND_NS)
    bench.deal()
    bench.clock.advance(ns=3 * SECOND_NS)

    bench.channel.finish(consumer, ORIGIN)

    assert stats(bench, 0.5) == LatencyStats(
        count=1, percentiles=((0.5, 5 * SECOND_NS),), total_ns=5 * SECOND_NS, total_count=1
    )


def test_a_run_of_fins_counts_each(bench: Any) -> None:
    consumer = bench.join(10)
    for _ in range(4):
        bench.publish(1)
        bench.clock.advance(ns=SECOND_NS)
    bench.deal()
    data = fins(0, 1, 2, 3)

    bench.channel.finish_run(consumer, data, 0, len(data))

    found = stats(bench, 1.0, 0.5)
    assert (found.count, found.total_ns) == (4, 10 * SECOND_NS)
    assert [value for _, value in found.percentiles] == pytest.approx([4 * SECOND_NS, 2 * SECOND_NS], rel=0.01)


def test_fins_that_fail_do_not_count(bench: Any) -> None:
    consumer = bench.join(10)
    bench.publish(2)
    bench.deal()
    data = fins(0, 7, 1)

    bench.channel.finish_run(consumer, data, 0, len(data))
    bench.channel.finish(consumer, ORIGIN)

    assert stats(bench).count == 1


def test_a_message_that_was_deferred_counts_from_its_publish_too(bench: Any) -> None:
    consumer = bench.join(10)
    bench.publish(1, delay_ns=6 * SECOND_NS)
    bench.wait(6 * SECOND_NS)
    bench.deal()
    bench.clock.advance(ns=SECOND_NS)

    bench.channel.finish(consumer, ORIGIN)

    assert stats(bench, 1.0).percentiles == ((1.0, 7 * SECOND_NS),)


def test_a_wall_clock_set_back_makes_no_negative_latency(bench: Any) -> None:
    latencies = bench.channel.latency

    latencies.finished_at(bench.clock.wall_ns() + SECOND_NS)

    assert stats(bench, 1.0) == LatencyStats(count=1, percentiles=((1.0, 0),), total_ns=0, total_count=1)


def sample(latencies: Latencies, clock: FakeClock, latency_ns: int) -> None:
    latencies.finished_at(clock.wall_ns() - latency_ns)


def test_the_window_forgets_by_halves() -> None:
    clock = FakeClock()
    latencies = Latencies(clock, WINDOW_NS)
    counts = []
    for latency_ns in (1, 2, 3):
        sample(latencies, clock, latency_ns)
        counts.append(merged((latencies,), [1.0]).percentiles[0][1])
        clock.advance(ns=WINDOW_NS // 2)

    found = merged((latencies,), [0.01, 1.0])

    assert counts == [1, 2, 3]
    assert (found.count, found.percentiles) == (1, ((0.01, 3), (1.0, 3)))
    assert (found.total_ns, found.total_count) == (6, 3)


def test_after_a_long_silence_nothing_is_left() -> None:
    clock = FakeClock()
    latencies = Latencies(clock, WINDOW_NS)
    sample(latencies, clock, 5)
    clock.advance(ns=100 * WINDOW_NS)

    assert merged((latencies,), [0.5]).percentiles == ((0.5, 0),)
    sample(latencies, clock, 6)
    assert merged((latencies,), [0.5]).percentiles == ((0.5, 6),)


def test_several_channels_are_one_figure() -> None:
    clock = FakeClock()
    one, other = Latencies(clock, WINDOW_NS), Latencies(clock, WINDOW_NS)
    for latency_ns in (1, 2, 3):
        sample(one, clock, latency_ns)
    sample(other, clock, 40)

    found = merged((one, other), [0.5, 1.0])

    assert found == LatencyStats(count=4, percentiles=((0.5, 2), (1.0, 40)), total_ns=46, total_count=4)


def test_what_is_not_in_the_log_has_no_timestamp() -> None:
    log = ChunkQueue(BufferPool(), ORIGIN)
    assert timestamp_of(log, ORIGIN) is None

    log.append(bytearray(b"x"), 0, 1, 77)

    assert timestamp_of(log, ORIGIN) == 77
    assert timestamp_of(log, ORIGIN - 1) is None
    assert timestamp_of(log, ORIGIN + 1) is None
