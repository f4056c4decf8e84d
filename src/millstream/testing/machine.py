"""The machine of a simulation: a clock that is told the time, a disk that fails, a broker that is killed and started.

`testing.simulation` drives it; what the broker owes is kept in `expected` (`testing.expectation`). Durability and the
bounds of caches follow from the seed, so that small ones are met too.
"""

from collections import deque
from random import Random
from typing import Final

from millstream.base.errors import StorageError
from millstream.engine.broker import Broker
from millstream.engine.consumer import Consumer
from millstream.engine.limits import BrokerSettings
from millstream.engine.metadata import decode, encode
from millstream.engine.topic import Topic
from millstream.protocol.chunks import BufferPool
from millstream.storage.log import Log
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing.clock import FakeClock
from millstream.testing.expectation import Contradiction, ExpectedTopic
from millstream.testing.files import FaultyFiles, Killed

HELD_MAX_NS: Final = 6_000_000_000
_DATA_PATH: Final = "/data"
_ORIGIN_STEP: Final = 1 << 32
_POWER_SHARE: Final = 0.7


class Client:
    """A subscriber: its consumer, and where it is subscribed."""

    def __init__(self, consumer: Consumer, topic: str, channel: str) -> None:
        self.consumer = consumer
        self.topic = topic
        self.channel = channel


