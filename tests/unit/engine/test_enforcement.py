"""Topics and channels stay within their limits: by refusing, by dropping, by dooming; and what is retained stays."""

from collections.abc import Callable
from typing import Any

import pytest

from millstream.engine.enforcement import AGE_CHECK_NS, DOOMED_MAX
from millstream.engine.policies import PolicyEntry
from millstream.storage.log import Log

SECOND_NS = 10**9
HEADER = 34

MakeHouse = Callable[..., Any]


def bodies(count: int, size: int = 1) -> list[bytes]:
    return [(b"%d," % number * size)[: max(size, len(b"%d," % number))] for number in range(count)]


def waiting(house: Any, channel: Any) -> list[bytes]:
    house.join(channel, 10_000)
    return [body for _, body, _ in house.deal(channel)]


# ---------------------------------------------------------------------------------------------------------- max_depth


def test_publishers_are_refused_while_a_channel_is_too_deep(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=3))
    topic = house.topic("clicks", "archive", "metrics")
    house.publish(topic, *bodies(3))
    assert (topic.refusal, topic.is_barred) == ("", False)

    house.publish(topic, b"one more")

    assert topic.refusal == "channel archive of topic clicks is beyond its max_depth of 3"
    assert topic.is_barred
    for channel in topic.channels.values():
        consumer = house.join(channel)
        for sequence, _, _ in house.deal(channel):
            channel.finish(consumer, sequence)
    house.wait(1)
    assert (topic.refusal, topic.is_barred) == ("", False)
    assert [channel.dropped_count for channel in topic.channels.values()] == [0, 0]


def test_the_oldest_are_dropped_from_each_channel_that_is_too_deep(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", channel="arch*", max_depth=3, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive", "metrics")

    house.publish(topic, *bodies(10))

    archive, metrics = topic.channels.values()
    assert (archive.depth, archive.dropped_count, metrics.depth) == (3, 7, 10)
    assert topic.refusal == ""
    assert waiting(house, archive) == bodies(10)[7:]


def test_what_is_in_flight_is_beyond_no_depth(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=2, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    channel = topic.channels["archive"]
    house.join(channel, 2)
    house.publish(topic, *bodies(2))
    house.deal(channel)

    house.publish(topic, *bodies(3))

    assert (channel.depth, channel.in_flight_count, channel.dropped_count) == (2, 2, 1)


def test_the_backlog_of_a_topic_has_a_depth_too(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=3, overflow="drop_oldest"))
    topic = house.topic()

    house.publish(topic, *bodies(5))
    house.publish(topic, *bodies(5))

    assert (topic.depth, topic.dropped_count) == (3, 7)
    house.broker.save()
    house.kill()
    topic = house.topic("clicks", "late")
    assert waiting(house, topic.channels["late"]) == bodies(5)[2:]


def test_a_paused_topic_drops_for_all_its_channels_and_remembers_it(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=3, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    topic.pause()
    house.publish(topic, *bodies(8))
    assert (topic.depth, topic.dropped_count) == (3, 5)

    house.broker.save()
    house.kill()
    topic = house.broker.topics["clicks"]

    assert (topic.paused, topic.depth) == (True, 3)
    topic.unpause()
    assert waiting(house, topic.channels["archive"]) == bodies(8)[5:]


def test_a_channel_that_is_ahead_of_its_topic_after_a_crash_does_not_go_back(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=1, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    house.publish(topic, b"first")
    channel = topic.channels["archive"]
    consumer = house.join(channel)
    for sequence, _, _ in house.deal(channel):
        channel.finish(consumer, sequence)
    topic.pause()
    house.publish(topic, b"a", b"b", b"c", b"d")
    channel.save()
    house.book = type(house.book)([PolicyEntry(topic="*", max_depth=2, overflow="drop_oldest")])

    house.kill()

    topic = house.broker.topics["clicks"]
    channel = topic.channels["archive"]
    assert channel.visible_seq >= channel.cursor.sequence
    topic.unpause()
    assert waiting(house, channel) == [b"d"]


def test_a_topic_refuses_for_its_backlog(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=3))
    topic = house.topic()

    house.publish(topic, *bodies(4))

    assert topic.refusal == "topic clicks is beyond its max_depth of 3"


def test_the_doomed_count_as_depth_and_bound_publishers_in_the_end(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=3, overflow="dead_letter"))
    topic = house.topic("clicks", "archive")
    channel = topic.channels["archive"]

    house.publish(topic, *bodies(10))
    assert (channel.depth, len(channel.doomed), topic.refusal) == (10, 7, "")
    assert {doom.reason for doom in channel.doomed.values()} == {"max_depth"}

    house.publish(topic, *bodies(DOOMED_MAX))

    assert len(channel.doomed) == DOOMED_MAX
    assert topic.refusal == "channel archive of topic clicks is beyond its max_depth of 3"


