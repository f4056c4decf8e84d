"""`torture.publisher` beside a real nsqd: the books know what was acknowledged."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from millstream.torture.bodies import read_body
from millstream.torture.books import Books
from millstream.torture.plan import ChannelPlan, Habit, TopicPlan
from millstream.torture.publisher import Mixer, Publisher, WebPublisher
from millstream.torture.stats import left_in, read_stats

PLAN = TopicPlan(name="t", channels=(ChannelPlan(name="c"),), rest_s=0.001)
MakeBooks = Callable[..., Books]


@pytest.fixture
def books(make_books: MakeBooks) -> Books:
    return make_books(PLAN, real_time=True)


def test_the_book_has_every_message_before_it_is_sent(books: Books) -> None:
    mixer = Mixer(books, 0, random.Random(1))
    words = set()
    for _ in range(200):
        sent = len(books.topics[0].sent_at)
        numbers, data = mixer.command()
        assert (numbers.start, numbers.stop) == (sent, len(books.topics[0].sent_at))
        words.add(data.split(b" ", 1)[0])

    assert words == {b"PUB", b"MPUB", b"DPUB"}
    assert books.topics[0].acknowledged == 0


def test_requests_over_http_publish_one_or_many(books: Books) -> None:
    mixer = Mixer(books, 0, random.Random(1))
    targets = set()
    for _ in range(200):
        numbers, target, body = mixer.request()
        targets.add(target)
        if target.startswith("/pub"):
            content = read_body(body)
            assert content is not None
            assert (content.number, len(numbers)) == (numbers[0], 1)
            assert ("defer" in target) == (content.delay_ms > 0)

    assert {"/pub?topic=t", "/pub?topic=t&defer=300", "/mpub?topic=t&binary=true"} <= targets


async def test_what_was_acknowledged_is_there(books: Books, served: Any, kept: Any) -> None:
    oks: list[int] = []
    publisher = Publisher(Mixer(books, 0, random.Random(1)), books, lambda: oks.append(books.topics[0].acknowledged))
    web = WebPublisher(Mixer(books, 0, random.Random(2)), books, lambda: oks.append(-1), served.client, served.http)
    with kept(books):
        await publisher.open(served.tcp)
        tasks = [asyncio.ensure_future(publisher.run()), asyncio.ensure_future(web.run())]
        await served.until(lambda: books.topics[0].acknowledged > 200 and -1 in oks)
        for session in list(served.nsqd.host.sessions.values()):
            session.abort()
        await tasks[0]  # the end of its connection is the end of its work
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    (left,) = left_in(await read_stats(served.client, served.http)).values()
    topic = books.topics[0]
    assert topic.acknowledged <= left <= len(topic.sent_at)
    assert max(oks) > 0
    assert [tick for number, tick in enumerate(topic.acknowledged_at) if tick and tick <= topic.sent_at[number]] == []


@pytest.mark.parametrize(("habit", "broken"), [(Habit.NONE, {"a publish was refused": 2}), (Habit.DELETES, {})])
async def test_a_refused_publish_is_noted_unless_the_topic_may_be_gone(
    make_books: MakeBooks, served: Any, habit: Habit, broken: dict[str, int]
) -> None:
    books = make_books(TopicPlan(name="t", channels=(), habit=habit), real_time=True)
    publisher = Publisher(Mixer(books, 0, random.Random(1)), books, lambda: None)
    web = WebPublisher(Mixer(books, 0, random.Random(1)), books, lambda: None, served.client, served.http)
    await publisher.open(served.tcp)
    served.nsqd.begin_drain()  # from now on it takes nothing more

    await publisher.run()
    task = asyncio.ensure_future(web.run())
    await served.until(lambda: len(books.topics[0].sent_at) > 200)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert books.topics[0].acknowledged == 0
    assert set(books.breaches.counts) == set(broken)
