"""The age of what waits is read from the log, and seldom from the disk."""

from typing import Any

from millstream.engine.channel import Channel
from millstream.engine.limits import ChannelSettings
from millstream.engine.log import ForgetfulProgress
from millstream.engine.oldest import OldestMessages
from millstream.engine.topic import Topic
from millstream.protocol.chunks import BufferPool
from millstream.storage.log import Log
from millstream.storage.settings import LogSettings
from millstream.testing.clock import FakeClock
from millstream.testing.files import FaultyFiles

ORIGIN = 1000
SECOND_NS = 10**9


def test_a_channel_without_waiting_messages_has_no_oldest(bench: Any) -> None:
    oldest = OldestMessages()
    assert oldest.of_channel(bench.channel) == 0

    bench.join(10)
    bench.publish(1)
    bench.deal()

    assert oldest.of_channel(bench.channel) == 0


def test_the_message_at_the_cursor_is_the_oldest(bench: Any) -> None:
    oldest = OldestMessages()
    published = []
    for _ in range(3):
        published.append(bench.clock.wall_ns())
        bench.publish(1)
        bench.clock.advance(ns=SECOND_NS)
    assert [oldest.of_channel(bench.channel) for _ in range(2)] == [published[0]] * 2

    bench.join(1)
    bench.deal()

    assert oldest.of_channel(bench.channel) == published[1]


def test_a_requeued_message_is_older_than_what_follows(bench: Any) -> None:
    oldest = OldestMessages()
    first_ns = bench.clock.wall_ns()
    bench.publish(1)
    bench.clock.advance(ns=SECOND_NS)
    bench.publish(1)
    consumer = bench.join(1)
    bench.deal()

    bench.channel.requeue(consumer, ORIGIN, 0)

    assert oldest.of_channel(bench.channel) == first_ns


def test_a_deferred_message_that_is_due_has_the_age_of_its_publish(bench: Any) -> None:
    oldest = OldestMessages()
    first_ns = bench.clock.wall_ns()
    bench.publish(1, delay_ns=SECOND_NS)
    assert oldest.of_channel(bench.channel) == 0

    bench.wait(2 * SECOND_NS)

    assert oldest.of_channel(bench.channel) == first_ns


def test_deferred_messages_in_front_of_the_line_do_not_wait(bench: Any) -> None:
    oldest = OldestMessages()
    bench.publish(3, delay_ns=100 * SECOND_NS)
    bench.clock.advance(ns=SECOND_NS)
    bench.publish(1)

    assert oldest.of_channel(bench.channel) == bench.clock.wall_ns()


def test_a_topic_without_channels_keeps_its_messages() -> None:
    log = Log(FaultyFiles(), "t", LogSettings(), BufferPool(), ORIGIN)
    topic = Topic("t", log, ForgetfulProgress())
    oldest = OldestMessages()
    assert oldest.of_topic(topic) == 0

    topic.publish(bytearray(b"x"), 0, 1, 55)
    topic.commit()

    assert oldest.of_topic(topic) == 55


def test_reads_of_the_disk_are_limited_and_what_was_read_is_remembered() -> None:
    files = FaultyFiles()
    settings = LogSettings(hot_messages_max=1, hot_bytes_max=1)
    log = Log(files, "t", settings, BufferPool(), ORIGIN)
    topic = Topic("t", log, ForgetfulProgress())
    channels = [
        Channel(name, log, ForgetfulProgress(), FakeClock(), lambda: 0.0, ChannelSettings(), ORIGIN) for name in "abc"
    ]
    for channel in channels:
        topic.add(channel)
    body = bytearray(60_000)
    for place in range(20):
        topic.publish(body, 0, len(body), 100 + place)
        topic.commit()
    assert log.chunks[0].base > ORIGIN
    oldest = OldestMessages(reads_max=2)

    answers = []
    for _ in range(2):
        oldest.begin()
        answers.append([oldest.of_channel(channel) for channel in channels])

    assert answers == [[100, 100, None], [100, 100, 100]]


def test_the_age_of_a_message_outside_the_log_is_read_once(bench: Any) -> None:
    oldest = OldestMessages(reads_max=1)
    first_ns = bench.clock.wall_ns()
    bench.publish(1, delay_ns=SECOND_NS)
    bench.publish(1, delay_ns=SECOND_NS)
    bench.channel.save()
    bench.wait(2 * SECOND_NS)

    assert [oldest.of_channel(bench.channel) for _ in range(3)] == [first_ns] * 3
    bench.join(1)
    bench.deal()
    assert oldest.of_channel(bench.channel) is None
    oldest.begin()
    assert oldest.of_channel(bench.channel) == first_ns
