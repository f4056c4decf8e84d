from collections.abc import Callable

import pytest

from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.limits import ChannelSettings
from millstream.engine.log import ForgetfulProgress
from millstream.protocol.chunks import BufferPool, ChunkQueue
from millstream.testing.clock import FakeClock
from millstream.testing.expectation import Contradiction, ExpectedChannel, Published, State, standing_in

ORIGIN = 1000
TIMEOUT_NS = 60 * 10**9


def never() -> float:
    return 0.0


def channel_with(count: int) -> tuple[Channel, ExpectedChannel, Consumer, FakeClock]:
    clock = FakeClock()
    log = ChunkQueue(BufferPool(), ORIGIN)
    channel = Channel("metrics", log, ForgetfulProgress(), clock, never, ChannelSettings(), ORIGIN)
    expected = ExpectedChannel("metrics", ORIGIN)
    for at in range(count):
        log.append(bytearray(b"body"), 0, 4, 1)
        expected.see(Published(ORIGIN + at, b"body", 0))
    log.commit()
    channel.see(log.ready_seq)
    consumer = Consumer(1, TIMEOUT_NS)
    consumer.ready_count = 1
    channel.join(consumer)
    return channel, expected, consumer, clock


def deliver(channel: Channel, expected: ExpectedChannel, clock: FakeClock) -> None:
    channel.deal(clock.monotonic_ns())
    expected.deliver(ORIGIN, 1, b"body", 1, TIMEOUT_NS, clock.monotonic_ns())


def test_books_that_agree_pass() -> None:
    channel, expected, consumer, clock = channel_with(2)
    expected.check(channel)

    deliver(channel, expected, clock)
    expected.check(channel)
    channel.finish(consumer, ORIGIN)
    expected.finish(ORIGIN)

    expected.check(channel)
    assert standing_in(channel, ORIGIN).state is State.FINISHED
    assert standing_in(channel, ORIGIN + 1).state is State.WAITING
    assert standing_in(channel, ORIGIN + 2).state is State.UNSEEN


Answer = Callable[[Channel, ExpectedChannel, Consumer], object]


@pytest.mark.parametrize(
    "answer",
    [
        lambda channel, _expected, consumer: channel.finish(consumer, ORIGIN),
        lambda channel, _expected, consumer: channel.requeue(consumer, ORIGIN, 0),
        lambda channel, _expected, _consumer: channel.redelivery.append(ORIGIN),
        lambda _channel, _expected, consumer: setattr(consumer, "in_flight", 0),
        lambda _channel, expected, _consumer: expected.finish(ORIGIN),
        lambda _channel, expected, _consumer: expected.requeue(ORIGIN, 5),
    ],
)
def test_books_that_differ_are_a_contradiction(answer: Answer) -> None:
    channel, expected, consumer, clock = channel_with(2)
    deliver(channel, expected, clock)

    answer(channel, expected, consumer)

    with pytest.raises(Contradiction):
        expected.check(channel)


@pytest.mark.parametrize(
    ("sequence", "attempts", "body", "text"),
    [
        (ORIGIN + 5, 1, b"body", "nobody was owed"),
        (ORIGIN, 2, b"body", "attempts 2 after 0"),
        (ORIGIN, 1, b"other", "another body"),
    ],
)
def test_a_delivery_that_must_not_be_is_a_contradiction(sequence: int, attempts: int, body: bytes, text: str) -> None:
    _, expected, _, _ = channel_with(1)

    with pytest.raises(Contradiction, match=text):
        expected.deliver(sequence, attempts, body, 1, TIMEOUT_NS, 0)


def test_a_deferred_message_must_not_come_early() -> None:
    expected = ExpectedChannel("metrics", ORIGIN)
    expected.see(Published(ORIGIN, b"body", 50))
    expected.requeue(ORIGIN, 0)

    with pytest.raises(Contradiction, match="before it was due"):
        expected.deliver(ORIGIN, 1, b"body", 1, TIMEOUT_NS, 49)


def test_time_takes_back_what_is_held_too_long() -> None:
    channel, expected, _, clock = channel_with(1)
    deliver(channel, expected, clock)
    clock.advance(ns=TIMEOUT_NS)

    expected.tick(clock.monotonic_ns())

    with pytest.raises(Contradiction):
        expected.check(channel)
    channel.tick(clock.monotonic_ns())
    expected.check(channel)