@pytest.mark.parametrize(("topic_name", "channel_name"), [("clicks", "tail#ephemeral"), ("clicks#ephemeral", "tail")])
def test_what_is_ephemeral_drops_its_oldest_beyond_the_memory_it_may_have(
    make_house: MakeHouse, topic_name: str, channel_name: str
) -> None:
    house = make_house(mem_queue_size=4)
    topic = house.topic(topic_name, channel_name, "other")
    channel = topic.channels[channel_name]

    house.publish(topic, *bodies(10))

    assert (channel.depth, channel.dropped_count) == (4, 6)
    assert not channel.policy.is_given
    is_all = "#" in topic_name
    assert topic.channels["other"].depth == (4 if is_all else 10)


def test_a_policy_bounds_what_is_ephemeral_otherwise(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", channel="tail*", max_depth=2), mem_queue_size=4)
    topic = house.topic("clicks", "tail#ephemeral")

    house.publish(topic, *bodies(10))

    assert (topic.channels["tail#ephemeral"].depth, topic.refusal) == (2, "")


def test_an_ephemeral_topic_without_a_channel_keeps_its_newest(make_house: MakeHouse) -> None:
    house = make_house(mem_queue_size=4)
    topic = house.topic("clicks#ephemeral")

    house.publish(topic, *bodies(10))

    assert (topic.depth, topic.dropped_count) == (4, 6)


# ---------------------------------------------------------------------------------------------------------- max_bytes


def test_a_channel_keeps_the_newest_bytes(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_bytes=5 * (HEADER + 1_000), overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    sent = bodies(12, 1_000)

    house.publish(topic, *sent)

    channel = topic.channels["archive"]
    assert (channel.depth, channel.dropped_count) == (5, 7)
    assert waiting(house, channel) == sent[7:]


def test_publishers_are_refused_while_a_channel_has_too_many_bytes(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_bytes=3_000))
    topic = house.topic("clicks", "archive")

    house.publish(topic, *bodies(4, 1_000))

    assert topic.refusal == "channel archive of topic clicks is beyond its max_bytes of 3000"
    waiting(house, topic.channels["archive"])
    house.wait(1)
    # What is in flight is still the log's, and the topic's limit is of its log.
    assert topic.refusal == ""
    assert len(topic.channels["archive"].stragglers) == 2


def test_the_log_of_a_topic_is_bounded_whatever_is_in_flight(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_bytes=100_000, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    channel = topic.channels["archive"]
    house.join(channel, 1)
    house.publish(topic, b"held")
    assert len(house.deal(channel)) == 1

    for _ in range(40):
        house.publish(topic, *bodies(10, 1_000))
        house.broker.save()
        house.wait(SECOND_NS // 20)

    assert isinstance(topic.log, Log)
    assert topic.log.size_bytes < 100_000 + 2 * (16 << 10) + 30_000
    assert channel.in_flight_count == 1
    assert channel.depth * 1_034 <= 100_000


def test_the_backlog_of_a_topic_is_bounded_by_the_bytes_of_its_log(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_bytes=50_000, overflow="drop_oldest"))
    topic = house.topic()

    for _ in range(20):
        house.publish(topic, *bodies(10, 1_000))
        house.broker.save()

    assert 0 < topic.depth * 1_034 <= 50_000
    assert topic.log.size_bytes < 50_000 + 2 * (16 << 10) + 10_000
    house.wait(AGE_CHECK_NS)
    house.kill()
    assert house.broker.topics["clicks"].depth == topic.depth


def test_a_topic_refuses_while_its_log_is_too_large(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_bytes=3_000))
    topic = house.topic()

    house.publish(topic, *bodies(4, 1_000))

    assert topic.refusal == "topic clicks is beyond its max_bytes of 3000"


def test_a_log_that_cannot_be_read_is_looked_at_again(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_bytes=40_000))
    topic = house.topic("clicks", "archive")
    house.publish(topic, *bodies(39, 1_000))
    house.set_policies(PolicyEntry(topic="*", max_bytes=10_000, overflow="drop_oldest"))
    topic.log.rest()
    house.files.fail("read", times=1_000)
    house.set_policies(PolicyEntry(topic="*", max_bytes=5_000, overflow="drop_oldest"))

    house.files.heal()
    topic.show()

    assert topic.channels["archive"].depth == 4


# ------------------------------------------------------------------------------------------------------------ max_age


