"""Doomed messages move to their dead-letter topic: there first, and gone only then; never lost, seldom twice."""

from collections.abc import Callable
from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.engine import dead_letters
from millstream.engine.letters import Client
from millstream.engine.policies import PolicyEntry
from millstream.engine.topic import Topic

SECOND_NS = 10**9
TIMEOUT_NS = 10 * SECOND_NS
DEAD = "clicks.archive.dead"

MakeHouse = Callable[..., Any]


def give_up(house: Any, *bodies: bytes) -> list[int]:
    """Publish, deliver once, and requeue: with one attempt allowed that is the end. The sequences."""
    channel = house.broker.topics["clicks"].channels["archive"]
    house.publish(house.broker.topics["clicks"], *bodies)
    client = Client(client_id="worker", hostname="worker.example", address="10.0.0.1:5000")
    consumer = house.join(channel, client=client)
    found = [sequence for sequence, _, _ in house.deal(channel)]
    for sequence in found:
        assert channel.requeue(consumer, sequence, 0)
    channel.leave(consumer)
    return found


@pytest.fixture(params=["log", "fsync", "memory"])
def house(request: pytest.FixtureRequest, make_house: MakeHouse) -> Any:
    found = make_house(PolicyEntry(topic="*", max_attempts=1), durability=request.param)
    found.topic("clicks", "archive", "metrics")
    return found


def test_a_message_goes_to_the_dead_letter_topic_of_its_channel_only(house: Any) -> None:
    published_ns = house.clock.wall_ns()
    [sequence] = give_up(house, b"poison")
    house.clock.advance(ns=SECOND_NS)

    written = house.bury()

    archive, metrics = house.broker.topics["clicks"].channels.values()
    assert [topic.name for topic in written] == [DEAD]
    assert (archive.is_idle, archive.dead_letter_count, metrics.depth) == (True, 1, 1)
    [letter] = house.letters(DEAD)
    assert (letter.topic, letter.channel, letter.sequence, letter.attempts) == ("clicks", "archive", sequence, 1)
    assert (letter.first_ns, letter.last_ns) == (published_ns, published_ns)
    assert (letter.reason, letter.event, letter.redriven) == ("max_attempts", "requeue", 0)
    assert letter.client == Client(client_id="worker", hostname="worker.example", address="10.0.0.1:5000")
    assert letter.body == b"poison"
    assert house.bury() == []


def test_the_dead_letter_topic_has_a_channel_in_which_they_wait(house: Any) -> None:
    give_up(house, b"a", b"b")

    house.bury()

    dead = house.broker.topics[DEAD].channels["dead"]
    assert dead.depth == 2
    assert dead.policy.max_attempts == 0


def test_many_go_in_batches(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "BATCH_MAX", 3)
    sequences = give_up(house, *(b"%d" % number for number in range(10)))

    house.bury()

    assert [letter.sequence for letter in house.letters(DEAD)] == sequences
    assert house.broker.topics["clicks"].channels["archive"].is_idle


def test_what_the_channel_forgot_by_a_crash_is_moved_again_under_the_same_id(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_attempts=1))
    house.topic("clicks", "archive")
    [sequence] = give_up(house, b"poison")
    house.broker.save()
    house.bury()

    house.kill()
    assert list(house.broker.topics["clicks"].channels["archive"].doomed) == [sequence]
    house.bury()

    assert [letter.sequence for letter in house.letters(DEAD)] == [sequence, sequence]
    house.broker.save()
    house.kill()
    assert house.broker.topics["clicks"].channels["archive"].is_idle


def test_it_stays_where_it_is_until_its_letter_is_on_the_disk(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_attempts=1), durability="fsync")
    house.topic("clicks", "archive")
    [sequence] = give_up(house, b"poison")
    channel = house.broker.topics["clicks"].channels["archive"]

    [dead] = house.broker.dead_letters.write()
    dead.commit()
    assert house.broker.dead_letters.settle() == []
    assert (channel.depth, list(channel.doomed), house.broker.dead_letters.is_idle) == (1, [sequence], False)
    assert house.broker.dead_letters.write() == []
    house.sync(dead)
    assert house.broker.dead_letters.settle() == [house.broker.topics["clicks"]]

    assert channel.is_idle
    house.broker.save()
    house.kill(power_loss=True)
    assert [letter.body for letter in house.letters(DEAD)] == [b"poison"]


@pytest.mark.parametrize("operation", ["write", "open"])
def test_while_the_dead_letter_topic_cannot_be_written_a_message_stays(make_house: MakeHouse, operation: str) -> None:
    house = make_house(PolicyEntry(topic="*", max_attempts=1))
    house.topic("clicks", "archive")
    give_up(house, b"poison")
    channel = house.broker.topics["clicks"].channels["archive"]
    house.files.fail(operation, times=1_000)

    for topic in house.broker.dead_letters.write():
        with pytest.raises(StorageError):
            topic.commit()
    house.broker.dead_letters.settle()

    assert (channel.depth, len(channel.doomed), channel.dead_letter_count) == (1, 1, 0)
    assert house.broker.dead_letters.last_trouble.startswith(DEAD)
    assert house.broker.dead_letters.write() == []
    house.files.heal()
    house.clock.advance(ns=2 * SECOND_NS)
    house.bury()
    assert channel.is_idle
    assert [letter.body for letter in house.letters(DEAD)] == [b"poison"]
    assert house.broker.dead_letters.last_trouble == ""