class Machine:
    """One broker on one machine. `journal` has the last steps, newest last; while `is_faulty` the disk may fail."""

    def __init__(self, seed: int, *, power_fails: bool = False) -> None:
        self.seed = seed
        self.power_fails = power_fails
        self.journal: deque[str] = deque(maxlen=40)
        self.random = Random(seed)  # noqa: S311 - repeatable on purpose
        self.durability = self.random.choice(["log", "log", "log", "fsync", "memory"])
        if power_fails:
            self.durability = "fsync"
        self.clock = FakeClock()
        self.files = FaultyFiles(seed=seed)
        self.files.make_directory(_DATA_PATH)
        self.files.sync_directory("")
        self.is_faulty = False
        self.expected: dict[str, ExpectedTopic] = {}
        self.clients: list[Client] = []
        self.metadata = encode([])
        self._origin = self.random.randrange(1 << 40)
        self.last_number = 0
        self.body_number = 0
        self._window_slots = self.random.choice([64, 64, 1 << 20])
        self.mem_queue_size = 10_000
        self._start()

    def _start(self) -> None:
        self.pool = BufferPool(buffers_max=2)
        settings = LogSettings(
            durability=self.durability,
            segment_bytes_max=16 << 10,
            hot_messages_max=self.random.choice([1, 20, 1000]),
            hot_bytes_max=self.random.choice([64 << 10, 1 << 20]),
            cold_chunks_max=self.random.choice([1, 4]),
            journal_slack_bytes=self.random.choice([100, 2_000, 64 << 10]),
            frames_bytes_max=self.random.choice([200, 2_000, 16 << 20]),
        )
        self.broker = Broker(
            DiskStore(self.files, _DATA_PATH, settings, self.pool),
            self.pool,
            self.clock,
            origin=self._next_origin,
            chance=self.random.random,
            settings=BrokerSettings(
                mem_queue_size=self.mem_queue_size,
                window_slots_max=self._window_slots,
                max_msg_timeout_ns=HELD_MAX_NS,
            ),
        )

    def _next_origin(self) -> int:
        self._origin += _ORIGIN_STEP
        return self._origin

    def note(self, text: str) -> None:
        """Say more of the step in the journal."""
        self.journal[-1] += f" {text}"

    def commit(self) -> None:
        """The end of a turn for all topics, and a round of the group commit."""
        for topic in list(self.broker.topics.values()):
            self.commit_topic(topic, sync=True)

    def commit_topic(self, topic: Topic, *, sync: bool) -> None:
        """The end of a turn for one topic."""
        try:
            topic.commit()
            if sync:
                self._sync(topic)
        except StorageError as error:
            if not self.is_faulty:
                raise
            self.note(f"failed: {error}")
        self.expected[topic.name].commit(topic, is_faulty=self.is_faulty)

    def _sync(self, topic: Topic) -> None:
        """Durability `fsync`: a round of the group commit."""
        log = topic.log
        job = log.begin_sync() if isinstance(log, Log) else None
        if job is None or not isinstance(log, Log):
            return
        try:
            job.run()
        except StorageError as error:
            self.note(f"sync failed: {error}")
            log.end_sync(job, failed=True)
            self.expected[topic.name].refuse(log.durable_seq)
        else:
            log.end_sync(job, failed=False)
        topic.show()

    def wait(self) -> None:
        """Time passes, and the timers are served."""
        self.clock.advance(ms=self.random.choice([1, 100, 1_000, 5_000]))
        self.tick()

    def tick(self) -> None:
        """Serve the timers."""
        now_ns = self.clock.monotonic_ns()
        self.broker.tick(now_ns)
        for topic in self.expected.values():
            for channel in topic.channels.values():
                channel.tick(now_ns)

    def save(self) -> None:
        """The journals are brought up to date."""
        errors = self.broker.save()
        if errors and not self.is_faulty:
            raise errors[0]
        for topic in self.broker.topics.values():
            if topic.is_kept:
                self.expected[topic.name].show(topic, is_faulty=self.is_faulty)
                self._note_saved(topic)

    def _note_saved(self, topic: Topic) -> None:
        for channel in topic.channels.values():
            if not channel.is_changed:
                self.expected[topic.name].channels[channel.name].saved()

    def spoil(self) -> None:
        """The disk begins to fail, or fills up."""
        self.is_faulty = True
        match self.random.choice(["write", "write", "torn", "open", "sync", "rename", "truncate", "full", "read"]):
            case "full":
                self.files.capacity_bytes = self.files.used_bytes + self.random.randrange(20_000)
            case "torn":
                self.files.fail("write", after=self.random.randrange(6), times=2, keep_part=True)
            case kind:
                self.files.fail(kind, after=self.random.randrange(4), times=self.random.choice([1, 3, 50]))

    def stumble(self) -> None:
        """No journal can be written when it should be, and often the process dies of it."""
        self.is_faulty = True
        self.files.fail("write", times=50)
        self.save()
        if self.durability != "memory" and self.random.random() < 0.5:
            self._load(self.files.crash())

    def heal(self) -> None:
        """The disk works again, and has room."""
        self.files.heal()
        self.is_faulty = False

    def restart(self) -> None:
        """A graceful stop and a start."""
        self.heal()
        self.commit()
        for client in list(self.clients):
            topic = self.broker.topics.get(client.topic)
            if topic is not None and client.channel in topic.channels:
                self.broker.leave(topic, topic.channels[client.channel], client.consumer)
        errors = self.broker.close()
        if errors:
            raise errors[0]
        for expected in self.expected.values():
            for channel in expected.channels.values():
                channel.leave_all()
                channel.saved()
        self._load(self.files)

    def crash(self) -> None:
        """`kill -9` at any moment, also within a write; where `power_fails`, mostly a power loss instead."""
        if self.durability == "memory":
            return
        is_power_loss = self.power_fails and self.random.random() < _POWER_SHARE
        if self.random.random() < 0.5:
            self._kill_within()
        self.note("power loss" if is_power_loss else "kill")
        if is_power_loss:
            for topic in self.expected.values():
                topic.forget_saves()
        self._load(self.files.crash(power_loss=is_power_loss))

    def _kill_within(self) -> None:
        self.files.kill_at(self.random.randrange(6))
        try:
            for topic in list(self.broker.topics.values()):
                topic.commit()
                self._sync(topic)
            self.broker.save()
        except Killed:
            self.note("within a change")
        except StorageError:
            self.note("after a failure")

    def _load(self, files: FaultyFiles) -> None:
        self.files = files
        self.is_faulty = False
        self.clients.clear()
        self._start()
        self.broker.load(decode(self.metadata))
        self.broker.take_effects()
        for name in [name for name in self.expected if name.endswith("#ephemeral")]:
            del self.expected[name]
        if self.broker.topics.keys() != self.expected.keys():
            raise Contradiction(f"came back with other topics: {list(self.broker.topics)}")
        for name, expected in self.expected.items():
            expected.restart(self.broker.topics[name])