def test_what_is_too_old_goes(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_age_ms=5_000, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    backlog = house.topic("alone")
    for each in (topic, backlog):
        house.publish(each, b"old", b"old too")
    house.wait(3 * SECOND_NS)
    for each in (topic, backlog):
        house.publish(each, b"young")
    assert (topic.channels["archive"].depth, backlog.depth) == (3, 3)

    house.wait(3 * SECOND_NS)

    assert (topic.channels["archive"].depth, backlog.depth) == (1, 1)
    assert (topic.channels["archive"].dropped_count, backlog.dropped_count) == (2, 2)
    assert waiting(house, topic.channels["archive"]) == [b"young"]


def test_what_waits_for_its_first_delivery_after_a_delay_is_not_too_old(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_age_ms=5_000, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    house.publish(topic, b"scheduled", delay_ns=60 * SECOND_NS)
    house.publish(topic, b"now")

    house.wait(61 * SECOND_NS)
    house.wait(2 * SECOND_NS)

    assert waiting(house, topic.channels["archive"]) == [b"scheduled"]


def test_publishers_are_refused_while_something_too_old_waits(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_age_ms=5_000))
    topic = house.topic("clicks", "archive")
    alone = house.topic("alone")
    for each in (topic, alone):
        house.publish(each, b"old")

    house.wait(6 * SECOND_NS)

    assert topic.refusal == "channel archive of topic clicks is beyond its max_age of 5s"
    assert alone.refusal == "topic alone is beyond its max_age of 5s"
    waiting(house, topic.channels["archive"])
    house.topic("alone", "first")
    waiting(house, alone.channels["first"])
    house.wait(SECOND_NS)
    assert (topic.refusal, alone.refusal) == ("", "")


def test_what_is_too_old_is_doomed_where_dead_letters_are_wanted(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_age_ms=5_000, overflow="dead_letter"))
    topic = house.topic("clicks", "archive")
    house.publish(topic, b"old")

    house.wait(6 * SECOND_NS)

    assert [doom.reason for doom in topic.channels["archive"].doomed.values()] == ["max_age"]


# ---------------------------------------------------------------------------------------------------------- retention


def flow(house: Any, topic: Any, count: int, *, seconds: int = 0) -> None:
    """Publish, consume and save, again and again."""
    channel = topic.channels["archive"]
    consumer = house.join(channel)
    for number in range(count):
        house.publish(topic, (b"%d," % number * 1_000)[:1_000])
        for sequence, _, _ in house.deal(channel):
            channel.finish(consumer, sequence)
        house.broker.save()
        if seconds:
            house.wait(seconds * SECOND_NS)
    channel.leave(consumer)


def test_without_retention_what_is_finished_goes(make_house: MakeHouse) -> None:
    house = make_house()
    topic = house.topic("clicks", "archive")

    flow(house, topic, 200)

    assert len(topic.log.segments) == 1


def test_finished_bytes_are_retained_and_can_be_read(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", retain_bytes=100_000))
    topic = house.topic("clicks", "archive")

    flow(house, topic, 300)

    retained = topic.limits.retained_bytes
    assert 60_000 < retained < 100_000 + 2 * (16 << 10)
    first = topic.log.first_seq
    assert topic.log.record(first) is not None
    assert topic.channels["archive"].is_idle
    assert topic.log.ready_seq - first > 60
    house.kill()
    topic = house.broker.topics["clicks"]
    assert topic.log.first_seq == first
    assert (topic.depth, topic.channels["archive"].depth) == (0, 0)


def test_a_channel_that_is_made_later_does_not_see_what_is_retained(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", retain_bytes=100_000))
    topic = house.topic("clicks", "archive")
    flow(house, topic, 100)

    house.topic("clicks", "late")

    assert topic.channels["late"].depth == 0


def test_finished_messages_are_retained_for_a_time_and_go_without_traffic(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", retain_age_ms=100_000))
    topic = house.topic("clicks", "archive")

    flow(house, topic, 300, seconds=1)
    retained = topic.log.ready_seq - topic.log.first_seq
    assert 100 <= retained <= 100 + 2 * 25

    house.clock.advance(ns=200 * SECOND_NS)
    assert house.broker.enforce(house.clock.monotonic_ns()) == [topic]
    house.broker.save()
    assert len(topic.log.segments) == 1


def test_what_is_not_finished_is_kept_whatever_is_retained(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", retain_age_ms=1_000, retain_bytes=20_000))
    topic = house.topic("clicks", "archive", "slow")

    flow(house, topic, 100, seconds=1)

    assert topic.channels["slow"].depth == 100
    assert topic.limits.retained_bytes == 0


def test_a_limit_in_bytes_comes_before_retention(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", retain_bytes=1 << 30, max_bytes=120_000, overflow="drop_oldest"))
    topic = house.topic("clicks", "archive")
    flow(house, topic, 300)
    assert 60_000 < topic.log.size_bytes < 120_000 + 3 * (16 << 10)

    house.publish(topic, *bodies(100, 1_000))
    house.broker.save()

    assert topic.log.size_bytes < 120_000 + 3 * (16 << 10)
    assert topic.channels["archive"].depth == 100
    assert topic.refusal == ""


def test_lifting_a_policy_lets_everything_go_on(make_house: MakeHouse) -> None:
    house = make_house(PolicyEntry(topic="*", max_depth=1, retain_bytes=1 << 20))
    topic = house.topic("clicks", "archive")
    flow(house, topic, 50)
    house.publish(topic, *bodies(2))
    assert topic.refusal

    house.set_policies()
    waiting(house, topic.channels["archive"])
    topic.channels["archive"].empty()
    house.broker.save()

    assert (topic.limits, topic.refusal) == (None, "")
    assert len(topic.log.segments) == 1
