"""`engine.rewinding`: back to a place in the log, with what was unfinished before it kept."""

from typing import Any

import pytest

from millstream.engine.rewinding import NotBehind, rewind

ORIGIN = 1000
SECOND_NS = 10**9


def finish_all(bench: Any, consumer: Any) -> list[int]:
    seen: list[int] = []
    while dealt := bench.deal():
        for _, place, _ in dealt:
            bench.channel.finish(consumer, ORIGIN + place)
            seen.append(place)
    return seen


def test_everything_from_there_on_comes_once_more(bench: Any) -> None:
    consumer = bench.join(10)
    bench.publish(6)
    finish_all(bench, consumer)

    assert rewind(bench.channel, ORIGIN + 2) == ORIGIN + 2

    assert bench.counts == (4, 0, 0)
    assert finish_all(bench, consumer) == [2, 3, 4, 5]


def test_a_place_before_the_oldest_record_is_the_oldest_record(bench: Any) -> None:
    consumer = bench.join(10)
    bench.publish(2)
    finish_all(bench, consumer)

    assert rewind(bench.channel, 0) == ORIGIN


def test_a_place_ahead_is_refused(bench: Any) -> None:
    bench.publish(2)

    with pytest.raises(NotBehind, match="before"):
        rewind(bench.channel, ORIGIN + 1)
    assert bench.counts == (2, 0, 0)


def test_what_was_unfinished_before_it_keeps_its_place(bench: Any) -> None:
    consumer = bench.join(4)
    bench.publish(4)
    bench.deal()
    bench.channel.finish(consumer, ORIGIN + 2)
    bench.channel.requeue(consumer, ORIGIN + 1, SECOND_NS)

    rewind(bench.channel, ORIGIN + 2)

    assert bench.counts == (2, 1, 1)
    assert bench.channel.finish(consumer, ORIGIN)
    assert not bench.channel.finish(consumer, ORIGIN + 3)  # it comes again
    assert consumer.in_flight == 0
    assert sorted(place for _, place, _ in bench.deal()) == [2, 3]
    bench.wait(SECOND_NS)
    assert bench.deal() == [(1, 1, 2)]


def test_a_message_requeued_with_a_delay_behind_it_comes_once(bench: Any) -> None:
    consumer = bench.join(4)
    bench.publish(2)
    bench.deal()
    bench.channel.requeue(consumer, ORIGIN + 1, SECOND_NS)

    rewind(bench.channel, ORIGIN)

    assert bench.counts == (2, 0, 0)
    assert finish_all(bench, consumer) == [0, 1]
    bench.wait(SECOND_NS)
    assert bench.deal() == []


def test_a_deferred_publish_still_waits_and_a_finished_one_comes_again(bench: Any) -> None:
    consumer = bench.join(4)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.publish(1)
    bench.wait(SECOND_NS)
    finish_all(bench, consumer)
    bench.publish(1, delay_ns=SECOND_NS)

    rewind(bench.channel, ORIGIN)

    assert bench.channel.deferred_count == 2
    bench.wait(1)
    assert sorted(finish_all(bench, consumer)) == [0, 1]
    bench.wait(SECOND_NS)
    assert finish_all(bench, consumer) == [2]


def test_a_restart_finds_the_channel_where_it_was_sent(bench: Any) -> None:
    consumer = bench.join(10)
    bench.publish(5)
    bench.deal()
    for place in (0, 1, 3, 4):
        bench.channel.finish(consumer, ORIGIN + place)
    bench.channel.save()

    rewind(bench.channel, ORIGIN + 3)
    bench.open()
    bench.channel.see(bench.log.ready_seq)
    consumer = bench.join(10)

    assert sorted(finish_all(bench, consumer)) == [2, 3, 4]
