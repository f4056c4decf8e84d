"""Dead letters are shown where they wait, and put back into the channel that they came from, and into no other."""

from collections.abc import Callable
from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.engine import redriving
from millstream.engine.letters import Letter
from millstream.engine.policies import PolicyEntry
from millstream.engine.redriving import is_here, page, redrive

SECOND_NS = 10**9
GRAVEYARD = "graveyard"

MakeHouse = Callable[..., Any]


class Buried:
    """A broker whose channels `archive` and `metrics` gave up the same messages, in one dead-letter topic."""

    def __init__(self, house: Any, *bodies: bytes) -> None:
        self.house = house
        self.topic = house.topic("clicks", "archive", "metrics")
        house.publish(self.topic, *bodies)
        self.give_up("archive")
        self.give_up("metrics")

    def channel(self, name: str) -> Any:
        return self.house.broker.topics["clicks"].channels[name]

    @property
    def dead(self) -> Any:
        return self.house.broker.topics[GRAVEYARD].channels["dead"]

    def give_up(self, name: str) -> None:
        channel = self.channel(name)
        consumer = self.house.join(channel)
        for sequence, _, _ in self.house.deal(channel):
            channel.requeue(consumer, sequence, 0)
        channel.leave(consumer)
        self.house.bury()

    def letters(self, name: str, *, after: int = 0, limit: int = 100) -> list[tuple[int, Letter]]:
        return page(self.dead, lambda letter: letter.channel == name, after=after, limit=limit).letters

    def redrive(self, name: str, letters: list[tuple[int, Letter]]) -> int:
        topic = self.house.broker.topics["clicks"]
        return redrive(topic, topic.channels[name], self.dead, letters)

    def waiting(self, name: str) -> list[tuple[bytes, int]]:
        channel = self.channel(name)
        consumer = self.house.join(channel)
        found = self.house.deal(channel)
        channel.consumers.remove(consumer)
        return [(body, attempts) for _, body, attempts in found]


@pytest.fixture(params=["log", "fsync"])
def buried(request: pytest.FixtureRequest, make_house: MakeHouse) -> Buried:
    entry = PolicyEntry(topic="clicks", max_attempts=1, dead_letter_topic=GRAVEYARD)
    return Buried(make_house(entry, durability=request.param), *(b"%d" % number for number in range(5)))


def test_letters_are_shown_in_their_order_page_by_page(buried: Buried) -> None:
    wanted = [letter.body for _, letter in buried.letters("metrics")]
    assert wanted == [b"0", b"1", b"2", b"3", b"4"]

    first = page(buried.dead, lambda letter: letter.channel == "metrics", after=0, limit=2)
    assert first.after is not None
    second = page(buried.dead, lambda letter: letter.channel == "metrics", after=first.after, limit=100)

    assert [letter.body for _, letter in first.letters + second.letters] == wanted
    assert second.after is None
    assert buried.dead.depth == 10


def test_a_page_ends_after_many_letters_even_without_one(buried: Buried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "SCANNED_MAX", 4)

    first = page(buried.dead, lambda letter: letter.channel == "metrics", after=0, limit=100)
    assert first.letters == []
    assert first.after is not None
    rest = page(buried.dead, lambda letter: letter.channel == "metrics", after=first.after, limit=100)

    assert [letter.body for _, letter in rest.letters] == [b"0", b"1", b"2"]


def test_what_is_no_letter_is_passed_over(buried: Buried) -> None:
    buried.house.publish(buried.house.broker.topics[GRAVEYARD], b"hello")

    assert len(buried.letters("archive")) == 5
    assert buried.dead.depth == 11


def test_all_are_put_back_as_if_never_delivered(buried: Buried) -> None:
    letters = buried.letters("archive")
    ids = {letter.sequence for _, letter in letters}

    assert buried.redrive("archive", letters) == 5

    assert (buried.channel("archive").depth, buried.channel("metrics").depth) == (5, 0)
    assert (buried.dead.depth, buried.letters("archive"), len(buried.letters("metrics"))) == (5, [], 5)
    channel = buried.channel("archive")
    consumer = buried.house.join(channel)
    found = buried.house.deal(channel)
    assert {sequence for sequence, _, _ in found} == ids
    assert [(body, attempts) for _, body, attempts in found] == [(b"%d" % number, 1) for number in range(5)]
    for sequence, _, _ in found:
        assert channel.finish(consumer, sequence)
    assert channel.is_idle


