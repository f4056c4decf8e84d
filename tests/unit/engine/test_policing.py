"""Which policy holds for whom: for what is new, for what is there, after a start."""

from collections.abc import Callable
from typing import Any

from millstream.engine.policies import NO_POLICY, PolicyEntry

MakeHouse = Callable[..., Any]


def test_without_entries_a_topic_pays_nothing(make_house: MakeHouse) -> None:
    topic = make_house().topic("clicks", "archive")

    assert topic.limits is None
    assert topic.channels["archive"].policy is NO_POLICY


def test_entries_that_match_nothing_here_cost_nothing(make_house: MakeHouse) -> None:
    topic = make_house(PolicyEntry(topic="other", max_depth=1)).topic("clicks", "archive")

    assert topic.limits is None


def test_a_new_channel_gets_what_holds_for_it(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", channel="archive", max_attempts=3))
    topic = house.topic("clicks", "metrics")
    assert topic.limits is None

    house.topic("clicks", "archive")

    assert topic.limits is not None
    assert [channel.max_attempts for channel in topic.channels.values()] == [0, 3]


def test_what_is_there_follows_a_change(make_house: MakeHouse) -> None:
    house = make_house()
    topic = house.topic("clicks", "archive")
    house.publish(topic, b"a", b"b", b"c")

    house.set_policies(PolicyEntry(topic="clicks", max_depth=1, overflow="drop_oldest"))
    assert topic.channels["archive"].depth == 1

    house.set_policies()
    house.publish(topic, b"d", b"e")
    assert topic.channels["archive"].depth == 3


def test_a_start_takes_up_what_holds(make_house: MakeHouse) -> None:
    house = make_house()
    topic = house.topic("clicks", "archive")
    house.publish(topic, b"a", b"b", b"c")
    house.book = type(house.book)([PolicyEntry(topic="*", max_depth=2)])

    house.kill()

    assert house.broker.topics["clicks"].refusal
