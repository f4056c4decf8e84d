from collections.abc import Callable, Sequence
from typing import Protocol

import pytest

from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.testing.clock import FakeClock
from millstream.testing.files import FaultyFiles

ORIGIN = 1000
TIMEOUT_NS = 10 * 10**9
SECOND_NS = 10**9


class Bench(Protocol):
    channel: Channel
    clock: FakeClock
    files: FaultyFiles
    now_ns: int
    counts: tuple[int, int, int]

    def open(self) -> Channel: ...
    def publish(self, count: int, *, delay_ns: int = 0) -> None: ...
    def join(self, ready_count: int, *, number: int = 1, sample_rate: int = 0) -> Consumer: ...
    def deal(self) -> list[tuple[int, int, int]]: ...
    def wait(self, ns: int) -> None: ...


MakeBench = Callable[..., Bench]


def fins(places: Sequence[int]) -> bytearray:
    return bytearray(b"".join(b"FIN %016x\n" % (ORIGIN + place) for place in places))


def test_messages_are_delivered_in_order_with_attempts_1(bench: Bench) -> None:
    bench.join(10)

    bench.publish(3)

    assert bench.deal() == [(1, 0, 1), (1, 1, 1), (1, 2, 1)]
    assert bench.counts == (0, 3, 0)


def test_rdy_is_a_ceiling_on_what_is_in_flight(bench: Bench) -> None:
    consumer = bench.join(2)
    bench.publish(5)

    first = bench.deal()
    again = bench.deal()
    bench.channel.finish(consumer, ORIGIN)

    assert (len(first), len(again)) == (2, 0)
    assert bench.deal() == [(1, 2, 1)]


