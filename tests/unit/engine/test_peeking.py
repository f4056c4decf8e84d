"""`engine.peeking`: every state is seen as it is, in pages, and nothing changes by looking."""

from typing import Any

from millstream.engine import peeking
from millstream.engine.peeking import Question, look_at, peek, peek_log

ORIGIN = 1000
SECOND_NS = 10**9


def states(bench: Any, **question: Any) -> list[tuple[int, str, int]]:
    page = peek(bench.channel, Question(**{"states": peeking.STATES, **question}))
    return [(one.sequence - ORIGIN, one.state, one.attempts) for one in page.messages]


def test_each_message_is_shown_in_its_state(bench: Any) -> None:
    consumer = bench.join(4)
    bench.publish(4)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.publish(1)
    bench.deal()
    bench.channel.finish(consumer, ORIGIN)
    consumer.ready_count = 0
    bench.channel.requeue(consumer, ORIGIN + 1, 0)
    bench.channel.requeue(consumer, ORIGIN + 2, SECOND_NS)

    assert states(bench) == [
        (0, "retained", 0),
        (1, "ready", 1),
        (2, "deferred", 1),
        (3, "in_flight", 1),
        (4, "deferred", 0),
        (5, "ready", 0),
    ]
    assert states(bench, states=("deferred",)) == [(2, "deferred", 1), (4, "deferred", 0)]
    assert states(bench, states=("in_flight",)) == [(3, "in_flight", 1)]
    assert bench.counts == (2, 1, 2)


def test_a_message_in_flight_says_who_has_it_and_until_when(bench: Any) -> None:
    bench.join(1, number=7)
    bench.publish(1)
    bench.deal()

    one = look_at(bench.channel, ORIGIN)

    assert one is not None
    assert one.owner == 7
    assert one.deadline_ns == bench.clock.wall_ns() + 10 * SECOND_NS
    assert one.body == b"0"


def test_a_deferred_message_says_when_it_is_due(bench: Any) -> None:
    bench.publish(1, delay_ns=SECOND_NS)

    one = look_at(bench.channel, ORIGIN)

    assert one is not None
    assert one.due_ns == bench.clock.wall_ns() + SECOND_NS


def test_pages_follow_one_another(bench: Any) -> None:
    bench.publish(5)
    start, seen = 0, []

    while True:
        page = peek(bench.channel, Question(states=("ready",), start=start, limit=2))
        seen.append([one.sequence - ORIGIN for one in page.messages])
        if page.following is None:
            break
        start = page.following

    assert seen == [[0, 1], [2, 3], [4]]


def test_a_question_about_a_time_gets_what_was_taken_in_then(bench: Any) -> None:
    for _ in range(3):
        bench.publish(2)
        bench.clock.advance(ns=SECOND_NS)
    began_ns = bench.clock.wall_ns() - 3 * SECOND_NS

    found = states(bench, since_ns=began_ns + SECOND_NS, until_ns=began_ns + 2 * SECOND_NS)

    assert [place for place, _, _ in found] == [2, 3]


def test_a_log_shows_what_every_channel_is_done_with(bench: Any) -> None:
    bench.publish(2)
    bench.publish(1, delay_ns=SECOND_NS)

    page = peek_log(bench.log, Question(states=(peeking.STORED,)))

    assert [(one.body, one.state) for one in page.messages] == [(b"0", "stored"), (b"1", "stored"), (b"2", "stored")]
    assert [bool(one.due_ns) for one in page.messages] == [False, False, True]


def test_dropped_messages_are_no_longer_ready(bench: Any) -> None:
    bench.publish(4)
    bench.channel.drop_range(ORIGIN + 1, ORIGIN + 3)

    assert states(bench, states=("ready",)) == [(0, "ready", 0), (3, "ready", 0)]


def test_an_id_that_never_was_is_none(bench: Any) -> None:
    bench.publish(1)

    assert look_at(bench.channel, ORIGIN - 1) is None
    assert look_at(bench.channel, ORIGIN + 1) is None
