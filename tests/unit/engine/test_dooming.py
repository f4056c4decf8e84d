"""What was delivered often enough leaves the line: after REQ, timeout and disconnect, and when the number changes."""

from collections.abc import Callable
from typing import Any

import pytest

from millstream.engine.dooming import judge_line
from millstream.engine.eviction import evict
from millstream.engine.policies import PolicyEntry

TIMEOUT_NS = 10 * 10**9


@pytest.fixture
def spent(make_house: Callable[..., Any]) -> Any:
    """A channel that delivers a message twice at most, and a consumer that holds one for the second time."""
    house = make_house(PolicyEntry(topic="*", max_attempts=2))
    house.channel = house.topic("clicks", "archive").channels["archive"]
    house.consumer = house.join(house.channel, client="somebody")
    house.publish(house.broker.topics["clicks"], b"poison")
    [(house.sequence, _, _)] = house.deal(house.channel)
    house.channel.requeue(house.consumer, house.sequence, 0)
    assert house.deal(house.channel) == [(house.sequence, b"poison", 2)]
    return house


def doomed(house: Any) -> list[tuple[int, str, str, object]]:
    return [(found, doom.reason, doom.event, doom.client) for found, doom in house.channel.doomed.items()]


@pytest.mark.parametrize("delay_ns", [0, 10**9])
@pytest.mark.parametrize("is_straggler", [False, True])
def test_after_a_requeue_even_with_a_delay(spent: Any, delay_ns: int, is_straggler: bool) -> None:
    if is_straggler:
        evict(spent.channel, spent.channel.window.cursor)

    assert spent.channel.requeue(spent.consumer, spent.sequence, delay_ns)

    assert doomed(spent) == [(spent.sequence, "max_attempts", "requeue", "somebody")]
    assert (spent.channel.depth, spent.channel.in_flight_count, spent.channel.deferred_count) == (1, 0, 0)
    assert spent.deal(spent.channel) == []
    assert not spent.channel.is_idle


@pytest.mark.parametrize("is_straggler", [False, True])
def test_after_a_timeout(spent: Any, is_straggler: bool) -> None:
    if is_straggler:
        evict(spent.channel, spent.channel.window.cursor)

    spent.wait(TIMEOUT_NS)

    assert doomed(spent) == [(spent.sequence, "max_attempts", "timeout", "somebody")]
    assert (spent.channel.timeout_count, spent.consumer.in_flight) == (1, 0)
    assert spent.deal(spent.channel) == []


@pytest.mark.parametrize("is_straggler", [False, True])
def test_after_a_disconnect(spent: Any, is_straggler: bool) -> None:
    if is_straggler:
        evict(spent.channel, spent.channel.window.cursor)

    spent.channel.leave(spent.consumer)

    assert doomed(spent) == [(spent.sequence, "max_attempts", "disconnect", "somebody")]


def test_whoever_has_attempts_left_stays_in_the_line(spent: Any) -> None:
    spent.publish(spent.broker.topics["clicks"], b"other")
    [(other, _, _)] = spent.deal(spent.channel)

    spent.channel.leave(spent.consumer)

    assert [found for found, *_ in doomed(spent)] == [spent.sequence]
    spent.join(spent.channel)
    assert spent.deal(spent.channel) == [(other, b"other", 2)]


def test_nobody_dooms_what_he_does_not_hold(spent: Any) -> None:
    stranger = spent.join(spent.channel)

    assert not spent.channel.requeue(stranger, spent.sequence, 0)
    assert not spent.channel.requeue(stranger, spent.sequence + 50, 0)
    assert doomed(spent) == []


def test_what_is_due_has_no_delivery_left_when_the_number_is_lowered_meanwhile(spent: Any) -> None:
    spent.set_policies(PolicyEntry(topic="*", max_attempts=9))
    spent.channel.requeue(spent.consumer, spent.sequence, 10**9)
    spent.set_policies(PolicyEntry(topic="*", max_attempts=2))
    assert spent.channel.deferred_count == 1

    spent.wait(2 * 10**9)

    assert doomed(spent) == [(spent.sequence, "max_attempts", "", None)]


def test_another_number_is_taken_up_at_once(spent: Any) -> None:
    spent.set_policies(PolicyEntry(topic="*", max_attempts=9))
    spent.channel.requeue(spent.consumer, spent.sequence, 0)
    assert doomed(spent) == []

    spent.set_policies(PolicyEntry(topic="*", max_attempts=2))
    assert [found for found, *_ in doomed(spent)] == [spent.sequence]

    spent.set_policies()
    assert doomed(spent) == []
    assert spent.deal(spent.channel) == [(spent.sequence, b"poison", 3)]


def test_judging_again_keeps_what_is_known_of_the_doomed(spent: Any) -> None:
    spent.channel.requeue(spent.consumer, spent.sequence, 0)

    judge_line(spent.channel)

    assert doomed(spent) == [(spent.sequence, "max_attempts", "requeue", "somebody")]


def test_a_restart_dooms_what_had_no_delivery_left(spent: Any) -> None:
    spent.broker.save()
    spent.kill()
    spent.channel = spent.broker.topics["clicks"].channels["archive"]

    assert [found for found, *_ in doomed(spent)] == [spent.sequence]


def test_emptying_a_channel_finishes_what_is_doomed(spent: Any) -> None:
    spent.channel.leave(spent.consumer)

    spent.channel.empty()

    assert doomed(spent) == []
    assert spent.channel.is_idle
