"""`torture.operators` beside a real nsqd: what they ask for happens, and the books say what follows."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from millstream.torture.books import Books
from millstream.torture.operators import NotAnswered, Operator, operator_of
from millstream.torture.plan import Begins, ChannelPlan, Habit, TopicPlan
from millstream.torture.stats import channel_names, read_stats

MakeBooks = Callable[..., Books]
ONE = (ChannelPlan(name="c"),)


def operator(books: Books) -> Operator:
    return operator_of(books, 0, random.Random(1))


def acknowledged(books: Books) -> int:
    (number,) = books.topics[0].send(1)
    books.topics[0].acknowledge([number])
    return number


async def publish(served: Any, books: Books) -> int:
    """A message that is on its channels, and in the books."""
    await served.client.post(f"http://{served.http}/pub?topic=t", b"x")
    return acknowledged(books)


async def until_killed(round_: Any, work: Any, condition: Callable[[], bool], served: Any) -> None:
    """Let an operator work until that is so, then let nsqd be gone."""
    task = asyncio.ensure_future(work)
    await served.until(condition)
    round_.over.set()
    with pytest.raises(NotAnswered):
        await task


def forbidden(books: Books, channel: int = 0) -> int:
    return books.channels[0][channel].forbidden_before(books.ticks.next())


async def test_topics_and_channels_are_made_when_the_plan_says(
    make_books: MakeBooks, make_round: Any, served: Any
) -> None:
    channels = (
        ChannelPlan(name="early"),
        ChannelPlan(name="late", begins=Begins.MIDWAY),
        ChannelPlan(name="last", begins=Begins.AT_THE_END),
    )
    books = make_books(TopicPlan(name="t", channels=channels))
    one, round_ = operator(books), make_round(books)

    await one.prepare(round_.desk)
    await one.work(round_.desk)
    assert channel_names(await read_stats(served.client, served.http)) == {"t/early"}
    before = acknowledged(books)
    one.is_midway = True
    await one.work(round_.desk)
    assert channel_names(await read_stats(served.client, served.http)) == {"t/early", "t/late"}
    after = acknowledged(books)
    await one.finish(round_.desk)

    assert channel_names(await read_stats(served.client, served.http)) == {"t/early", "t/late", "t/last"}
    early, late, last = books.channels[0]
    assert (early.missing(), late.missing(), last.missing()) == ([before, after], [after], [before, after])
    assert (forbidden(books, 0), forbidden(books, 2)) == (0, 0)
    assert books.topics[0].acknowledged_at[before] < forbidden(books, 1) < books.topics[0].acknowledged_at[after]


async def test_a_channel_that_no_round_made_is_made_at_the_end(make_books: MakeBooks, make_round: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=(ChannelPlan(name="late", begins=Begins.MIDWAY),)))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)

    await one.finish(round_.desk)

    assert books.channels[0][0].exists


async def test_what_should_be_there_is_made_again(make_books: MakeBooks, make_round: Any, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=ONE))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)
    await round_.desk.ask("/topic/delete?topic=t")

    await one.prepare(round_.desk)

    assert channel_names(await read_stats(served.client, served.http)) == {"t/c"}


async def test_pauses_come_and_go_and_end(make_books: MakeBooks, make_round: Any, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=ONE, habit=Habit.PAUSES))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)
    book = books.channels[0][0]

    await until_killed(round_, one.work(round_.desk), lambda: book.paused_at is not None, served)
    topic = served.nsqd.host.broker.topics["t"]
    assert topic.channels["c"].paused
    await one.finish(make_round(books).desk)

    assert book.paused_at is None
    assert (topic.paused, topic.channels["c"].paused) == (False, False)


async def test_a_held_topic_is_paused_emptied_and_let_go(make_books: MakeBooks, make_round: Any, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=ONE, habit=Habit.HOLDS))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)
    book, topic = books.channels[0][0], served.nsqd.host.broker.topics["t"]
    assert topic.paused
    assert book.paused_at is not None
    before = await publish(served, books)

    await until_killed(round_, one.work(round_.desk), lambda: round_.answers >= 2, served)
    after = await publish(served, books)
    assert topic.depth == 1
    await one.finish(make_round(books).desk)

    assert (topic.paused, book.paused_at) == (False, None)
    assert topic.channels["c"].depth == 1
    assert book.missing() == [after]
    assert forbidden(books) > books.topics[0].acknowledged_at[before]


async def test_an_emptied_channel_is_owed_what_comes_after(make_books: MakeBooks, make_round: Any, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=ONE, habit=Habit.EMPTIES))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)
    before = await publish(served, books)

    await until_killed(round_, one.work(round_.desk), lambda: round_.answers >= 2, served)
    after = await publish(served, books)

    assert served.nsqd.host.broker.topics["t"].channels["c"].depth == 1
    assert books.channels[0][0].missing() == [after]
    assert forbidden(books) > books.topics[0].acknowledged_at[before]


async def test_a_deleted_topic_is_made_again(make_books: MakeBooks, make_round: Any, served: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=ONE, habit=Habit.DELETES))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)
    await publish(served, books)

    await until_killed(round_, one.work(round_.desk), lambda: round_.answers >= 2, served)
    after = await publish(served, books)
    await one.finish(make_round(books).desk)

    assert served.nsqd.host.broker.topics["t"].channels["c"].depth == 1
    assert books.channels[0][0].missing() == [after]
    assert books.channels[0][0].exists


async def test_a_replaced_channel_sees_only_what_comes_after(
    make_books: MakeBooks, make_round: Any, served: Any
) -> None:
    channels = (ChannelPlan(name="stays"), ChannelPlan(name="goes"))
    books = make_books(TopicPlan(name="t", channels=channels, habit=Habit.REPLACES))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)
    before = await publish(served, books)
    stays, goes = books.channels[0]

    await until_killed(round_, one.work(round_.desk), lambda: goes.exists is False, served)
    assert channel_names(await read_stats(served.client, served.http)) == {"t/stays"}
    assert goes.missing() == []
    await one.finish(make_round(books).desk)
    after = await publish(served, books)

    assert served.nsqd.host.broker.topics["t"].channels["goes"].depth == 1
    assert (stays.missing(), goes.missing()) == ([before, after], [after])
    assert forbidden(books, 1) > books.topics[0].acknowledged_at[before]


async def test_without_an_answer_nothing_is_owed_and_nothing_forbidden(
    make_books: MakeBooks, make_round: Any, served: Any
) -> None:
    books = make_books(TopicPlan(name="t", channels=ONE, habit=Habit.EMPTIES))
    one, round_ = operator(books), make_round(books)
    await one.prepare(round_.desk)
    acknowledged(books)
    await served.client.close()  # every question from now on gets no answer

    await until_killed(round_, one.work(round_.desk), lambda: bool(books.channels[0][0].cutoffs), served)

    assert (books.channels[0][0].missing(), forbidden(books), round_.answers) == ([], 0, 0)


async def test_an_operator_that_is_refused_says_so(make_books: MakeBooks, make_round: Any) -> None:
    books = make_books(TopicPlan(name="t", channels=ONE))
    round_ = make_round(books)
    round_.over.set()

    with pytest.raises(NotAnswered):
        await round_.desk.ask("/topic/create?topic=not%20a%20name")

    assert list(books.breaches.counts) == ["an operator was refused"]
    assert await round_.desk.ask("/topic/empty?topic=nothing") is False
