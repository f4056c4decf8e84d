from collections.abc import Callable
from contextlib import suppress

import pytest

from millstream.base.errors import StorageError
from millstream.engine.broker import Broker
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.effects import ChannelCreated, ChannelDeleted, Disconnect, TopicCreated, TopicDeleted
from millstream.engine.limits import BrokerSettings
from millstream.engine.metadata import TopicMetadata
from millstream.engine.topic import Topic
from millstream.protocol.chunks import BufferPool
from millstream.storage.log import Log
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing.clock import FakeClock
from millstream.testing.files import FaultyFiles, Killed

SECOND_NS = 10**9


class Host:
    """A broker on a disk, which can be killed and started again."""

    def __init__(self, durability: str = "log") -> None:
        self.durability = durability
        self.clock = FakeClock()
        self.files = FaultyFiles()
        self.files.make_directory("data")
        self.origins = iter(range(1000, 1 << 40, 1 << 20))
        self.broker = self.start([])

    def start(self, metadata: list[TopicMetadata]) -> Broker:
        pool = BufferPool()
        settings = LogSettings(segment_bytes_max=16 << 10, durability=self.durability)
        self.broker = Broker(
            DiskStore(self.files, "data", settings, pool),
            pool,
            self.clock,
            origin=lambda: next(self.origins),
            chance=lambda: 0.0,
            settings=BrokerSettings(),
        )
        self.broker.load(metadata)
        return self.broker

    def kill(self) -> Broker:
        """kill -9, and a start from what is there; the metadata file was up to date."""
        metadata = self.broker.metadata()
        self.files = self.files.crash()
        return self.start(metadata)

    def restart(self) -> Broker:
        """A graceful stop and a start."""
        metadata = self.broker.metadata()
        assert self.broker.close() == []
        return self.start(metadata)


@pytest.fixture
def host() -> Host:
    return Host()


def publish(topic: Topic, count: int, body: bytes = b"x") -> None:
    for _ in range(count):
        topic.publish(bytearray(body), 0, len(body), 1)
    topic.commit()


def join(channel: Channel, number: int = 1, ready_count: int = 100) -> Consumer:
    consumer = Consumer(number, 60 * SECOND_NS)
    consumer.ready_count = ready_count
    channel.join(consumer)
    return consumer


def test_topics_and_channels_are_announced_once(host: Host) -> None:
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "archive")
    assert host.broker.topic("clicks") is topic
    host.broker.channel(topic, "archive")

    assert host.broker.take_effects() == [TopicCreated("clicks"), ChannelCreated("clicks", "archive")]
    assert host.broker.take_effects() == []


