"""A whole broker on a clock that is told the time and a disk that fails, driven by a seed and checked after each step.

`Simulation(seed).run(steps)` publishes, subscribes, deals, answers, pauses, empties, deletes, lets time pass, saves,
fills the disk, kills the process and starts it again, as the seed has it; `testing.expectation` keeps what must be
true. The engine and the storage under it are the real ones. A failure names the seed and the last steps: the same seed
does the same again.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer, Deliver
from millstream.engine.effects import Disconnect
from millstream.engine.metadata import encode
from millstream.engine.scheduled import cancel, move, scheduled
from millstream.engine.topic import Topic
from millstream.storage.log import Log
from millstream.testing.delivered import messages_in
from millstream.testing.expectation import Contradiction, ExpectedChannel, ExpectedTopic, Published
from millstream.testing.machine import HELD_MAX_NS, Client, Machine

TOPICS: Final = ("clicks", "spam_api", "passing#ephemeral")
CHANNELS: Final = ("archive", "metrics", "tail#ephemeral")
_MS: Final = 1_000_000
_BODY_BYTES: Final = ((1, 40), (1, 40), (1, 40), (200, 3_000), (10_000, 20_000))
_LARGE_BODY_BYTES: Final = (200_000, 300_000)


class Simulation(Machine):
    """One broker, its publishers, subscribers and administrators: `steps` are methods, with how often each is taken."""

    @property
    def steps(self) -> dict[str, int]:
        """Names of steps with their weights."""
        return _STEPS

    def run(self, steps: int) -> None:
        """Take the steps, then drain everything. Raises `Contradiction`, with the seed in its text."""
        names = [name for name, weight in self.steps.items() for _ in range(weight)]
        try:
            for _ in range(steps):
                name = self.random.choice(names)
                self.journal.append(name)
                getattr(self, name)()
                self._settle()
            self.drain()
        except (Contradiction, StorageError, LookupError, ValueError, ArithmeticError, TypeError) as error:
            history = "\n  ".join(self.journal)
            raise Contradiction(f"seed {self.seed} ({self.durability}): {error!r}; after:\n  {history}") from error

    def _settle(self) -> None:
        """The end of a step: carry out effects, compare the books, let buffers go back."""
        for effect in self.broker.take_effects():
            if isinstance(effect, Disconnect):
                self.clients = [found for found in self.clients if found.consumer is not effect.consumer]
        if self.broker.topics.keys() != self.expected.keys():
            raise Contradiction(f"topics are {list(self.broker.topics)}, should be {list(self.expected)}")
        for name, expected in self.expected.items():
            expected.check(self.broker.topics[name])
        self.metadata = encode(self.broker.metadata())
        self.pool.turn()

    # ------------------------------------------------------------------------------------------------- publishers

    def _topic(self) -> Topic | None:
        return self.open_topic(self.random.choice(TOPICS))

    def open_topic(self, name: str) -> Topic | None:
        """The topic, made when it is missing; None when a failing disk does not let it."""
        try:
            topic = self.broker.topic(name)
        except StorageError:
            if not self.is_faulty:
                raise
            return None
        if name not in self.expected:
            self.expected[name] = ExpectedTopic(name, topic.moved_seq)
        return topic

    def _body(self) -> bytes:
        low, high = _LARGE_BODY_BYTES if self.random.random() < 0.01 else self.random.choice(_BODY_BYTES)
        self.body_number += 1
        size = self.random.randint(low, high)
        stamp = b"%x," % self.body_number
        return (stamp * (size // len(stamp) + 1))[:size]

    def publish(self) -> None:
        """PUB, MPUB or DPUB, and mostly the commit that follows at the end of the turn."""
        topic = self._topic()
        if topic is None or topic.refusal:
            return
        kind = self.random.choice(["PUB", "PUB", "MPUB", "DPUB"])
        if kind == "DPUB":
            self._publish_deferred(topic)
            return
        bodies = [self._body() for _ in range(self.random.randint(1, 12) if kind == "MPUB" else 1)]
        data = bytearray(b"?")
        for body in bodies:
            data += len(body).to_bytes(4, "big") + body
        first = topic.log.next_seq
        if kind == "MPUB":
            topic.publish_batch(data, 1, len(bodies), len(data) - 1 - 4 * len(bodies), self.clock.wall_ns())
        else:
            topic.publish(data, 5, len(bodies[0]), self.clock.wall_ns())
        self._published(topic, kind, [Published(first + at, body, 0) for at, body in enumerate(bodies)])

    def _publish_deferred(self, topic: Topic) -> None:
        messages = []
        longest_ms = self.random.choice([2_000, 20_000, 100_000])
        for _ in range(self.random.choice([1, 1, 3, 10])):
            body = self._body()
            delay_ns = self.random.randrange(1, longest_ms) * _MS
            messages.append(Published(topic.log.next_seq, body, self.clock.monotonic_ns() + delay_ns))
            wall_ns = self.clock.wall_ns()
            topic.publish_deferred(bytearray(body), 0, len(body), wall_ns, wall_ns + delay_ns)
        self._published(topic, "DPUB", messages)

    def _published(self, topic: Topic, kind: str, messages: list[Published]) -> None:
        self.expected[topic.name].pending += messages
        size_bytes = sum(len(message.body) for message in messages)
        self.note(f"{kind} {topic.name} {len(messages)} from {messages[0].sequence:x}, {size_bytes} bytes")
        if self.random.random() < 0.7:
            self.commit_topic(topic, sync=self.random.random() < 0.8)

    # ------------------------------------------------------------------------------------------------ subscribers

    def subscribe(self) -> None:
        """A client subscribes and says how much it takes."""
        topic = self._topic()
        if topic is None:
            return
        self._subscribe(topic, self.random.choice(CHANNELS))

    def open_channel(self, topic: Topic, name: str) -> Channel | None:
        """The channel, made when it is missing; None when a failing disk does not let it."""
        expected = self.expected[topic.name]
        start = topic.moved_seq
        try:
            self.broker.channel(topic, name)
        except StorageError as error:
            if not self.is_faulty:
                raise
            self.note(f"failed: {error}")
        if name not in topic.channels:
            expected.attempted.add(name)
            return None
        if name not in expected.channels:
            expected.channels[name] = ExpectedChannel(name, start)
            expected.show(topic, is_faulty=self.is_faulty)
        return topic.channels[name]

    def _subscribe(self, topic: Topic, name: str) -> None:
        channel = self.open_channel(topic, name)
        if channel is None:
            return
        self.last_number += 1
        consumer = Consumer(self.last_number, self.random.randrange(1_000, 10_000) * _MS)
        consumer.ready_count = self.random.choice([1, 2, 5, 20, 200])
        channel.join(consumer)
        self.clients.append(Client(consumer, topic.name, name))
        self.note(f"{consumer.number} {topic.name}:{name} RDY {consumer.ready_count}")

    def _pick(self) -> tuple[Client, Channel, ExpectedChannel] | None:
        if not self.clients:
            return None
        client = self.random.choice(self.clients)
        channel = self.broker.topics[client.topic].channels[client.channel]
        return client, channel, self.expected[client.topic].channels[client.channel]

    def ready(self) -> None:
        """RDY, or a socket that takes no more, or takes again."""
        if self.clients:
            consumer = self.random.choice(self.clients).consumer
            consumer.ready_count = self.random.choice([0, 1, 3, 10, 100])
            consumer.is_blocked = self.random.random() < 0.2

    def deal(self) -> None:
        """Every channel deals, for one turn or until nothing moves."""
        turns = self.random.choice([1, 1, 1000])
        for topic in self.broker.topics.values():
            for channel in topic.channels.values():
                for _ in range(turns):
                    if not self._deal(topic, channel):
                        break

    def _deal(self, topic: Topic, channel: Channel) -> bool:
        now_ns = self.clock.monotonic_ns()
        expected = self.expected[topic.name].channels[channel.name]
        effects: list[Deliver] = []
        try:
            effects = channel.deal(now_ns)
        except StorageError as error:
            if not self.is_faulty:
                raise
            self.note(f"deal failed: {error}")
            return False
        for effect in effects:
            consumer = effect.consumer
            for sequence, attempts, body in messages_in(bytes(effect.frames)):
                expected.deliver(sequence, attempts, body, consumer.number, consumer.timeout_ns, now_ns)
            if channel.paused or consumer.is_blocked or consumer.in_flight > consumer.ready_count:
                raise Contradiction(f"{channel.name}: {consumer.number} was given more than it takes")
        is_ready = not channel.paused and any(consumer.room() > 0 for consumer in channel.consumers)
        waiting = channel.depth - len(channel.doomed)
        if is_ready and waiting > 0 and not channel.has_more:
            raise Contradiction(f"{channel.name}: {waiting} wait, somebody is ready, and nobody would deal again")
        return channel.has_more

    def answer(self) -> None:
        """FIN, REQ or TOUCH for some of what a client holds; sometimes for what it does not hold."""
        found = self._pick()
        if found is None:
            return
        client, channel, expected = found
        consumer = client.consumer
        held = expected.held_by(consumer.number)
        if self.random.random() < 0.3:
            self.random.shuffle(held)
        some = held[: self.random.randint(1, 1 + len(held))]
        kind = self.random.choice(["FIN", "FIN", "FIN", "FIN one by one", "REQ", "TOUCH"])
        self.note(f"{kind} {len(some)} by {consumer.number}")
        if kind == "FIN":
            self._finish_run(channel, expected, consumer, some)
        else:
            for sequence in some:
                self._answer(kind, channel, expected, consumer, sequence)
        stranger = self.random.choice([0, 1 << 62, channel.window.floor - 1, channel.window.cursor])
        held = expected.held_by(consumer.number)
        others = [found for found in expected.owed if found not in held]
        stranger = self.random.choice([stranger, *others[:3]])
        if stranger in held:
            return
        if channel.finish(consumer, stranger) or channel.touch(consumer, stranger, self.clock.monotonic_ns()):
            raise Contradiction(f"{channel.name}: {stranger:x} was answered by who does not hold it")
        if channel.requeue(consumer, stranger, self.random.choice([0, _MS])):
            raise Contradiction(f"{channel.name}: {stranger:x} was requeued by who does not hold it")

    def _finish_run(self, channel: Channel, expected: ExpectedChannel, consumer: Consumer, run: list[int]) -> None:
        """FINs as a session brings them: in runs, and one by one where a run stops."""
        data = bytearray(b"NOP\n" + b"".join(b"FIN %016x\n" % sequence for sequence in run))
        at = 4
        while at < len(data):
            at = channel.finish_run(consumer, data, at, len(data))
            if at < len(data):
                if not channel.finish(consumer, int(data[at + 4 : at + 20], 16)):
                    raise Contradiction(f"{channel.name}: FIN of what is in flight failed")
                at += 21
        for sequence in run:
            expected.finish(sequence)

    def _answer(
        self, kind: str, channel: Channel, expected: ExpectedChannel, consumer: Consumer, sequence: int
    ) -> None:
        now_ns = self.clock.monotonic_ns()
        if kind == "REQ":
            delay_ns = self.random.choice([0, 0, self.random.randrange(1, 30_000) * _MS])
            done = channel.requeue(consumer, sequence, delay_ns)
            if done:
                expected.requeue(sequence, now_ns + delay_ns if delay_ns else 0)
            elif self.is_faulty:
                return  # The log could not be read: the message stays in flight.
        elif kind == "TOUCH":
            done = channel.touch(consumer, sequence, now_ns)
            expected.touch(sequence, now_ns + consumer.timeout_ns, HELD_MAX_NS)
        else:
            done = channel.finish(consumer, sequence)
            expected.finish(sequence)
        if not done:
            raise Contradiction(f"{channel.name}: {kind} of what is in flight failed")

    def disconnect(self) -> None:
        """A client is gone; an ephemeral channel goes with its last one, an ephemeral topic with its last channel."""
        found = self._pick()
        if found is None or (self.is_faulty and "#" in found[1].name):
            return
        client, channel, expected = found
        self.clients.remove(client)
        self.broker.leave(self.broker.topics[client.topic], channel, client.consumer)
        expected.leave(client.consumer.number)
        topic = self.expected[client.topic]
        if channel.name.endswith("#ephemeral") and not channel.consumers:
            self._forget_channel(topic, channel.name)
        self.note(f"{client.consumer.number}")

    # ------------------------------------------------------------------------------------------------ administrators

    def _forget_channel(self, topic: ExpectedTopic, channel: str) -> None:
        del topic.channels[channel]
        if topic.name.endswith("#ephemeral") and not topic.channels:
            del self.expected[topic.name]

    def _any_topic(self) -> Topic | None:
        return self.random.choice(list(self.broker.topics.values())) if self.broker.topics else None

    def _any_channel(self) -> tuple[Topic, Channel] | None:
        pairs = [(topic, channel) for topic in self.broker.topics.values() for channel in topic.channels.values()]
        return self.random.choice(pairs) if pairs else None

    def look(self) -> None:
        """List what a channel has deferred, page by page."""
        found = self._any_channel()
        if found is None or self.is_faulty:
            return
        channel = found[1]
        distance_ns = self.clock.wall_ns() - self.clock.monotonic_ns()
        expected = [
            (owed.standing.until_ns + distance_ns, owed.message.sequence, owed.standing.attempts, owed.message.body)
            for owed in self.expected[found[0].name].channels[channel.name].deferred()
        ]
        listed: list[tuple[int, int, int, bytes | None]] = []
        has_more = True
        while has_more:
            after = (listed[-1][0], listed[-1][1]) if listed else None
            page, has_more = scheduled(channel, after, self.random.randint(1, 5))
            listed += [(each.due_ns, each.sequence, each.attempts, each.body) for each in page]
        if listed != expected:
            raise Contradiction(f"{channel.name}: {listed} are scheduled, should be {expected}")

    def _some_deferred(self) -> tuple[Topic, Channel, ExpectedChannel, list[int]] | None:
        found = self._any_channel()
        if found is None:
            return None
        expected = self.expected[found[0].name].channels[found[1].name]
        deferred = [owed.message.sequence for owed in expected.deferred()]
        self.random.shuffle(deferred)
        return (*found, expected, deferred) if deferred else None

    def cancel(self) -> None:
        """Cancel some deferred messages, and one that is none."""
        found = self._some_deferred()
        if found is None:
            return
        topic, channel, expected, deferred = found
        some = deferred[: self.random.randint(1, 3)]
        others = [sequence for sequence in expected.owed if sequence not in deferred]
        stranger = self.random.choice([0, channel.visible_seq, *others[:3]])
        self.note(f"{topic.name}:{channel.name} {len(some)}")
        try:
            cancelled = cancel(topic, channel, [stranger, *some])
        except StorageError as error:
            if not self.is_faulty:
                raise
            self.note(f"failed: {error}")
            cancelled = []
        if cancelled not in ([], some):
            raise Contradiction(f"{channel.name}: of {some} and {stranger}, {cancelled} were cancelled")
        for sequence in some:
            expected.cancel(sequence, is_kept=bool(cancelled))

    def move(self) -> None:
        """Give a deferred message another time, also one that has passed."""
        found = self._some_deferred()
        if found is None:
            return
        topic, channel, expected, deferred = found
        delay_ns = self.random.randrange(-5_000, 60_000) * _MS
        until_ns = self.clock.monotonic_ns() + delay_ns
        self.note(f"{topic.name}:{channel.name} {delay_ns}")
        is_kept = True
        try:
            if not move(topic, channel, deferred[0], self.clock.wall_ns() + delay_ns):
                raise Contradiction(f"{channel.name}: {deferred[0]:x} is deferred, and cannot be moved")
        except StorageError as error:
            if not self.is_faulty:
                raise
            self.note(f"failed: {error}")
            is_kept = False
        expected.move(deferred[0], until_ns, is_kept=is_kept)

    def pause_topic(self) -> None:
        """Pause a topic, or let it go on."""
        topic = self._any_topic()
        if topic is None:
            return
        expected = self.expected[topic.name]
        try:
            if topic.paused:
                topic.unpause()
            else:
                topic.pause()
        except StorageError:
            if not self.is_faulty:
                raise
        expected.paused = topic.paused
        expected.show(topic, is_faulty=self.is_faulty)
        self.note(f"{topic.name} {topic.paused}")

    def pause_channel(self) -> None:
        """Pause a channel, or let it go on."""
        found = self._any_channel()
        if found is not None:
            found[1].paused = not found[1].paused
            self.note(f"{found[0].name}:{found[1].name} {found[1].paused}")

    def empty_topic(self) -> None:
        """Drop what no channel has seen."""
        topic = self._any_topic()
        if topic is not None and not self.is_faulty:
            topic.empty()
            self.expected[topic.name].empty()
            self.note(topic.name)

    def empty_channel(self) -> None:
        """Drop what a channel has."""
        found = self._any_channel()
        if found is not None:
            found[1].empty()
            self.expected[found[0].name].channels[found[1].name].empty()
            self.note(f"{found[0].name}:{found[1].name}")

    def delete_channel(self) -> None:
        """Delete a channel; its clients are disconnected."""
        found = self._any_channel()
        if found is not None and not self.is_faulty:
            self.broker.delete_channel(*found)
            self._forget_channel(self.expected[found[0].name], found[1].name)
            self.note(f"{found[0].name}:{found[1].name}")

    def delete_topic(self) -> None:
        """Delete a topic, with all it has."""
        topic = self._any_topic()
        if topic is not None and not self.is_faulty:
            self.broker.delete_topic(topic)
            del self.expected[topic.name]
            self.note(topic.name)

    def drain(self) -> None:
        """In the end everything owed is delivered and finished, and the space is given back."""
        self.journal.append("drain")
        self.heal()
        self.commit()
        for expected in list(self.expected.values()):
            topic = self.broker.topics[expected.name]
            topic.unpause()
            expected.paused = False
            expected.show(topic, is_faulty=self.is_faulty)
            for channel in list(topic.channels.values()):
                self._drain(topic, channel, expected.channels[channel.name])
        self.save()
        self._settle()
        for topic in self.broker.topics.values():
            if isinstance(topic.log, Log) and topic.channels and len(topic.log.segments) > 1:
                raise Contradiction(f"{topic.name}: {len(topic.log.segments)} segments are kept for nobody")

    def _drain(self, topic: Topic, channel: Channel, expected: ExpectedChannel) -> None:
        self.last_number += 1
        consumer = Consumer(self.last_number, 1_000 * _MS)
        consumer.ready_count = 1_000
        channel.join(consumer)
        channel.paused = False
        for other in [found for found in channel.consumers if found is not consumer]:
            channel.leave(other)
            expected.leave(other.number)
        while expected.owed:
            before = self.clock.monotonic_ns()
            self.clock.advance(ns=max(0, channel.next_event_ns - before) if channel.depth == 0 else 0)
            self.tick()
            while self._deal(topic, channel):
                self.pool.turn()
            held = expected.held_by(consumer.number)
            self._finish_run(channel, expected, consumer, held)
            if not held and self.clock.monotonic_ns() == before and expected.owed:
                raise Contradiction(f"{channel.name}: {len(expected.owed)} are owed and never delivered")
            expected.check(channel)
            self.pool.turn()


_STEPS: Final[dict[str, int]] = {
    "publish": 20,
    "commit": 4,
    "subscribe": 6,
    "ready": 4,
    "deal": 16,
    "answer": 20,
    "disconnect": 3,
    "look": 2,
    "cancel": 3,
    "move": 4,
    "pause_topic": 1,
    "pause_channel": 1,
    "empty_topic": 1,
    "empty_channel": 1,
    "delete_channel": 1,
    "delete_topic": 1,
    "wait": 8,
    "save": 8,
    "spoil": 3,
    "stumble": 2,
    "heal": 4,
    "restart": 1,
    "crash": 2,
}