def test_what_waits_is_divided_evenly_among_those_who_are_ready(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.join(100, number=number)
    bench.publish(9)

    numbers = [number for number, _, _ in bench.deal()]

    assert sorted(numbers) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_single_messages_go_round(bench: Bench) -> None:
    consumers = [bench.join(100, number=number) for number in (1, 2)]
    seen = []

    for _ in range(6):
        bench.publish(1)
        seen += [number for number, _, _ in bench.deal()]

    assert seen.count(1) == seen.count(2) == 3
    assert [consumer.message_count for consumer in consumers] == [3, 3]


def test_a_blocked_consumer_and_a_paused_channel_get_nothing(bench: Bench) -> None:
    consumer = bench.join(10)
    bench.publish(1)
    consumer.is_blocked = True
    blocked = bench.deal()
    consumer.is_blocked = False
    bench.channel.paused = True
    paused = bench.deal()

    bench.channel.paused = False

    assert blocked == paused == []
    assert bench.deal() == [(1, 0, 1)]


def test_a_run_of_fins_ends_at_the_first_that_fails(bench: Bench) -> None:
    consumer = bench.join(10)
    bench.publish(4)
    bench.deal()
    data = fins([0, 1, 9, 2])

    stopped = bench.channel.finish_run(consumer, data, 0, len(data))

    assert stopped == 42
    assert (consumer.in_flight, consumer.finish_count) == (2, 2)
    assert bench.channel.window.floor == ORIGIN + 2
    assert bench.channel.finish_run(consumer, data, 63, len(data)) == len(data)


def test_only_the_holder_can_answer(bench: Bench) -> None:
    holder, other = bench.join(1), bench.join(0, number=2)
    bench.publish(1)
    bench.deal()

    refused = [
        bench.channel.finish(other, ORIGIN),
        bench.channel.requeue(other, ORIGIN, 0),
        bench.channel.requeue(other, ORIGIN, SECOND_NS),
        bench.channel.touch(other, ORIGIN, bench.now_ns),
    ]

    assert refused == [False] * 4
    assert bench.channel.holder_of(ORIGIN) == holder.number
    assert bench.channel.finish(holder, ORIGIN)
    assert bench.channel.holder_of(ORIGIN) == -1
    assert not bench.channel.finish(holder, ORIGIN)


def test_a_requeued_message_comes_again_with_one_more_attempt(bench: Bench) -> None:
    consumer = bench.join(1)
    bench.publish(1)

    for attempts in (1, 2, 3):
        assert bench.deal() == [(1, 0, attempts)]
        assert bench.channel.requeue(consumer, ORIGIN, 0)

    assert bench.counts == (1, 0, 0)
    assert (bench.channel.requeue_count, consumer.requeue_count, consumer.in_flight) == (3, 3, 0)


def test_a_message_requeued_with_a_delay_waits_for_it(bench: Bench) -> None:
    consumer = bench.join(1)
    bench.publish(1)
    bench.deal()

    bench.channel.requeue(consumer, ORIGIN, SECOND_NS)
    deferred = bench.counts
    bench.wait(SECOND_NS - 1)
    early = bench.deal()
    bench.wait(1)

    assert deferred == (0, 0, 1)
    assert early == []
    assert bench.deal() == [(1, 0, 2)]
    assert bench.channel.finish(consumer, ORIGIN)
    assert bench.channel.is_idle


def test_a_message_is_taken_back_at_its_deadline_and_not_before(bench: Bench) -> None:
    consumer = bench.join(1)
    bench.publish(1)
    bench.deal()

    bench.wait(TIMEOUT_NS - 1)
    held = bench.counts
    bench.wait(1)

    assert held == (0, 1, 0)
    assert bench.counts == (1, 0, 0)
    assert (bench.channel.timeout_count, bench.channel.requeue_count, consumer.in_flight) == (1, 0, 0)
    assert bench.deal() == [(1, 0, 2)]


def test_a_touched_message_gets_a_new_deadline(bench: Bench) -> None:
    consumer = bench.join(1)
    bench.publish(1)
    bench.deal()
    bench.wait(TIMEOUT_NS // 2)

    assert bench.channel.touch(consumer, ORIGIN, bench.now_ns)
    bench.wait(TIMEOUT_NS - 1)

    assert bench.counts == (0, 1, 0)
    bench.wait(1)
    assert bench.counts == (1, 0, 0)


def test_a_touch_never_reaches_beyond_the_longest_time(make_bench: MakeBench) -> None:
    bench = make_bench(max_msg_timeout_ns=TIMEOUT_NS + SECOND_NS)
    consumer = bench.join(1)
    bench.publish(1)
    bench.deal()
    bench.wait(TIMEOUT_NS - 1)

    bench.channel.touch(consumer, ORIGIN, bench.now_ns)
    bench.wait(SECOND_NS)

    assert bench.counts == (0, 1, 0)
    bench.wait(1)
    assert bench.counts == (1, 0, 0)


def test_what_a_lost_consumer_held_is_first_in_line_and_in_order(bench: Bench) -> None:
    lost = bench.join(3)
    bench.publish(5)
    bench.deal()

    bench.channel.leave(lost)
    bench.join(10, number=2)

    assert bench.counts == (5, 0, 0)
    assert bench.deal() == [(2, 0, 2), (2, 1, 2), (2, 2, 2), (2, 3, 1), (2, 4, 1)]


def test_a_deferred_publish_is_no_depth_and_comes_when_due(bench: Bench) -> None:
    bench.join(10)
    bench.publish(1)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.publish(1)

    counts = bench.counts
    now = bench.deal()
    bench.wait(SECOND_NS)

    assert counts == (2, 0, 1)
    assert now == [(1, 0, 1), (1, 2, 1)]
    assert bench.deal() == [(1, 1, 1)]


def test_deferred_records_alone_never_pin_the_log(bench: Bench) -> None:
    bench.publish(20, delay_ns=SECOND_NS)

    bench.channel.save()

    assert bench.counts == (0, 0, 20)
    assert bench.channel.progress.saved_floor == ORIGIN + 20


@pytest.mark.shows("nsqd: sampling", "nsqd IDENTIFY sample_rate")
def test_a_sampling_consumer_leaves_messages_out_for_good(make_bench: MakeBench) -> None:
    chances = iter([0.10, 0.90, 0.11, 0.999])
    bench = make_bench(chance=lambda: next(chances))
    consumer = bench.join(10, sample_rate=10)
    bench.publish(4)

    taken = bench.deal()

    assert taken == [(1, 0, 1)]
    assert bench.counts == (0, 1, 0)
    assert (bench.channel.message_count, consumer.message_count) == (4, 1)


def test_what_is_only_passed_over_is_saved_too(make_bench: MakeBench) -> None:
    bench = make_bench(chance=lambda: 0.5)
    bench.join(10, sample_rate=10)
    bench.channel.save()
    bench.publish(3)

    assert bench.deal() == []
    bench.channel.save()

    assert bench.channel.progress.saved_floor == ORIGIN + 3


def test_an_emptied_channel_owes_nothing(bench: Bench) -> None:
    consumer = bench.join(2)
    bench.publish(5)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.deal()

    bench.channel.empty()

    assert bench.counts == (0, 0, 0)
    assert bench.channel.is_idle
    assert consumer.in_flight == 0
    assert not bench.channel.finish(consumer, ORIGIN)
    bench.wait(TIMEOUT_NS)
    assert bench.deal() == []
    bench.publish(1)
    assert bench.deal() == [(1, 6, 1)]


def test_dropped_spans_are_stepped_over(bench: Bench) -> None:
    bench.join(10)
    bench.publish(2)
    bench.channel.drop_range(ORIGIN + 2, ORIGIN + 5)
    bench.publish(5)

    assert bench.counts == (4, 0, 0)
    assert [place for _, place, _ in bench.deal()] == [0, 1, 5, 6]
    assert bench.counts == (0, 4, 0)


def test_a_full_window_makes_room_by_moving_old_messages_out(make_bench: MakeBench) -> None:
    bench = make_bench(window_slots_max=64)
    consumer = bench.join(200)
    bench.publish(150)

    places = {place for _ in range(5) for _, place, _ in bench.deal()}

    assert places == set(range(150))
    assert bench.counts == (0, 150, 0)
    assert len(bench.channel.stragglers) >= 150 - 64
    assert all(bench.channel.finish(consumer, ORIGIN + place) for place in range(150))
    assert bench.channel.is_idle


def test_a_restart_finds_what_was_saved(bench: Bench) -> None:
    consumer = bench.join(4)
    bench.publish(6)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.deal()
    bench.channel.finish(consumer, ORIGIN)
    bench.channel.finish(consumer, ORIGIN + 2)
    bench.channel.requeue(consumer, ORIGIN + 3, 5 * SECOND_NS)
    bench.channel.save()

    bench.open()
    bench.publish(0)
    bench.join(10, number=2)

    assert bench.counts == (3, 0, 2)
    assert bench.deal() == [(2, 1, 2), (2, 4, 1), (2, 5, 1)]
    bench.wait(SECOND_NS)
    assert bench.deal() == [(2, 6, 1)]
    bench.wait(4 * SECOND_NS)
    assert bench.deal() == [(2, 3, 2)]


def test_what_was_not_saved_comes_again(bench: Bench) -> None:
    consumer = bench.join(4)
    bench.publish(2)
    bench.channel.save()
    bench.deal()
    bench.channel.finish(consumer, ORIGIN)

    bench.open()
    bench.publish(0)
    bench.join(4)

    assert bench.deal() == [(1, 0, 1), (1, 1, 1)]


def test_a_journal_that_failed_is_written_whole_by_the_next_save(bench: Bench) -> None:
    consumer = bench.join(4)
    bench.publish(4)
    bench.channel.save()
    bench.deal()
    bench.channel.finish(consumer, ORIGIN + 1)
    bench.channel.requeue(consumer, ORIGIN + 2, SECOND_NS)
    bench.files.fail("write")

    with pytest.raises(StorageError):
        bench.channel.save()
    bench.channel.save()

    bench.open()
    bench.publish(0)
    assert bench.counts == (2, 0, 1)


def test_nothing_is_saved_when_nothing_changed(bench: Bench) -> None:
    bench.publish(1)
    bench.channel.save()
    before = bench.files.change_count

    bench.channel.save()

    assert bench.files.change_count == before


@pytest.mark.shows(
    "nsqd: timeouts and delays are met in time, however many channels",
    better="each when it is due; NSQ looks at a sample of the channels, and at new ones up to 5 seconds late",
)
def test_the_next_event_is_never_later_than_a_deadline_or_a_due_time(bench: Bench) -> None:
    consumer = bench.join(2)
    bench.publish(2)
    bench.deal()
    at_deadline = bench.channel.next_event_ns
    bench.channel.requeue(consumer, ORIGIN, SECOND_NS)

    assert at_deadline <= bench.now_ns + TIMEOUT_NS
    assert bench.channel.next_event_ns <= bench.now_ns + SECOND_NS


def test_more_than_one_turn_can_carry_is_said(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.join(100_000)
    bench.publish(10_000)

    rounds = 0
    total = 0
    while True:
        total += len(bench.deal())
        rounds += 1
        if not bench.channel.has_more:
            break

    assert total == 10_000
    assert rounds > 1


@pytest.mark.shows(
    "nsqd: a requeued message waits behind others",
    better="behind half of what waits: it neither blocks its consumer nor goes last",
)
def test_a_message_that_is_requeued_for_ever_does_not_keep_its_consumer_from_the_others(bench: Bench) -> None:
    consumer = bench.join(1)
    bench.publish(3)
    seen = []
    for _ in range(6):
        bench.deal()
        held = next(s for s in range(ORIGIN, ORIGIN + 3) if bench.channel.holder_of(s) == consumer.number)
        seen.append(held - ORIGIN)
        if held == ORIGIN:
            bench.channel.requeue(consumer, held, 0)
        else:
            bench.channel.finish(consumer, held)

    assert {1, 2} <= set(seen)
