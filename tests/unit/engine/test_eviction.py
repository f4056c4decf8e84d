"""`engine.eviction`: what stays unfinished for long leaves the window as it stands, and the floor goes on."""

from typing import Any

from millstream.engine.eviction import evict, evict_one, unpin

ORIGIN = 1000


def test_what_is_moved_keeps_its_holder_its_attempts_and_its_deadline(bench: Any) -> None:
    consumer = bench.join(2)
    bench.publish(2)
    bench.deal()

    evict(bench.channel, ORIGIN + 2)

    assert bench.channel.window.floor == ORIGIN + 2
    assert bench.counts == (0, 2, 0)
    assert bench.channel.finish(consumer, ORIGIN)
    bench.wait(10 * 10**9)
    assert bench.deal() == [(1, 1, 2)]


def test_what_waits_for_another_delivery_still_waits(bench: Any) -> None:
    consumer = bench.join(1)
    bench.publish(1)
    bench.deal()
    bench.channel.requeue(consumer, ORIGIN, 0)

    evict_one(bench.channel, ORIGIN)

    assert bench.channel.depth == 1
    assert bench.deal() == [(1, 0, 2)]


def test_a_few_unfinished_messages_far_behind_let_the_floor_go(bench: Any) -> None:
    many = 1 << 17
    consumer = bench.join(many)
    bench.publish(many)
    while bench.channel.window.cursor < ORIGIN + many:
        bench.deal()
    for place in range(1, many):
        bench.channel.finish(consumer, ORIGIN + place)
    assert bench.channel.window.floor == ORIGIN

    unpin(bench.channel)

    assert bench.channel.window.floor == ORIGIN + many
    assert bench.channel.in_flight_count == 1


def test_a_window_that_is_mostly_unfinished_is_left_alone(bench: Any) -> None:
    many = 1 << 17
    bench.join(many)
    bench.publish(many)
    while bench.channel.window.cursor < ORIGIN + many:
        bench.deal()

    unpin(bench.channel)

    assert bench.channel.window.floor == ORIGIN
    assert not len(bench.channel.stragglers)
