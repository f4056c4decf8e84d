"""`torture.books`: who owes what, and what counts as broken."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from millstream.testing.clock import FakeClock
from millstream.torture.bodies import make_body
from millstream.torture.books import Books, Breaches, ChannelBook, TopicBook
from millstream.torture.plan import ChannelPlan, TopicPlan

RUN = 7
PLAN = TopicPlan(name="t", channels=(ChannelPlan(name="c", consumers=2, ready_count=10),))
MakeBooks = Callable[..., Books]


@dataclass
class Delivery:
    body: bytes
    timestamp_ns: int
    attempts: int = 1


@pytest.fixture
def books(make_books: MakeBooks) -> Books:
    return make_books(PLAN)


@pytest.fixture
def topic(books: Books) -> TopicBook:
    return books.topics[0]


@pytest.fixture
def channel(books: Books) -> ChannelBook:
    book = books.channels[0][0]
    book.made()
    return book


def acknowledged(topic: TopicBook, count: int) -> range:
    numbers = topic.send(count)
    topic.acknowledge(numbers)
    return numbers


def take(books: Books, channel: ChannelBook, number: int, clock: FakeClock, **changes: int) -> int | None:
    """A delivery of this message over a connection that is opened now."""
    delay_ms = changes.pop("delay_ms", 0)
    run, place = changes.pop("run", RUN), changes.pop("place", 0)
    message = Delivery(make_body(run, place, number, delay_ms=delay_ms), clock.wall_ns())
    message.attempts = changes.pop("attempts", 1)
    opened = changes.pop("opened", books.ticks.next())
    forbidden = channel.forbidden_before(opened)
    return channel.take(message, run=RUN, place=0, opened=opened, forbidden_before=forbidden)


def test_what_was_acknowledged_and_never_came_is_lost(books: Books, topic: TopicBook, channel: ChannelBook) -> None:
    first = acknowledged(topic, 2)
    topic.send(2)  # without an answer nothing is known
    last = acknowledged(topic, 1)

    channel.finish([first[0]])

    assert channel.missing() == [first[1], last[0]]
    assert books.lost() == 2
    channel.finish([first[1], last[0]])
    assert (channel.missing(), books.lost()) == ([], 0)


def test_a_message_that_misses_in_several_channels_is_lost_once(make_books: MakeBooks) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="a"), ChannelPlan(name="b"))))
    for channel in books.every_channel():
        channel.made()
    acknowledged(books.topics[0], 3)
    books.channels[0][1].finish([0])

    assert books.lost() == 3


def test_a_channel_that_was_never_made_is_owed_nothing(topic: TopicBook, books: Books) -> None:
    acknowledged(topic, 1)

    assert books.channels[0][0].missing() == []


def test_what_came_twice_is_counted_beside_what_kills_explain(
    topic: TopicBook, channel: ChannelBook, clock: FakeClock
) -> None:
    numbers = acknowledged(topic, 3)
    channel.finish(numbers)
    clock.advance(ms=1)
    saved_until_ns = clock.monotonic_ns()
    channel.finish(numbers[:2])
    clock.advance(ms=40)

    channel.killed(saved_until_ns, clock.monotonic_ns())

    assert (channel.finished, channel.duplicates) == (3, 2)
    assert channel.may_repeat == 2 * 10 + 2  # what was in flight, and the FINs that the journal may have forgotten
    channel.killed(saved_until_ns, clock.monotonic_ns())
    assert channel.may_repeat == 2 * (2 * 10) + 2
    killed_ns = clock.monotonic_ns()
    clock.advance(ms=1)
    channel.finish(numbers[:1])  # too late for the daemon, to which it is in flight
    channel.killed(saved_until_ns, killed_ns)
    assert channel.may_repeat == 3 * (2 * 10) + 2


def test_where_messages_time_out_a_kill_leaves_several_of_one(make_books: MakeBooks, clock: FakeClock) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="c", ready_count=10, kept=0.1),)))
    channel = books.channels[0][0]
    channel.made()
    numbers = acknowledged(books.topics[0], 3)
    killed_ns = clock.monotonic_ns()
    clock.advance(ms=1)
    for _ in range(2):
        channel.finish(numbers)  # twice on its way when nsqd was killed

    channel.killed(killed_ns, killed_ns)

    assert channel.may_repeat == 10 + 2 * 3


def test_a_sound_delivery_has_its_number(
    books: Books, topic: TopicBook, channel: ChannelBook, clock: FakeClock
) -> None:
    numbers = acknowledged(topic, 3)

    assert take(books, channel, numbers[2], clock) == numbers[2]
    assert not books.breaches.counts


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"run": 8}, "a message came that was never sent"),
        ({"place": 1}, "a message came that was never sent"),
        ({"number": 3}, "a message came that was never sent"),
        ({"attempts": 0}, "a delivery has no attempts"),
        ({"delay_ms": 3}, "a deferred message came before it was due"),
    ],
)
def test_a_delivery_that_contradicts_the_books_is_noted(
    books: Books, topic: TopicBook, channel: ChannelBook, clock: FakeClock, changes: dict[str, int], kind: str
) -> None:
    acknowledged(topic, 3)

    take(books, channel, changes.pop("number", 0), clock, **changes)

    assert dict(books.breaches.counts) == {kind: 1}
    assert books.breaches.examples[kind][0].startswith("t/c: ")


def test_a_body_that_is_not_whole_is_noted(books: Books, channel: ChannelBook) -> None:
    found = channel.take(Delivery(b"x", 0), run=RUN, place=0, opened=1, forbidden_before=0)

    assert found is None
    assert list(books.breaches.counts) == ["a body is not what was sent"]


def test_a_message_is_not_requeued_for_less_than_its_delay(
    books: Books, topic: TopicBook, channel: ChannelBook, clock: FakeClock
) -> None:
    number = acknowledged(topic, 1)[0]
    channel.requeue(number, 100)
    clock.advance(ms=100)
    take(books, channel, number, clock)
    channel.requeue(number, 100)
    channel.killed(0, clock.monotonic_ns())  # a REQ of the last moment may be forgotten
    take(books, channel, number, clock)
    assert not books.breaches.counts

    channel.requeue(number, 100)
    clock.advance(ms=90)
    take(books, channel, number, clock)

    assert list(books.breaches.counts) == ["a requeued message came before its delay was over"]


def test_what_was_taken_away_is_neither_owed_nor_wanted(
    books: Books, topic: TopicBook, channel: ChannelBook, clock: FakeClock
) -> None:
    before = acknowledged(topic, 1)[0]
    opened = books.ticks.next()
    cutoff = channel.cut()
    meanwhile = acknowledged(topic, 1)[0]
    assert channel.missing() == []  # as long as nobody knows
    cutoff.forbids, cutoff.ended = cutoff.asked, books.ticks.next()
    after = acknowledged(topic, 1)[0]

    take(books, channel, before, clock, opened=opened)  # it was on its way
    take(books, channel, meanwhile, clock)
    assert not books.breaches.counts
    take(books, channel, before, clock)

    assert channel.missing() == [after]
    assert list(books.breaches.counts) == ["what an operator had taken away came back"]


def test_what_may_have_been_taken_away_is_neither_owed_nor_forbidden(
    books: Books, topic: TopicBook, channel: ChannelBook, clock: FakeClock
) -> None:
    before = acknowledged(topic, 1)[0]
    channel.cut().ended = books.ticks.next()  # no answer came

    take(books, channel, before, clock)

    assert channel.missing() == []
    assert not books.breaches.counts


def test_nothing_comes_through_a_pause_that_was_there_before(
    books: Books, topic: TopicBook, channel: ChannelBook, clock: FakeClock
) -> None:
    number = acknowledged(topic, 1)[0]
    opened = books.ticks.next()
    channel.paused_at = books.ticks.next()
    take(books, channel, number, clock, opened=opened)
    assert not books.breaches.counts

    take(books, channel, number, clock)

    assert list(books.breaches.counts) == ["a message came through a pause"]


@pytest.mark.parametrize(
    ("plan", "broken"),
    [
        (ChannelPlan(name="c"), ["an answer in time was refused"]),
        (ChannelPlan(name="c", kept=0.1), []),
        (ChannelPlan(name="c", is_taken_away=True), []),
    ],
)
def test_a_refused_answer_explains_a_duplicate(make_books: MakeBooks, plan: ChannelPlan, broken: list[str]) -> None:
    books = make_books(TopicPlan(name="t", channels=(plan,)))
    channel = books.channels[0][0]

    channel.refused("E_FIN_FAILED")

    assert channel.may_repeat == 1
    assert list(books.breaches.counts) == broken


def test_breaches_keep_the_first_few_examples() -> None:
    breaches = Breaches()

    for number in range(20):
        breaches.note("kind", f"{number}")

    assert breaches.counts["kind"] == 20
    assert breaches.examples["kind"] == ["0", "1", "2", "3", "4"]
