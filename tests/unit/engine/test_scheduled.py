"""Deferred messages are listed by their time, cancelled and moved; a change that cannot be kept is none."""

from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.engine.log import ForgetfulProgress
from millstream.engine.scheduled import PAGE_BYTES_MAX, cancel, move, scheduled
from millstream.engine.topic import Topic

ORIGIN = 1000
SECOND_NS = 10**9


@pytest.fixture
def topic(bench: Any) -> Topic:
    """The topic of the bench's channel; messages 0 to 9 are deferred, the last one is due first."""
    found = Topic("clicks", bench.log, ForgetfulProgress())
    found.channels["metrics"] = bench.channel
    for place in range(10):
        bench.publish(1, delay_ns=(10 - place) * SECOND_NS)
    bench.channel.save()
    return found


def places(bench: Any, after: tuple[int, int] | None = None, limit: int = 100) -> list[int]:
    return [each.sequence - ORIGIN for each in scheduled(bench.channel, after, limit)[0]]


def test_messages_are_listed_by_their_time(bench: Any, topic: Topic) -> None:
    found, has_more = scheduled(topic.channels["metrics"], None, 2)

    first, second = found
    assert has_more
    assert (first.sequence, second.sequence) == (ORIGIN + 9, ORIGIN + 8)
    assert first.due_ns == bench.clock.wall_ns() + SECOND_NS
    assert (first.attempts, first.timestamp_ns, first.body) == (0, bench.clock.wall_ns(), b"9")


def test_pages_follow_one_another_whatever_happens_to_the_last_message_of_one(bench: Any, topic: Topic) -> None:
    first, _ = scheduled(bench.channel, None, 4)
    after = (first[-1].due_ns, first[-1].sequence)

    cancel(topic, bench.channel, [first[-1].sequence])

    assert places(bench, after, 3) == [5, 4, 3]
    assert scheduled(bench.channel, after, 6)[1] is False
    assert scheduled(bench.channel, after, 5)[1] is True
    assert places(bench, (after[0] + 100 * SECOND_NS, 0)) == []


def test_a_page_of_large_bodies_ends_sooner(bench: Any) -> None:
    size = PAGE_BYTES_MAX // 2
    for _ in range(3):
        bench.log.append_deferred(bytearray(size), 0, size, 1, bench.clock.wall_ns() + SECOND_NS)
    bench.log.commit()
    bench.channel.see(bench.log.ready_seq)

    found, has_more = scheduled(bench.channel, None, 100)

    assert (len(found), has_more) == (2, True)


def test_a_message_whose_frame_is_spoilt_is_listed_without_a_body(bench: Any, topic: Topic) -> None:
    (name,) = [name for name in bench.files.names("data") if name.endswith(".frames")]
    content = bytearray(bench.files.read(f"data/{name}"))
    content[8:20] = bytes(12)
    bench.files.overwrite(f"data/{name}", bytes(content))

    found, _ = scheduled(topic.channels["metrics"], None, 100)

    assert [each.body for each in found] == [*(b"%d" % place for place in range(9, 0, -1)), None]


def test_a_cancelled_message_never_comes_not_even_after_a_crash(bench: Any, topic: Topic) -> None:
    assert cancel(topic, bench.channel, [ORIGIN + 3, 77, ORIGIN + 5, ORIGIN + 3]) == [ORIGIN + 3, ORIGIN + 5]
    assert cancel(topic, bench.channel, [ORIGIN + 3]) == []

    bench.files = bench.files.crash()
    bench.open()
    bench.publish(0)
    bench.join(20)
    bench.wait(20 * SECOND_NS)

    assert sorted(place for _, place, _ in bench.deal()) == [0, 1, 2, 4, 6, 7, 8, 9]


def test_a_moved_message_comes_at_its_new_time_also_after_a_crash(bench: Any, topic: Topic) -> None:
    assert move(topic, bench.channel, ORIGIN, bench.clock.wall_ns() + 500_000_000)
    assert move(topic, bench.channel, ORIGIN + 9, bench.clock.wall_ns() + 60 * SECOND_NS)
    assert not move(topic, bench.channel, 77, bench.clock.wall_ns())

    bench.files = bench.files.crash()
    bench.open()
    bench.publish(0)
    consumer = bench.join(20)
    bench.wait(500_000_000)
    assert [place for _, place, _ in bench.deal()] == [0]
    bench.channel.finish(consumer, ORIGIN)
    bench.wait(10 * SECOND_NS)
    assert [place for _, place, _ in bench.deal()] == [8, 7, 6, 5, 4, 3, 2, 1]
    for place in range(1, 9):
        bench.channel.finish(consumer, ORIGIN + place)
    bench.wait(49 * SECOND_NS)
    assert bench.deal() == []
    bench.wait(SECOND_NS)
    assert [place for _, place, _ in bench.deal()] == [9]


def test_a_message_that_is_moved_to_the_past_is_due(bench: Any, topic: Topic) -> None:
    bench.join(20)
    assert move(topic, bench.channel, ORIGIN, bench.clock.wall_ns() - SECOND_NS)

    bench.wait(0)

    assert [place for _, place, _ in bench.deal()] == [0]


def test_what_is_not_deferred_is_neither_cancelled_nor_moved(bench: Any, topic: Topic) -> None:
    bench.join(1)
    bench.wait(2 * SECOND_NS)
    bench.deal()

    assert cancel(topic, bench.channel, [ORIGIN + 9, ORIGIN + 8]) == []
    assert not move(topic, bench.channel, ORIGIN + 9, bench.clock.wall_ns())
    assert not move(topic, bench.channel, ORIGIN + 8, bench.clock.wall_ns())


@pytest.mark.parametrize("after", [0, 1])
def test_a_change_that_cannot_be_kept_is_none(bench: Any, topic: Topic, after: int) -> None:
    before = places(bench)
    bench.files.fail("write", after=after, times=2)
    bench.channel.progress.close()
    bench.files.fail("truncate", times=2)

    with pytest.raises(StorageError):
        cancel(topic, bench.channel, [ORIGIN + 3, ORIGIN + 5])
    with pytest.raises(StorageError):
        move(topic, bench.channel, ORIGIN + 3, bench.clock.wall_ns())
    assert places(bench) == before

    bench.files.heal()
    bench.channel.save()
    bench.files = bench.files.crash()
    bench.open()
    bench.publish(0)
    assert places(bench) == before


def test_a_topic_that_has_no_place_on_the_disk_yet_keeps_the_change_in_memory(bench: Any) -> None:
    topic = Topic("clicks", bench.log, ForgetfulProgress())
    topic.channels["metrics"] = bench.channel
    bench.publish(2, delay_ns=SECOND_NS)
    bench.log.chunks.clear()
    assert not topic.is_kept

    assert cancel(topic, bench.channel, [ORIGIN]) == [ORIGIN]

    assert places(bench) == [1]
    assert bench.channel.is_changed
