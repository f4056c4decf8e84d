"""A channel on a log in memory, and a broker under policies, with what a test asks of them in one place."""

from collections.abc import Callable, Iterable

import pytest

from millstream.engine.broker import Broker
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer, Deliver
from millstream.engine.letters import Letter
from millstream.engine.limits import BrokerSettings, ChannelSettings
from millstream.engine.log import Progress, ProgressState
from millstream.engine.metadata import TopicMetadata
from millstream.engine.policies import PolicyBook, PolicyEntry
from millstream.engine.redriving import page
from millstream.engine.topic import Topic
from millstream.protocol.chunks import BufferPool, ChunkQueue
from millstream.storage.log import Log
from millstream.storage.progress import Progress as Journal
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing.clock import FakeClock
from millstream.testing.files import FaultyFiles

ORIGIN = 1000
TIMEOUT_NS = 10 * 10**9
JOURNAL = "data/metrics.channel"


class Bench:
    """One channel; messages are named by their place, 0 for the first, and have the body `b"<place>"`."""

    def __init__(self, settings: ChannelSettings, chance: Callable[[], float]) -> None:
        self.settings = settings
        self.chance = chance
        self.clock = FakeClock()
        self.files = FaultyFiles()
        self.files.make_directory("data")
        self.log = ChunkQueue(BufferPool(), ORIGIN)
        self.channel = self.open()
        self.published = 0

    def open(self) -> Channel:
        """The channel as its journal has it: also what a restart finds."""
        journal = Journal(self.files, JOURNAL, LogSettings(frames_bytes_max=1_000))
        saved: ProgressState = journal.load()
        progress: Progress = journal
        self.channel = Channel("metrics", self.log, progress, self.clock, self.chance, self.settings, ORIGIN, saved)
        return self.channel

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    def publish(self, count: int, *, delay_ns: int = 0) -> None:
        for _ in range(count):
            body = b"%d" % self.published
            self.published += 1
            if delay_ns:
                due_ns = self.clock.wall_ns() + delay_ns
                self.log.append_deferred(bytearray(body), 0, len(body), self.clock.wall_ns(), due_ns)
            else:
                self.log.append(bytearray(body), 0, len(body), self.clock.wall_ns())
        self.log.commit()
        self.channel.see(self.log.ready_seq)

    def join(self, ready_count: int, *, number: int = 1, sample_rate: int = 0) -> Consumer:
        consumer = Consumer(number, TIMEOUT_NS, sample_rate=sample_rate)
        consumer.ready_count = ready_count
        self.channel.join(consumer)
        return consumer

    def deal(self) -> list[tuple[int, int, int]]:
        """What one round delivers: (number of the consumer, place, attempts)."""
        return list(delivered(self.channel.deal(self.now_ns)))

    def wait(self, ns: int) -> None:
        self.clock.advance(ns=ns)
        self.channel.tick(self.now_ns)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Depth, in flight, deferred."""
        return self.channel.depth, self.channel.in_flight_count, self.channel.deferred_count


def delivered(effects: Iterable[Deliver]) -> Iterable[tuple[int, int, int]]:
    for effect in effects:
        frames = bytes(effect.frames)
        while frames:
            size = 4 + int.from_bytes(frames[:4], "big")
            place = int(frames[18:34], 16) - ORIGIN
            assert frames[4:8] == b"\0\0\0\2"
            assert frames[34:size] == b"%d" % place
            yield effect.consumer.number, place, int.from_bytes(frames[16:18], "big")
            frames = frames[size:]


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench() -> MakeBench:
    def make(*, chance: Callable[[], float] = lambda: 0.0, **bounds: int | bool) -> Bench:
        return Bench(ChannelSettings(**bounds), chance)  # type: ignore[arg-type]  # bounds are fields by name

    return make


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()


class House:
    """A broker on a disk, under policies: messages are named by their bodies. It can be killed and started again."""

    def __init__(self, *entries: PolicyEntry, durability: str = "log", mem_queue_size: int = 10_000) -> None:
        self.book = PolicyBook(entries)
        self.durability = durability
        self.mem_queue_size = mem_queue_size
        self.clock = FakeClock()
        self.files = FaultyFiles()
        self.files.make_directory("data")
        self.files.sync_directory("")
        self.origins = iter(range(ORIGIN, 1 << 40, 1 << 20))
        self.numbers = iter(range(1, 1 << 20))
        self.broker = self.start([])

    def start(self, metadata: list[TopicMetadata]) -> Broker:
        self.pool = BufferPool()
        settings = LogSettings(segment_bytes_max=16 << 10, hot_bytes_max=32 << 10, durability=self.durability)
        self.broker = Broker(
            DiskStore(self.files, "data", settings, self.pool),
            self.pool,
            self.clock,
            origin=lambda: next(self.origins),
            chance=lambda: 0.0,
            settings=BrokerSettings(mem_queue_size=self.mem_queue_size),
        )
        self.broker.set_policies(self.book)
        self.broker.load(metadata)
        return self.broker

    def kill(self, *, power_loss: bool = False) -> Broker:
        metadata = self.broker.metadata()
        self.files = self.files.crash(power_loss=power_loss)
        return self.start(metadata)

    def set_policies(self, *entries: PolicyEntry) -> None:
        self.book = PolicyBook(entries)
        self.broker.set_policies(self.book)

    def topic(self, name: str = "clicks", *channels: str) -> Topic:
        topic = self.broker.topic(name)
        for channel in channels:
            self.broker.channel(topic, channel)
        return topic

    def publish(self, topic: Topic, *bodies: bytes, delay_ns: int = 0) -> None:
        now_ns = self.clock.wall_ns()
        for body in bodies:
            if delay_ns:
                topic.publish_deferred(bytearray(body), 0, len(body), now_ns, now_ns + delay_ns)
            else:
                topic.publish(bytearray(body), 0, len(body), now_ns)
        self.commit(topic)

    def commit(self, topic: Topic) -> None:
        topic.commit()
        self.sync(topic)

    def sync(self, topic: Topic) -> None:
        job = topic.log.begin_sync() if isinstance(topic.log, Log) else None
        if job is not None and isinstance(topic.log, Log):
            job.run()
            topic.log.end_sync(job, failed=False)
            topic.show()

    def join(self, channel: Channel, ready_count: int = 100, *, client: object = None) -> Consumer:
        consumer = Consumer(next(self.numbers), TIMEOUT_NS, client=client)
        consumer.ready_count = ready_count
        channel.join(consumer)
        return consumer

    def deal(self, channel: Channel) -> list[tuple[int, bytes, int]]:
        """Deliver until nothing moves: sequence, body, attempts."""
        found: list[tuple[int, bytes, int]] = []
        while effects := channel.deal(self.clock.monotonic_ns()):
            found += [message for effect in effects for message in messages_in(bytes(effect.frames))]
        return found

    def wait(self, ns: int) -> None:
        self.clock.advance(ns=ns)
        now_ns = self.clock.monotonic_ns()
        self.broker.tick(now_ns)
        self.broker.enforce(now_ns)

    def bury(self) -> list[Topic]:
        """Write dead letters as a turn of the loop does, until there is nothing more to write."""
        written: dict[Topic, None] = {}
        while topics := self.broker.dead_letters.write():
            for topic in topics:
                written[topic] = None
                self.commit(topic)
            self.broker.dead_letters.settle()
        return list(written)

    def letters(self, name: str) -> list[Letter]:
        """What waits in the channel of a dead-letter topic."""
        dead = self.broker.topics[name].channels["dead"]
        return [letter for _, letter in page(dead, lambda _: True, after=0, limit=1_000).letters]


def messages_in(frames: bytes) -> Iterable[tuple[int, bytes, int]]:
    at = 0
    while at < len(frames):
        size = int.from_bytes(frames[at : at + 4], "big")
        attempts = int.from_bytes(frames[at + 16 : at + 18], "big")
        yield int(frames[at + 18 : at + 34], 16), frames[at + 34 : at + 4 + size], attempts
        at += 4 + size


@pytest.fixture
def make_house() -> Callable[..., House]:
    """Make a broker under policies."""
    return House
