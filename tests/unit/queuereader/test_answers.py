import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from millstream.client import PublishFailed
from millstream.queuereader.answers import Answers
from millstream.queuereader.in_hand import InHand
from millstream.queuereader.message import LocalMessage, NsqMessage
from millstream.queuereader.stats import Counters
from millstream.queuereader.verdict import FINISH, REQUEUE, GiveUp, Reject, Verdict


class Topic:
    """A publisher that keeps what it gets; it refuses bodies that start with `bad`, and everything when it is down."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.is_down = False

    async def publish_many(self, topic: str, bodies: Sequence[bytes]) -> None:
        assert topic == "spam_api"
        await asyncio.sleep(0)
        if self.is_down:
            raise PublishFailed("no nsqd answers")
        if any(body.startswith(b"bad") for body in bodies):
            raise PublishFailed("refused", code="E_BAD_MESSAGE")
        self.batches.append(list(bodies))


class Bench:
    """Answers with everything around them."""

    def __init__(self, topic: Topic | None = None) -> None:
        self.in_hand = InHand(touch_interval_ns=1, handler_timeout_ns=1)
        self.counters = Counters()
        self.answers = Answers(
            reader_name="spam", in_hand=self.in_hand, counters=self.counters, publisher=topic, topic="spam_api"
        )

    def message(self, *events: bytes, handled: bool = True) -> NsqMessage:
        message = NsqMessage(LocalMessage(b"{}"), self.answers.put)
        message.events = list(events) or None
        message.was_handled = handled
        self.in_hand.add([message])
        return message

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.answers.publish())
            yield
            await asyncio.wait_for(self.in_hand.wait_empty(), 2)
            task.cancel()


async def test_answers_are_carried_out_at_the_next_turn_and_counted() -> None:
    bench = Bench()
    verdicts: list[Verdict] = [FINISH, FINISH, REQUEUE, Reject("x"), GiveUp("y")]
    messages = [bench.message(handled=not isinstance(verdict, Reject)) for verdict in verdicts]

    for message, verdict in zip(messages, verdicts, strict=True):
        message.answer(verdict)
        assert not message.source.has_responded
    await asyncio.wait_for(bench.in_hand.wait_empty(), 1)

    assert all(message.source.has_responded for message in messages)
    counters = bench.counters
    assert (counters.finished, counters.requeued, counters.rejected, counters.gave_up) == (2, 1, 1, 1)
    assert counters.handled == 4


async def test_an_answer_from_another_thread_arrives() -> None:
    bench = Bench()
    message = bench.message()

    await asyncio.to_thread(message.finish)
    await asyncio.wait_for(bench.in_hand.wait_empty(), 1)

    assert message.source.has_responded


async def test_what_a_worker_thread_puts_waits_for_the_drain() -> None:
    bench = Bench()
    message = bench.message()
    message.verdict = FINISH

    bench.answers.put_from_thread(message)
    await asyncio.sleep(0)
    assert not message.source.has_responded

    bench.answers.drain()
    assert message.source.has_responded


async def test_a_touch_is_passed_on_and_counted() -> None:
    bench = Bench()
    message = bench.message()

    message.touch()
    message.finish()
    bench.answers.drain()

    assert bench.counters.touched == 1


async def test_events_are_published_together_before_their_messages_are_finished() -> None:
    topic = Topic()
    bench = Bench(topic)
    messages = [bench.message(b"a", b"b"), bench.message(b"c")]

    async with bench.publishing():
        for message in messages:
            message.answer(FINISH)
        bench.answers.drain()
        assert not any(message.source.has_responded for message in messages)

    assert topic.batches == [[b"a", b"b", b"c"]]
    assert bench.counters.published == 3
    assert bench.counters.finished == 2


async def test_nothing_is_published_for_a_message_that_is_requeued_after_all() -> None:
    topic = Topic()
    bench = Bench(topic)

    async with bench.publishing():
        bench.message(b"a").answer(REQUEUE)

    assert topic.batches == []
    assert bench.counters.requeued == 1


async def test_when_nothing_can_be_published_the_messages_are_requeued() -> None:
    topic = Topic()
    topic.is_down = True
    bench = Bench(topic)

    async with bench.publishing():
        for _ in range(3):
            bench.message(b"a").answer(FINISH)

    assert (bench.counters.requeued, bench.counters.finished) == (3, 0)
    assert (bench.counters.publish_failed, bench.counters.published) == (3, 0)


async def test_an_event_that_is_refused_does_not_hold_up_the_others() -> None:
    topic = Topic()
    bench = Bench(topic)

    async with bench.publishing():
        for body in (b"a", b"bad", b"c"):
            bench.message(body).answer(FINISH)

    assert topic.batches == [[b"a"], [b"c"]]
    assert (bench.counters.finished, bench.counters.requeued) == (2, 1)


async def test_one_publish_stays_below_the_limits_of_nsqd() -> None:
    topic = Topic()
    bench = Bench(topic)

    async with bench.publishing():
        for _ in range(5):
            bench.message(b"x" * 400_000).answer(FINISH)
        for _ in range(1_500):
            bench.message(b"y").answer(FINISH)

    assert [len(batch) for batch in topic.batches[:2]] == [2, 2]
    assert max(len(batch) for batch in topic.batches) <= 1_000
    assert sum(len(batch) for batch in topic.batches) == 1_505


async def test_two_answers_at_the_same_moment_count_once() -> None:
    bench = Bench()
    message = bench.message()
    message.verdict = FINISH

    bench.answers.put(message)
    bench.answers.put(message)
    bench.answers.drain()

    assert bench.counters.finished == 1