def test_deleting_a_channel_disconnects_its_consumers(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    consumer = join(channel)
    host.broker.take_effects()

    host.broker.delete_channel(topic, channel)

    assert host.broker.take_effects() == [Disconnect(consumer), ChannelDeleted("clicks", "archive")]
    assert topic.channels == {}
    assert list(host.broker.topics) == ["clicks"]


def test_a_channel_is_off_the_list_before_its_journal_goes(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    publish(topic, 3)
    listed: list[tuple[list[TopicMetadata], list[str]]] = []

    def unlist() -> None:
        names = [name for name in host.files.names("data/clicks.topic") if name.endswith(".channel")]
        listed.append((host.broker.metadata(), names))

    host.broker.delete_channel(topic, channel, unlist=unlist)

    assert listed == [([TopicMetadata("clicks")], ["archive.channel"])]
    assert "archive.channel" not in host.files.names("data/clicks.topic")


@pytest.mark.parametrize("change", range(6))
def test_a_channel_that_was_half_made_when_the_process_was_killed_sees_nothing_of_before(
    host: Host, change: int
) -> None:
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "archive")
    publish(topic, 3)
    host.broker.save()
    listed = host.broker.metadata()
    host.files.kill_at(change)

    with suppress(Killed):
        host.broker.channel(topic, "late")

    host.files = host.files.crash()
    found = host.start(listed).topics["clicks"]
    assert host.broker.channel(found, "late").depth == 0


def test_deleting_a_topic_removes_all_of_it(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    consumer = join(channel)
    publish(topic, 3)
    topic.save()
    host.broker.take_effects()

    host.broker.delete_topic(topic)

    assert host.broker.take_effects() == [
        Disconnect(consumer),
        ChannelDeleted("clicks", "archive"),
        TopicDeleted("clicks"),
    ]
    assert topic.is_deleted
    assert host.files.names("data") == []
    again = host.broker.topic("clicks")
    assert (again.depth, again.message_count) == (0, 0)


def test_sequences_never_come_again_in_a_topic_made_anew(host: Host) -> None:
    topic = host.broker.topic("clicks")
    publish(topic, 3)
    end = topic.log.next_seq
    host.broker.delete_topic(topic)

    assert host.broker.topic("clicks").log.next_seq > end


def test_an_ephemeral_channel_goes_with_its_last_consumer(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "tail#ephemeral")
    first, second = join(channel), join(channel, 2)

    host.broker.leave(topic, channel, first)
    kept = list(topic.channels)
    host.broker.leave(topic, channel, second)

    assert kept == ["tail#ephemeral"]
    assert topic.channels == {}


def test_an_ephemeral_topic_goes_with_its_last_channel(host: Host) -> None:
    topic = host.broker.topic("passing#ephemeral")
    channel = host.broker.channel(topic, "archive")

    host.broker.delete_channel(topic, channel)

    assert host.broker.topics == {}
    assert host.broker.take_effects()[-1] == TopicDeleted("passing#ephemeral")


def test_a_lasting_channel_keeps_what_its_lost_consumer_held(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    consumer = join(channel)
    publish(topic, 2)
    channel.deal(0)

    host.broker.leave(topic, channel, consumer)

    assert (channel.depth, channel.in_flight_count) == (2, 0)


def test_a_tick_names_the_channels_with_something_to_deal(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    idle = host.broker.channel(topic, "idle")
    join(channel)
    publish(topic, 1)
    now_ns = host.clock.monotonic_ns()
    channel.deal(now_ns)

    early = host.broker.tick(now_ns + 60 * SECOND_NS - 1)
    due = host.broker.tick(now_ns + 60 * SECOND_NS)

    assert early == []
    assert due == [(topic, channel)]
    assert idle.depth == 1


@pytest.mark.parametrize("stop", [Host.kill, Host.restart])
def test_a_start_finds_topics_channels_and_pauses(host: Host, stop: Callable[[Host], Broker]) -> None:
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "archive").paused = True
    host.broker.channel(topic, "tail#ephemeral")
    publish(topic, 3)
    topic.pause()
    publish(topic, 2)
    host.broker.save()
    host.broker.topic("empty")

    broker = stop(host)

    found = broker.topics["clicks"]
    assert found.paused
    assert found.depth == 2
    assert found.channels["archive"].paused
    assert found.channels["archive"].depth == 3
    assert "empty" in broker.topics
    assert (found.message_count, found.channels["archive"].message_count) == (0, 0)


def test_topics_with_a_log_come_back_without_the_metadata_file(host: Host) -> None:
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "archive")
    publish(topic, 3)
    host.broker.save()
    host.files = host.files.crash()

    broker = host.start([])

    assert broker.topics["clicks"].channels["archive"].depth == 3


def test_a_pause_before_the_first_save_loses_nothing(host: Host) -> None:
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "archive")
    publish(topic, 3)
    topic.pause()

    broker = host.kill()

    assert broker.topics["clicks"].channels["archive"].depth == 3


def test_what_waits_for_a_first_channel_survives_the_deletion_of_the_last(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    publish(topic, 2)
    host.broker.delete_channel(topic, channel)
    publish(topic, 3)

    broker = host.kill()
    found = broker.topics["clicks"]

    assert found.depth == 3
    assert broker.channel(found, "again").depth == 3


def test_a_channel_deleted_beside_a_passing_one_leaves_no_backlog(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    host.broker.channel(topic, "tail#ephemeral")
    publish(topic, 2)
    host.broker.delete_channel(topic, channel)

    assert host.kill().topics["clicks"].depth == 0


def test_sequences_that_a_start_finds_missing_are_waited_for_by_nobody(host: Host) -> None:
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "archive")
    for _ in range(3):
        publish(topic, 4, bytes(8_000))
    victims = [segment for segment in topic.log.segments if isinstance(topic.log, Log)][1:-1]
    missing = sum(segment.end - segment.base for segment in victims)
    for segment in victims:
        host.files.remove(segment.path)

    found = host.kill().topics["clicks"]

    assert missing > 0
    assert found.channels["archive"].depth == 12 - missing
    host.files.remove("data/clicks.topic/archive.channel")
    found = host.start([]).topics["clicks"]
    assert found.depth == 12 - missing
    assert host.broker.channel(found, "again").depth == 12 - missing


def test_what_comes_after_a_loss_of_records_is_not_counted_as_moved(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    publish(topic, 2, bytes(12_000))
    end = topic.log.next_seq
    host.broker.delete_channel(topic, channel)
    # Nobody needs these segments any more, and a power loss brings the older one back.
    assert isinstance(topic.log, Log)
    assert len(topic.log.segments) == 2
    host.files.remove(topic.log.segments[-1].path)

    found = host.kill().topics["clicks"]
    publish(found, 1)

    assert (found.depth, found.moved_seq) == (1, end)
    assert host.kill().topics["clicks"].depth == 1


def test_a_channel_made_after_a_publish_does_not_see_it_after_a_crash_either(host: Host) -> None:
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "first")
    publish(topic, 2)
    host.broker.channel(topic, "second")

    found = host.kill().topics["clicks"]

    assert (found.channels["first"].depth, found.channels["second"].depth) == (2, 0)


def test_a_channel_whose_journal_cannot_be_written_is_not_made(host: Host) -> None:
    topic = host.broker.topic("clicks")
    publish(topic, 2)
    host.broker.take_effects()
    host.files.fail("write")

    with pytest.raises(StorageError):
        host.broker.channel(topic, "archive")

    assert topic.channels == {}
    assert host.broker.take_effects() == []
    assert host.kill().topics["clicks"].channels == {}


def test_a_channel_can_be_made_between_the_first_publish_and_its_commit(host: Host) -> None:
    topic = host.broker.topic("clicks")
    topic.publish(bytearray(b"x"), 0, 1, 1)

    channel = host.broker.channel(topic, "archive")
    topic.commit()

    assert channel.depth == 1


def test_saving_goes_on_after_a_failure_and_reports_it(host: Host) -> None:
    topics = [host.broker.topic(name) for name in ("clicks", "spam_api")]
    for topic in topics:
        publish(topic, 1)
        host.broker.channel(topic, "archive").empty()
    host.files.fail("write")

    errors = host.broker.save()

    assert len(errors) == 1
    assert host.broker.save() == []
    assert not any(topic.channels["archive"].is_changed for topic in topics)


def test_memory_keeps_its_messages_over_a_graceful_restart() -> None:
    host = Host("memory")
    topic = host.broker.topic("clicks")
    host.broker.channel(topic, "archive")
    publish(topic, 3)

    broker = host.restart()

    assert broker.topics["clicks"].channels["archive"].depth == 3


def test_what_memory_lost_in_a_crash_is_not_waited_for() -> None:
    host = Host("memory")
    topic = host.broker.topic("clicks")
    ahead, behind = host.broker.channel(topic, "ahead"), host.broker.channel(topic, "behind")
    publish(topic, 30, bytes(2_000))
    consumer = join(ahead, ready_count=1000)
    ahead.deal(0)
    for sequence in range(topic.log.first_seq, topic.log.next_seq):
        ahead.finish(consumer, sequence)
    host.broker.save()

    broker = host.kill()
    found = broker.topics["clicks"].channels["behind"]
    join(found, ready_count=1000)
    depth = found.depth
    found.deal(0)

    assert behind.depth == 30
    assert depth == found.in_flight_count < 30
    assert found.depth == 0


def delivered(channel: Channel) -> list[bytes]:
    consumer = join(channel, 77, 1000)
    return [bytes(effect.frames) for effect in channel.deal(0) if effect.consumer is consumer]


def test_a_channel_that_lost_its_journal_begins_at_the_oldest_record(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    publish(topic, 3)
    topic.pause()  # From now on a journal of the topic's own says how far messages went.
    topic.unpause()
    publish(topic, 2)
    channel.save()
    host.files.remove("data/clicks.topic/archive.channel")

    channel = host.kill().topics["clicks"].channels["archive"]

    assert channel.depth == 5
    assert b"".join(delivered(channel)).count(b"x") == 5


def test_a_message_that_left_the_log_survives_a_damaged_journal(host: Host) -> None:
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    publish(topic, 4)
    consumer = join(channel)
    channel.deal(0)
    topic.save()
    path = "data/clicks.topic/archive.channel"
    before = len(host.files.read(path))
    channel.requeue(consumer, 1000, 5 * SECOND_NS)
    channel.finish(consumer, 1001)
    topic.save()
    damaged = len(host.files.read(path))
    channel.requeue(consumer, 1002, 5 * SECOND_NS)
    channel.finish(consumer, 1003)
    topic.save()
    data = host.files.read(path)
    host.files.overwrite(path, data[: before + 9] + b"\xee" + data[before + 10 :])
    assert before < damaged < len(data)

    channel = host.kill().topics["clicks"].channels["archive"]

    # 1000 is in the log still; 1002 waits for its time; what was finished then may come again.
    assert channel.deferred_count == 1
    ids = b"".join(delivered(channel))
    assert b"%016x" % 1000 in ids
    assert b"%016x" % 1002 not in ids


def test_sequences_that_a_journal_takes_for_dropped_are_not_given_out_again() -> None:
    host = Host()
    topic = host.broker.topic("clicks")
    channel = host.broker.channel(topic, "archive")
    publish(topic, 1)
    end = topic.log.next_seq
    channel.drop_range(end, end + 5)  # a start found records there that it could not read
    channel.save()

    topic = host.kill().topics["clicks"]
    publish(topic, 1)

    channel = topic.channels["archive"]
    assert topic.log.next_seq == end + 6
    assert channel.depth == 2
