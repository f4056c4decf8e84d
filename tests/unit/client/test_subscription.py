"""`client.subscription`: RDY, messages in flight, and what its owner hears, against a scripted nsqd."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from millstream.base.units import parse_address
from millstream.client import Message, ReaderOptions
from millstream.client.backoff import Result
from millstream.client.stats import ReaderCounters
from millstream.client.subscription import Subscription


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.counters = ReaderCounters()
        self.is_watching = False
        self.messages: list[Message] = []
        self.results: list[Result] = []
        self.is_drained = 0

    def messages_received(self, subscription: Subscription, messages: list[Message]) -> None:
        assert subscription.is_open
        self.messages += messages

    def answering(self, result: Result) -> None:
        self.results.append(result)

    def drained(self) -> None:
        self.is_drained += 1


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
async def subscription(nsqd: Any, owner: Owner) -> AsyncIterator[Subscription]:
    options = ReaderOptions(msg_timeout_ms=2_000, sample_rate=3, output_buffer_size=-1, output_buffer_timeout_ms=-1)
    one = Subscription(parse_address(nsqd.address), "events", "work", options, owner)
    await one.open()
    yield one
    one.drop("the test is over")
    await one.closed


async def test_it_asks_for_what_the_options_say(nsqd: Any, subscription: Subscription) -> None:
    peer = await nsqd.subscriber()

    for part in (b'"msg_timeout":2000', b'"sample_rate":3', b'"output_buffer_size":-1', b'"output_buffer_timeout":-1'):
        assert part in peer.bodies[0]
    assert subscription.rdy_max == 2500


async def test_messages_are_in_flight_until_answered(
    nsqd: Any, subscription: Subscription, owner: Owner, eventually: Any
) -> None:
    subscription.set_rdy(3)
    peer = await nsqd.subscriber()
    peer.deliver(1, 2, 3)
    await eventually(lambda: len(owner.messages) == 3)
    assert (subscription.in_flight, subscription.messages, subscription.rdy) == (3, 3, 3)
    owner.messages[0].finish()
    owner.messages[1].requeue(5)
    subscription.release(owner.messages[2])

    await peer.saw("RDY 3", "FIN 0000000000000001", "REQ 0000000000000002 5", "REQ 0000000000000003 0")
    assert subscription.in_flight == 0
    assert owner.messages[2].has_responded


async def test_the_owner_hears_of_failures_always_and_of_successes_while_it_watches(
    nsqd: Any, subscription: Subscription, owner: Owner, eventually: Any
) -> None:
    (await nsqd.subscriber()).deliver(1, 2, 3, 4)
    await eventually(lambda: len(owner.messages) == 4)
    first, second, third, fourth = owner.messages
    first.finish()
    second.requeue()
    third.requeue(backoff=False)
    owner.is_watching = True
    fourth.finish()

    assert owner.results == [Result.FAILURE, Result.NEUTRAL, Result.SUCCESS]
    assert subscription.in_flight == 0


async def test_it_is_idle_when_closing_is_confirmed_and_all_is_answered(
    nsqd: Any, subscription: Subscription, owner: Owner, eventually: Any
) -> None:
    peer = await nsqd.subscriber()
    peer.deliver(1)
    await eventually(lambda: len(owner.messages) == 1)
    subscription.begin_close()
    subscription.begin_close()
    await eventually(lambda: owner.is_drained == 1)
    assert not subscription.is_idle
    subscription.set_rdy(5)
    owner.messages[0].finish()

    assert subscription.is_idle
    await peer.saw("CLS", "FIN 0000000000000001")
    assert peer.lines.count("CLS") == 1
    assert "RDY 5" not in peer.lines


async def test_a_lost_connection_makes_answers_late(
    nsqd: Any, subscription: Subscription, owner: Owner, eventually: Any
) -> None:
    peer = await nsqd.subscriber()
    peer.deliver(1, 2, 3)
    await eventually(lambda: len(owner.messages) == 3)
    peer.cut()
    await subscription.closed
    first, second, third = owner.messages
    first.finish()
    second.requeue()
    third.touch()
    subscription.release(third)

    assert owner.counters.late == 3
    assert owner.results == []
    assert subscription.is_idle
