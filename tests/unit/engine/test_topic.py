from collections.abc import Callable

import pytest

from millstream.base.errors import StorageError
from millstream.engine.broker import Broker
from millstream.engine.consumer import Consumer
from millstream.engine.limits import BrokerSettings
from millstream.engine.topic import Topic
from millstream.protocol.chunks import BufferPool
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing.clock import FakeClock
from millstream.testing.files import FaultyFiles

MakeTopic = Callable[..., Topic]


@pytest.fixture
def files() -> FaultyFiles:
    found = FaultyFiles()
    found.make_directory("data")
    return found


@pytest.fixture
def broker(files: FaultyFiles) -> Broker:
    pool = BufferPool()
    origins = iter(range(1000, 1 << 40, 1 << 20))
    return Broker(
        DiskStore(files, "data", LogSettings(segment_bytes_max=16 << 10), pool),
        pool,
        FakeClock(),
        origin=lambda: next(origins),
        chance=lambda: 0.0,
        settings=BrokerSettings(mem_queue_size=5),
    )


def publish(topic: Topic, *bodies: bytes) -> None:
    for body in bodies:
        topic.publish(bytearray(body), 0, len(body), 1)
    topic.commit()


def test_without_a_channel_messages_stay_in_the_topic(broker: Broker) -> None:
    topic = broker.topic("clicks")

    publish(topic, b"a", b"bc")

    assert (topic.depth, topic.message_count, topic.message_bytes) == (2, 2, 3)


def test_the_first_channel_gets_the_backlog_and_later_ones_what_follows(broker: Broker) -> None:
    topic = broker.topic("clicks")
    publish(topic, b"a", b"b")

    first = broker.channel(topic, "first")
    second = broker.channel(topic, "second")
    publish(topic, b"c")

    assert topic.depth == 0
    assert (first.depth, second.depth) == (3, 1)
    assert (first.message_count, second.message_count) == (3, 1)


def test_nothing_is_seen_before_the_commit(broker: Broker) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")

    topic.publish(bytearray(b"a"), 0, 1, 1)

    assert (channel.depth, topic.message_count) == (0, 0)
    topic.commit()
    assert (channel.depth, topic.message_count) == (1, 1)


def test_a_batch_counts_its_messages_and_their_bytes(broker: Broker) -> None:
    topic = broker.topic("clicks")

    topic.publish_batch(bytearray(b"\0\0\0\1a\0\0\0\2bc"), 0, 2, 3, 1)
    topic.publish_deferred(bytearray(b"d"), 0, 1, 1, 2)
    topic.commit()

    assert (topic.message_count, topic.message_bytes) == (3, 4)


def test_a_failed_commit_accepts_nothing(broker: Broker, files: FaultyFiles) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")
    publish(topic, b"a")
    files.fail("write")

    with pytest.raises(StorageError):
        publish(topic, b"b", b"c")

    assert (topic.message_count, topic.message_bytes, channel.depth) == (1, 1, 1)
    publish(topic, b"d")
    assert (topic.message_count, topic.message_bytes, channel.depth) == (2, 2, 2)


def test_while_paused_messages_stay_in_the_topic(broker: Broker) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")
    publish(topic, b"a")

    topic.pause()
    publish(topic, b"b")
    paused = (topic.depth, channel.depth)
    topic.unpause()

    assert paused == (1, 1)
    assert (topic.depth, channel.depth) == (0, 2)


def test_a_pause_that_cannot_be_noted_is_none(broker: Broker, files: FaultyFiles) -> None:
    topic = broker.topic("clicks")
    publish(topic, b"a")
    files.fail("open")

    with pytest.raises(StorageError):
        topic.pause()

    assert not topic.paused


def test_a_held_topic_shows_nothing_until_all_channels_are_made(broker: Broker) -> None:
    topic = broker.topic("clicks")
    topic.is_held = True
    first = broker.channel(topic, "first")
    publish(topic, b"a")
    second = broker.channel(topic, "second")

    held = (first.depth, second.depth)
    topic.release_hold()

    assert held == (0, 0)
    assert (first.depth, second.depth) == (1, 1)


def test_emptying_drops_what_no_channel_has_seen(broker: Broker) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")
    publish(topic, b"a")
    topic.pause()
    publish(topic, b"b", b"c")
    topic.publish_deferred(bytearray(b"d"), 0, 1, 1, 2)
    topic.commit()

    topic.empty()
    topic.unpause()
    publish(topic, b"e")

    assert topic.depth == 0
    assert (channel.depth, channel.deferred_count) == (2, 0)


def test_an_emptied_channel_is_empty_in_its_journal_too(broker: Broker, files: FaultyFiles) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")
    publish(topic, b"a", b"b")

    topic.empty_channel(channel)

    pool = BufferPool()
    _, state = DiskStore(files, "data", LogSettings(), pool).open_progress("clicks", "archive")
    assert (channel.depth, state.floor) == (0, topic.log.next_seq)


def test_a_channel_without_a_journal_is_emptied_in_memory(broker: Broker, files: FaultyFiles) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")

    topic.empty_channel(channel)

    assert channel.depth == 0
    assert files.names("data") == []


def test_what_everybody_is_done_with_leaves_the_disk(broker: Broker) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")
    consumer = Consumer(1, 10**9)
    consumer.ready_count = 1000
    channel.join(consumer)
    for _ in range(20):
        publish(topic, bytes(5_000))
    before = topic.log.first_seq
    channel.deal(0)
    for sequence in range(before, topic.log.next_seq - 1):
        channel.finish(consumer, sequence)

    topic.save()

    assert topic.log.first_seq > before
    assert channel.in_flight_count == 1


def test_a_journal_that_fails_keeps_the_log(broker: Broker, files: FaultyFiles) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "archive")
    for _ in range(20):
        publish(topic, bytes(5_000))
    topic.save()
    before = topic.log.first_seq
    channel.empty()
    files.fail("write")

    with pytest.raises(StorageError):
        topic.save()
    kept = topic.log.first_seq
    topic.save()

    assert kept == before
    assert topic.log.first_seq > before


@pytest.mark.shows(
    "nsqd: an ephemeral channel that overflows", better="the oldest messages are dropped; NSQ drops the newest"
)
def test_an_ephemeral_topic_that_nobody_reads_is_bounded(broker: Broker) -> None:
    topic = broker.topic("passing#ephemeral")

    for number in range(50):
        publish(topic, b"%d" % number)
    topic.save()

    assert topic.depth == 5
    channel = broker.channel(topic, "late")
    assert channel.depth == 5


def test_a_topic_closed_with_a_passing_channel_alone_remembers_what_that_had(broker: Broker) -> None:
    topic = broker.topic("clicks")
    broker.channel(topic, "tail#ephemeral")
    publish(topic, b"a", b"b")

    topic.close()
    broker.topics.clear()
    broker.load([])

    assert broker.topics["clicks"].depth == 0


def test_a_topic_without_a_place_on_the_disk_notes_nothing_for_one(broker: Broker) -> None:
    topic = broker.topic("clicks")
    channel = broker.channel(topic, "metrics")
    channel.progress.attempts(1, 2)

    topic.save()

    assert channel.progress.wants_snapshot
    publish(topic, b"a")
    assert not channel.progress.wants_snapshot
