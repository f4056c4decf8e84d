"""`torture.consumer` beside a real nsqd: what comes is in the books, whatever the answer is."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from millstream.torture.bodies import make_body
from millstream.torture.books import Books
from millstream.torture.consumer import Consumer
from millstream.torture.plan import ChannelPlan, TopicPlan
from millstream.torture.stats import left_in, read_stats

MakeBooks = Callable[..., Books]
RUN = 7


async def publish(served: Any, books: Books, count: int) -> None:
    """Messages that are in the books, and on the channel."""
    await served.client.post(f"http://{served.http}/topic/create?topic=t")
    await served.client.post(f"http://{served.http}/channel/create?topic=t&channel=c")
    books.channels[0][0].made()
    topic = books.topics[0]
    for number in topic.send(count):
        await served.client.post(f"http://{served.http}/pub?topic=t", make_body(RUN, 0, number))
        topic.acknowledge([number])


async def read(served: Any, books: Books, *, draining: bool, ready_count: int = 10) -> None:
    """Read until the channel is empty."""
    consumer = Consumer(books, 0, books.channels[0][0], random.Random(1), draining=draining)
    await consumer.open(served.tcp, ready_count)
    task = asyncio.ensure_future(consumer.run())
    async with asyncio.timeout(20):
        while left_in(await read_stats(served.client, served.http)):  # noqa: ASYNC110 - nsqd only tells when asked
            await asyncio.sleep(0.01)
    consumer.close()
    await task


async def test_everything_is_finished_once(make_books: MakeBooks, served: Any, kept: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="c", pause_s=0.002),)), real_time=True)
    await publish(served, books, 50)

    with kept(books):
        await read(served, books, draining=False)

    channel = books.channels[0][0]
    assert (channel.finished, channel.duplicates, channel.missing()) == (50, 0, [])


async def test_what_is_requeued_kept_or_touched_is_finished_in_the_end(
    make_books: MakeBooks, served: Any, kept: Any
) -> None:
    plan = ChannelPlan(name="c", requeued=0.3, kept=0.1, touched=0.3)
    books = make_books(TopicPlan(name="t", channels=(plan,)), real_time=True)
    await publish(served, books, 60)

    with kept(books):
        await read(served, books, draining=False, ready_count=60)

    channel = books.channels[0][0]
    found = served.nsqd.host.broker.topics["t"].channels["c"]
    assert (channel.finished, channel.missing()) == (60, [])
    assert channel.duplicates <= channel.may_repeat
    assert found.requeue_count > 0
    assert found.timeout_count > 0


async def test_whoever_drains_only_finishes(make_books: MakeBooks, served: Any, kept: Any) -> None:
    plan = ChannelPlan(name="c", requeued=0.5, kept=0.5)
    books = make_books(TopicPlan(name="t", channels=(plan,)), real_time=True)
    await publish(served, books, 20)

    with kept(books):
        await read(served, books, draining=True)

    assert books.channels[0][0].finished == 20
    assert served.nsqd.host.broker.topics["t"].channels["c"].requeue_count == 0


async def test_a_message_of_somebody_else_is_noted_and_finished(make_books: MakeBooks, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="c"),)), real_time=True)
    await publish(served, books, 1)
    await served.client.post(f"http://{served.http}/pub?topic=t", b"not ours")

    await read(served, books, draining=False)

    assert dict(books.breaches.counts) == {"a body is not what was sent": 1}
    assert books.channels[0][0].finished == 1


async def test_a_consumer_that_is_refused_says_so(make_books: MakeBooks, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="c"),)), real_time=True)
    consumer = Consumer(books, 0, books.channels[0][0], random.Random(1), draining=False)

    await consumer.open(served.tcp, 1_000_000)  # more than --max-rdy-count
    await consumer.run()

    assert list(books.breaches.counts) == ["a consumer was refused"]


async def test_a_consumer_that_never_connected_has_nothing_to_do(make_books: MakeBooks) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="c"),)))

    await Consumer(books, 0, books.channels[0][0], random.Random(1), draining=False).run()


async def test_whoever_drops_is_through_at_once(make_books: MakeBooks, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="c"),)), real_time=True)
    consumer = Consumer(books, 0, books.channels[0][0], random.Random(1), draining=False)
    consumer.drop()  # before there is a connection: nothing
    await consumer.open(served.tcp, 1)
    task = asyncio.ensure_future(consumer.run())

    consumer.drop()

    async with asyncio.timeout(20):
        await task
        await served.until(lambda: not served.nsqd.host.sessions)
