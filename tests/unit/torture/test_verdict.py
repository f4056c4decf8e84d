"""`torture.verdict`: books become numbers, numbers become text, and the last line says what was lost."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from millstream.torture.aim import Aim
from millstream.torture.books import Books
from millstream.torture.piece import Tally
from millstream.torture.plan import ChannelPlan, TopicPlan
from millstream.torture.verdict import PieceVerdict, Verdict, judge

MakeBooks = Callable[..., Books]
PLAN = TopicPlan(name="t", channels=(ChannelPlan(name="a"), ChannelPlan(name="b")))
TALLY = Tally(kills=Counter({Aim.RANDOM: 2, Aim.OK: 1}), recoveries_s=[9.0, 0.25, 0.75, 0.5])


@pytest.fixture
def books(make_books: MakeBooks) -> Books:
    """Three messages, finished on both channels, one of them twice."""
    found = make_books(PLAN)
    numbers = found.topics[0].send(3)
    found.topics[0].acknowledge(numbers)
    for channel in found.every_channel():
        channel.made()
        channel.killed(0, 0)
        channel.finish(numbers)
    found.channels[0][0].finish(numbers[:1])
    return found


def verdict_of(books: Books, tally: Tally = TALLY) -> PieceVerdict:
    return judge(books, tally, seed=5, durability="log", again="do it again")


def test_a_piece_that_lost_nothing_holds(books: Books) -> None:
    piece = verdict_of(books)

    assert piece.holds
    assert (piece.sent, piece.acknowledged, piece.lost) == (3, 3, 0)
    assert piece.kills == {"at random": 2, "behind an OK": 1}
    assert [(one.finished, one.duplicated, one.duplicated_max) for one in piece.channels] == [(3, 1, 20), (3, 0, 20)]


def test_a_lost_message_is_counted_once(books: Books) -> None:
    books.topics[0].acknowledge(books.topics[0].send(1))

    piece = verdict_of(books)

    assert (piece.holds, piece.lost) == (False, 1)
    assert [one.lost for one in piece.channels] == [1, 1]


def test_more_duplicates_than_kills_explain_are_broken(books: Books) -> None:
    for _ in range(20):
        books.channels[0][0].finish([0])

    piece = verdict_of(books)

    assert not piece.holds
    assert piece.examples == {"more came twice than kills explain": ["t/a: 21, where 20 are explained"]}


def test_a_piece_that_showed_nothing_does_not_hold(make_books: MakeBooks) -> None:
    assert "nothing was acknowledged" in verdict_of(make_books(PLAN)).trouble
    assert verdict_of(make_books(PLAN), Tally(trouble="nsqd is gone")).trouble == "nsqd is gone"


def test_the_text_ends_in_what_was_lost(books: Books) -> None:
    verdict = Verdict(5, [verdict_of(books)])
    assert verdict.holds
    assert verdict.to_text().splitlines() == [
        "kills            3: 2 at random, 1 behind an OK",
        "published        3 messages, 3 of them acknowledged",
        "finished         6 deliveries, over all channels",
        "duplicated       1; 40 are what kills explain at most",
        "lost             0 acknowledged messages",
        "time to recover  median 0.50 s, max 0.75 s, of 3 starts",
        "lost 0",
    ]

    books.topics[0].acknowledge(books.topics[0].send(2))
    books.breaches.note("a promise", "t/a: how")
    verdict.pieces.append(verdict_of(books, Tally(trouble="nsqd is gone")))

    assert not verdict.holds
    assert verdict.to_text().splitlines()[6:] == [
        "broken           a promise (1)",
        "broken           a piece ended early: nsqd is gone",
        "lost 2",
    ]


def test_a_piece_that_does_not_hold_says_why_and_where_to_look(books: Books) -> None:
    assert list(verdict_of(books).complaints()) == []
    books.topics[0].acknowledge(books.topics[0].send(2))
    books.breaches.note("a promise", "t/a: how")

    piece = replace(verdict_of(books, Tally(trouble="nsqd is gone")), kept="/there")

    assert list(piece.complaints()) == [
        "broken           a promise (1), such as t/a: how",
        "broken           it ended early: nsqd is gone",
        "lost in          t/a 2, t/b 2",
        "again            do it again",
        "kept             /there",
    ]


def test_the_data_are_those_of_the_text(books: Books) -> None:
    data = json.loads(json.dumps(Verdict(5, [verdict_of(books)] * 2).to_json()))

    assert (data["seed"], data["holds"], data["kills"], data["lost"]) == (5, True, 6, 0)
    assert data["kills_by_aim"] == {"at random": 4, "behind an OK": 2}
    assert (data["duplicated"], data["duplicated_max"], data["recovery_median_s"]) == (2, 80, 0.5)
    assert [piece["again"] for piece in data["pieces"]] == ["do it again"] * 2


def test_a_verdict_without_pieces_says_so_little() -> None:
    assert Verdict(1).to_text().splitlines()[-1] == "lost 0"
    assert Verdict(1).to_json()["recovery_max_s"] is None
