"""The oldest that wait leave the line, one way or the other; what is in flight or deferred stays where it is."""

from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.engine.dooming import Doom
from millstream.engine.shedding import finish_waiting, shed_first, shed_older, waits_fresh

ORIGIN = 1000
SECOND_NS = 10**9
ALL = 1 << 30
DOOM = Doom("max_depth", 1)


def places(bench: Any) -> list[int]:
    return [place for _, place, _ in bench.deal()]


def doomed(bench: Any) -> list[int]:
    return [sequence - ORIGIN for sequence in bench.channel.doomed]


def test_what_is_dropped_is_counted_and_finished(bench: Any) -> None:
    bench.publish(10)

    shed_first(bench.channel, 7, None)

    assert (bench.counts, bench.channel.dropped_count) == ((3, 0, 0), 7)
    bench.join(10)
    assert places(bench) == [7, 8, 9]
    bench.channel.save()
    assert bench.channel.window.floor == ORIGIN + 7


def test_what_was_requeued_goes_first_and_what_is_in_flight_stays(bench: Any) -> None:
    consumer = bench.join(4)
    bench.publish(8)
    bench.deal()
    for place in (1, 2):
        bench.channel.requeue(consumer, ORIGIN + place, 0)

    shed_first(bench.channel, 3, None)

    assert bench.counts == (3, 2, 0)
    assert places(bench) == [5, 6]
    assert bench.channel.finish(consumer, ORIGIN)
    assert bench.channel.finish(consumer, ORIGIN + 3)


def test_more_than_there_is_is_all_there_is(bench: Any) -> None:
    bench.publish(2)

    shed_first(bench.channel, 5, None)

    assert (bench.counts, bench.channel.dropped_count) == ((0, 0, 0), 2)


def test_deferred_messages_and_holes_are_not_counted(bench: Any) -> None:
    bench.publish(2)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.publish(4)
    finish_waiting(bench.channel, [ORIGIN + 4])

    shed_first(bench.channel, 3, None)

    assert (bench.counts, bench.channel.dropped_count) == ((2, 0, 1), 3)
    bench.join(10)
    assert places(bench) == [5, 6]


def test_the_doomed_wait_aside_as_never_delivered(bench: Any) -> None:
    bench.publish(3)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.publish(3)
    finish_waiting(bench.channel, [ORIGIN + 1])

    shed_first(bench.channel, 3, DOOM)

    assert doomed(bench) == [0, 2, 4]
    assert (bench.counts, bench.channel.dropped_count) == ((5, 0, 1), 0)
    bench.join(10)
    assert places(bench) == [5, 6]


def test_a_restart_delivers_what_was_doomed_as_if_for_the_first_time(bench: Any) -> None:
    bench.publish(4)
    shed_first(bench.channel, 2, DOOM)
    bench.channel.save()

    channel = bench.open()
    bench.channel.see(ORIGIN + 4)
    bench.join(10)

    assert channel.depth == 4
    assert sorted(bench.deal()) == [(1, place, 1) for place in range(4)]


def test_a_rewritten_journal_knows_that_they_were_never_delivered(bench: Any) -> None:
    bench.publish(3)
    bench.files.fail("write")
    shed_first(bench.channel, 2, DOOM)
    with pytest.raises(StorageError):
        bench.channel.save()
    bench.channel.save()

    bench.open()
    bench.join(10)

    assert [attempts for _, _, attempts in bench.deal()] == [1, 1]


def test_a_full_window_makes_room_for_the_doomed(make_bench: Any) -> None:
    bench = make_bench(window_slots_max=64)
    bench.join(60)
    bench.publish(200)
    bench.deal()

    shed_first(bench.channel, 100, DOOM)

    assert 0 < len(bench.channel.doomed) <= 100
    assert bench.counts == (140, 60, 0)
    shed_first(bench.channel, 100, DOOM)
    assert doomed(bench) == list(range(60, 60 + len(bench.channel.doomed)))


def test_the_older_ones_go_but_for_those_that_were_never_tried(bench: Any) -> None:
    consumer = bench.join(3)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.publish(6)
    assert places(bench) == [1, 2, 3]
    for place in (1, 3):
        bench.channel.requeue(consumer, ORIGIN + place, 0)
    bench.wait(SECOND_NS)

    shed_older(bench.channel, ORIGIN + 5, None, ALL)

    assert bench.channel.dropped_count == 3
    assert bench.counts == (3, 1, 0)
    assert sorted(places(bench)) == [0, 5]


def test_no_more_go_than_may(bench: Any) -> None:
    consumer = bench.join(2)
    bench.publish(8)
    bench.deal()
    bench.channel.requeue(consumer, ORIGIN, 0)

    shed_older(bench.channel, ORIGIN + 7, DOOM, 4)

    assert doomed(bench) == [0, 2, 3, 4]


def test_messages_are_finished_wherever_they_wait(bench: Any) -> None:
    consumer = bench.join(3)
    bench.publish(10)
    bench.deal()
    bench.channel.requeue(consumer, ORIGIN, 0)
    bench.channel.requeue(consumer, ORIGIN + 1, SECOND_NS)
    bench.wait(SECOND_NS)
    wanted = [ORIGIN, ORIGIN + 1, ORIGIN + 2, ORIGIN + 5, ORIGIN + 6, ORIGIN + 8, ORIGIN + 50]

    count = finish_waiting(bench.channel, wanted)

    assert count == 5
    assert bench.counts == (4, 1, 0)
    assert waits_fresh(bench.channel, ORIGIN + 7)
    assert not waits_fresh(bench.channel, ORIGIN + 8)
    bench.channel.save()
    bench.open()
    bench.channel.see(ORIGIN + 10)
    bench.join(10)
    assert sorted(places(bench)) == [2, 3, 4, 7, 9]


def test_what_is_finished_at_the_front_lets_the_log_go(bench: Any) -> None:
    bench.publish(5)

    finish_waiting(bench.channel, [ORIGIN + 1, ORIGIN])
    bench.channel.save()

    assert bench.channel.window.floor == ORIGIN + 2
