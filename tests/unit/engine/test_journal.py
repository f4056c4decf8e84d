from collections.abc import Callable
from typing import Protocol

from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.journal import forget, note_all, note_changes
from millstream.storage.progress import Progress
from millstream.testing.clock import FakeClock
from millstream.testing.files import FaultyFiles

ORIGIN = 1000
SECOND_NS = 10**9


class Bench(Protocol):
    channel: Channel
    clock: FakeClock
    files: FaultyFiles
    counts: tuple[int, int, int]

    def open(self) -> Channel: ...
    def publish(self, count: int, *, delay_ns: int = 0) -> None: ...
    def join(self, ready_count: int, *, number: int = 1, sample_rate: int = 0) -> Consumer: ...
    def deal(self) -> list[tuple[int, int, int]]: ...


MakeBench = Callable[..., Bench]


def reread(bench: Bench) -> Channel:
    bench.channel.progress.flush()
    return bench.open()


def busy(bench: Bench) -> Consumer:
    """0 and 3 are finished, 1 was requeued twice, 2 and 4 are in flight, 5 is deferred, 6 was never delivered."""
    consumer = bench.join(5)
    bench.publish(5)
    bench.deal()
    bench.publish(1, delay_ns=SECOND_NS)
    for place in (0, 3):
        bench.channel.finish(consumer, ORIGIN + place)
    for _ in range(2):
        bench.channel.requeue(consumer, ORIGIN + 1, 0)
        consumer.ready_count = consumer.in_flight + 1
        bench.deal()
    bench.publish(1)
    return consumer


def check_restored(bench: Bench) -> None:
    assert bench.counts[2] == 1
    assert bench.channel.window.floor == ORIGIN + 1
    assert list(bench.channel.redelivery) == [ORIGIN + 1, ORIGIN + 2, ORIGIN + 4]
    assert [bench.channel.window.attempts_of(ORIGIN + place) for place in (1, 2, 4)] == [3, 1, 1]
    row = bench.channel.stragglers.table.get(ORIGIN + 5)
    assert row is not None
    assert row.due_ns == bench.clock.monotonic_ns() + SECOND_NS


def test_changes_are_enough_for_a_restart(bench: Bench) -> None:
    busy(bench)

    note_changes(bench.channel)
    reread(bench)

    check_restored(bench)


def test_a_snapshot_alone_is_enough_for_a_restart(bench: Bench) -> None:
    busy(bench)
    note_changes(bench.channel)
    bench.channel.progress.flush()

    note_all(bench.channel)
    reread(bench)

    check_restored(bench)


def test_changes_behind_a_snapshot_are_kept_too(bench: Bench) -> None:
    consumer = busy(bench)
    note_all(bench.channel)
    bench.channel.progress.flush()
    bench.channel.finish(consumer, ORIGIN + 1)
    bench.channel.finish(consumer, ORIGIN + 4)

    note_changes(bench.channel)
    reread(bench)

    assert list(bench.channel.redelivery) == [ORIGIN + 2]


def test_a_channel_that_was_emptied_stays_empty(bench: Bench) -> None:
    busy(bench)
    bench.channel.save()
    bench.channel.empty()

    forget(bench.channel)
    reread(bench)

    assert bench.channel.is_idle


def test_dropped_spans_survive_a_snapshot(bench: Bench) -> None:
    bench.publish(1)
    bench.channel.drop_range(ORIGIN + 1, ORIGIN + 3)
    bench.publish(3)

    note_all(bench.channel)
    reread(bench)
    bench.publish(0)
    bench.join(10)

    assert [place for _, place, _ in bench.deal()] == [0, 3]


def test_a_deferred_message_whose_time_passed_meanwhile_is_delivered_at_once(bench: Bench) -> None:
    bench.publish(1, delay_ns=SECOND_NS)
    note_changes(bench.channel)
    bench.channel.progress.flush()
    bench.clock.advance(ns=SECOND_NS)

    bench.open()
    bench.publish(0)
    bench.join(1)

    assert bench.counts == (1, 0, 0)
    assert bench.deal() == [(1, 0, 1)]


def test_a_wall_clock_that_jumps_delays_nothing_in_a_running_process(bench: Bench) -> None:
    bench.publish(1, delay_ns=SECOND_NS)
    bench.clock.jump_wall(ms=-3_600_000)
    bench.clock.advance(ns=SECOND_NS)

    bench.channel.tick(bench.clock.monotonic_ns())

    assert bench.counts == (1, 0, 0)


def test_a_window_larger_than_its_cap_is_restored_whole(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.join(500)
    bench.publish(500)
    bench.deal()
    note_changes(bench.channel)
    bench.channel.progress.flush()
    assert isinstance(bench.channel.progress, Progress)

    bench.channel.settings = type(bench.channel.settings)(window_slots_max=64)
    reopened = bench.open()

    assert reopened.window.unfinished == 500
    assert len(reopened.redelivery) == 500