def test_one_in_the_middle_is_put_back(buried: Buried) -> None:
    letters = [(found, letter) for found, letter in buried.letters("metrics") if letter.body == b"2"]

    assert buried.redrive("metrics", letters) == 1

    assert buried.waiting("metrics") == [(b"2", 1)]
    assert [letter.body for _, letter in buried.letters("metrics")] == [b"0", b"1", b"3", b"4"]
    assert buried.dead.depth == 9


def test_a_restart_finds_it_in_its_channel_and_its_letter_gone(buried: Buried) -> None:
    buried.redrive("metrics", buried.letters("metrics")[1:2])
    buried.house.broker.save()

    buried.house.kill()

    assert buried.waiting("metrics") == [(b"1", 1)]
    assert [letter.body for _, letter in buried.letters("metrics")] == [b"0", b"2", b"3", b"4"]


def test_a_crash_right_behind_it_loses_nothing(buried: Buried) -> None:
    buried.redrive("metrics", buried.letters("metrics")[1:2])

    buried.house.kill(power_loss=buried.house.durability == "fsync")

    assert buried.waiting("metrics") == [(b"1", 1)]
    assert len(buried.letters("metrics")) in {4, 5}


def test_what_is_there_twice_is_put_back_once(buried: Buried) -> None:
    letters = buried.letters("archive")[:1]
    buried.redrive("archive", letters)
    buried.house.kill()
    assert is_here(buried.channel("archive"), letters[0][1].sequence)

    again = buried.letters("archive")[:1]
    count = buried.redrive("archive", again)

    assert (count, len(buried.letters("archive"))) == (0, 4)
    assert buried.waiting("archive") == [(b"0", 1)]


def test_what_fails_again_is_buried_again_and_counted(buried: Buried) -> None:
    for round_number in (1, 2):
        buried.redrive("archive", [one for one in buried.letters("archive") if one[1].body == b"0"])
        if round_number == 2:
            buried.house.broker.save()
            buried.house.kill()
        buried.give_up("archive")

    letters = [letter for _, letter in buried.letters("archive") if letter.body == b"0"]
    assert [(letter.redriven, letter.attempts) for letter in letters] == [(2, 1)]
    buried.channel("archive").save()
    assert buried.channel("archive").redriven == {}


def test_the_journal_remembers_how_often_when_it_is_rewritten(buried: Buried) -> None:
    buried.redrive("archive", buried.letters("archive")[:1])
    channel = buried.channel("archive")
    buried.house.join(channel)
    buried.house.deal(channel)
    buried.house.files.fail("write", times=5)
    assert buried.house.broker.save()
    buried.house.files.heal()
    assert channel.progress.wants_snapshot
    assert buried.house.broker.save() == []

    buried.house.kill()

    assert list(buried.channel("archive").redriven.values()) == [1]
    assert channel.redriven == buried.channel("archive").redriven


def test_letters_stay_when_the_channel_cannot_be_written(buried: Buried) -> None:
    buried.house.files.fail("write", times=5)
    buried.house.files.fail("sync", times=5)

    with pytest.raises(StorageError):
        buried.redrive("archive", buried.letters("archive"))

    assert len(buried.letters("archive")) == 5
    buried.house.files.heal()
    buried.house.broker.save()
    assert buried.redrive("archive", buried.letters("archive")) == 0
    assert [body for body, _ in buried.waiting("archive")] == [b"%d" % number for number in range(5)]


def test_letters_that_a_consumer_holds_are_left_alone_and_requeued_ones_are_found(buried: Buried) -> None:
    consumer = buried.house.join(buried.dead, 3)
    held = [sequence for sequence, _, _ in buried.house.deal(buried.dead)]
    buried.dead.requeue(consumer, held[0], 0)
    buried.dead.requeue(consumer, held[2], SECOND_NS)
    buried.house.wait(2 * SECOND_NS)

    letters = buried.letters("archive")
    assert [found for found, _ in letters[:2]] == [held[0], held[2]]
    assert len(letters) == 4

    buried.redrive("archive", letters)

    assert [body for body, _ in buried.waiting("archive")] == [b"0", b"2", b"3", b"4"]
    assert buried.dead.finish(consumer, held[1])


def test_a_topic_that_was_made_anew_takes_back_what_the_old_one_gave_up(buried: Buried) -> None:
    buried.house.broker.delete_topic(buried.topic)
    topic = buried.house.topic("clicks", "archive")
    letters = buried.letters("archive")

    assert redrive(topic, topic.channels["archive"], buried.dead, letters) == 5

    buried.house.kill(power_loss=buried.house.durability == "fsync")
    assert [body for body, _ in buried.waiting("archive")] == [b"%d" % number for number in range(5)]