def test_a_dead_letter_topic_that_is_full_takes_no_more_until_it_is_not(make_house: MakeHouse) -> None:
    entries = [PolicyEntry(topic="*", max_attempts=1), PolicyEntry(topic="*.dead", max_depth=2)]
    house = make_house(*entries)
    house.topic("clicks", "archive")
    channel = house.broker.topics["clicks"].channels["archive"]
    give_up(house, b"a", b"b", b"c")
    house.bury()
    assert len(house.letters(DEAD)) == 3
    give_up(house, b"d")
    house.bury()

    assert (channel.depth, len(house.letters(DEAD))) == (1, 3)
    assert "is beyond its max_depth of 2" in house.broker.dead_letters.last_trouble

    house.broker.topics[DEAD].channels["dead"].empty()
    house.wait(2 * SECOND_NS)
    house.bury()
    assert (channel.depth, [letter.body for letter in house.letters(DEAD)]) == (0, [b"d"])


def test_a_dead_letter_topic_that_is_deleted_before_the_letter_counts_is_made_again(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_attempts=1), durability="fsync")
    house.topic("clicks", "archive")
    give_up(house, b"poison")
    [dead] = house.broker.dead_letters.write()
    dead.commit()

    house.broker.delete_topic(dead)
    house.broker.dead_letters.settle()
    house.clock.advance(ns=2 * SECOND_NS)
    house.bury()

    assert [letter.body for letter in house.letters(DEAD)] == [b"poison"]


def test_what_was_emptied_meanwhile_is_not_finished_twice(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_attempts=1), durability="fsync")
    topic = house.topic("clicks", "archive")
    give_up(house, b"poison")
    [dead] = house.broker.dead_letters.write()
    dead.commit()
    house.sync(dead)

    topic.channels["archive"].empty()
    house.broker.dead_letters.settle()

    assert topic.channels["archive"].is_idle
    assert topic.channels["archive"].dead_letter_count == 0


def test_a_channel_or_topic_that_is_deleted_meanwhile_leaves_its_letters(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_attempts=1), durability="fsync")
    topic = house.topic("clicks", "archive", "metrics")
    give_up(house, b"poison")
    [dead] = house.broker.dead_letters.write()
    house.broker.delete_channel(topic, topic.channels["archive"])
    house.broker.delete_topic(topic)

    house.commit(dead)

    assert house.broker.dead_letters.settle() == []
    assert len(house.letters(DEAD)) == 1


def test_what_is_beyond_a_limit_is_moved_as_never_delivered(house: Any) -> None:
    house.set_policies(PolicyEntry(topic="clicks", channel="archive", max_depth=2, overflow="dead_letter"))
    topic = house.broker.topics["clicks"]

    house.publish(topic, b"a", b"b", b"c", b"d", b"e")
    house.bury()

    archive = topic.channels["archive"]
    assert (archive.depth, archive.dead_letter_count, archive.dropped_count) == (2, 3, 0)
    letters = house.letters(DEAD)
    assert [(letter.body, letter.attempts, letter.reason) for letter in letters] == [
        (body, 0, "max_depth") for body in (b"a", b"b", b"c")
    ]
    house.join(archive)
    assert [(body, attempts) for _, body, attempts in house.deal(archive)] == [(b"d", 1), (b"e", 1)]


def test_what_no_channel_was_given_goes_to_a_topic_of_its_own(house: Any) -> None:
    house.set_policies(PolicyEntry(topic="alone", max_depth=2, overflow="dead_letter"))
    topic = house.topic("alone")
    house.publish(topic, b"later", delay_ns=SECOND_NS)
    house.publish(topic, b"a", b"b", b"c", b"d")
    assert (topic.depth, topic.refusal) == (5, "topic alone is beyond its max_depth of 2")

    house.bury()
    house.wait(1)

    assert (topic.depth, topic.dead_letter_count, topic.refusal) == (2, 3, "")
    assert [(letter.body, letter.channel) for letter in house.letters("alone.dead")] == [
        (b"later", ""),
        (b"a", ""),
        (b"b", ""),
    ]
    house.topic("alone", "first")
    house.join(topic.channels["first"])
    assert [body for _, body, _ in house.deal(topic.channels["first"])] == [b"c", b"d"]


def test_letters_of_several_channels_share_a_chosen_topic(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="clicks", max_attempts=1, dead_letter_topic="graveyard"))
    topic: Topic = house.topic("clicks", "archive", "metrics")
    house.publish(topic, b"poison")
    for channel in topic.channels.values():
        consumer = house.join(channel)
        house.deal(channel)
        channel.leave(consumer)

    house.bury()

    assert [(letter.channel, letter.event) for letter in house.letters("graveyard")] == [
        ("archive", "disconnect"),
        ("metrics", "disconnect"),
    ]


def test_a_record_that_is_missing_leaves_no_letter(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_attempts=1))
    topic = house.topic("clicks", "archive")
    give_up(house, b"poison")
    topic.log.chunks.clear()
    topic.log.segments.clear()

    house.bury()

    assert house.letters(DEAD) == []
    assert not topic.channels["archive"].doomed
