"""A simulation under policies: limits, retention, dead letters and redrive, with nothing lost but what was counted.

`LimitedSimulation(seed).run(steps)` is `testing.simulation` with steps more. What is gone from a channel or a backlog
without an answer of a consumer must have been dropped by a policy, and counted, or lie in a dead-letter topic, where it
is owed like any other message; also across kills, power losses and failing disks.
"""

import json
from itertools import pairwise
from typing import Final
from weakref import WeakKeyDictionary

from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.letters import Letter, decode
from millstream.engine.policies import DEAD, Overflow, Policy, PolicyBook, PolicyEntry
from millstream.engine.redriving import is_here, page, redrive
from millstream.engine.topic import Topic
from millstream.storage.log import Log
from millstream.testing.expectation import (
    Contradiction,
    ExpectedChannel,
    Owed,
    Published,
    Standing,
    State,
    standing_in,
)
from millstream.testing.files import FaultyFiles
from millstream.testing.simulation import TOPICS, Simulation

GRAVEYARD: Final = "graveyard"
RETRY_S: Final = 2
_HEADER_BYTES: Final = 34
_MORE_STEPS: Final = {"bury": 10, "redrive": 4, "change_policies": 2, "enforce": 6, "read_letters": 2}
_ROUNDS_MAX: Final = 1_000
ATTEMPTS_MAX: Final = 65_535

# A dead letter by where it is from: topic, channel (empty for a backlog), sequence.
Origin = tuple[str, str, int]


class LimitedSimulation(Simulation):
    """`letters` says where each letter lies. `uncertain` are messages that were put back, and perhaps not written."""

    def __init__(self, seed: int, *, power_fails: bool = False) -> None:
        self.book = PolicyBook()
        self.letters: dict[Origin, list[tuple[str, int]]] = {}
        self.uncertain: set[Origin] = set()
        self._counted: WeakKeyDictionary[Channel | Topic, tuple[int, int]] = WeakKeyDictionary()
        super().__init__(seed, power_fails=power_fails)
        self.mem_queue_size = self.random.choice([20, 10_000])
        self.change_policies()

    @property
    def steps(self) -> dict[str, int]:
        """Names of steps with their weights."""
        return super().steps | _MORE_STEPS

    def _start(self) -> None:
        super()._start()
        self.broker.dead_letters.open_target = self._open_target

    def _open_target(self, name: str) -> Topic:
        topic = self.open_topic(name)
        if topic is None or self.open_channel(topic, DEAD) is None:
            raise StorageError(f"{name} cannot be made")
        return topic

    # ----------------------------------------------------------------------------------------------- more steps

    def change_policies(self) -> None:
        """Other policies hold."""
        self.book = PolicyBook([self._entry() for _ in range(self.random.randrange(4))])
        self.broker.set_policies(self.book)
        if self.journal:
            self.note(repr(self.book.config))

    def _entry(self) -> PolicyEntry:
        pick = self.random.choice
        channel = pick([None, None, "archive", "*", DEAD])
        values: dict[str, object] = {
            "topic": pick(["*", "*", "clicks", "spam*", "*.dead"]),
            "channel": channel,
            "overflow": pick([None, *map(str, Overflow)]),
            "max_attempts": pick([None, 1, 2, 3]),
            "dead_letter_topic": pick([None, None, GRAVEYARD]),
            "max_depth": pick([None, None, 1, 5, 30]),
            "max_bytes": pick([None, None, None, 2_000, 60_000]),
            "max_age_ms": pick([None, None, None, 2_000, 20_000]),
        }
        if channel is None:
            values["retain_bytes"] = pick([None, None, 20_000, 200_000])
            values["retain_age_ms"] = pick([None, None, 5_000, 60_000])
        if all(value is None for name, value in values.items() if name not in {"topic", "channel"}):
            values["max_depth"] = 10
        return PolicyEntry(**values)  # type: ignore[arg-type]  # by name

    def enforce(self) -> None:
        """The clock looks at ages, at what is retained, and whether publishers are still to be refused."""
        self.broker.enforce(self.clock.monotonic_ns())

    def wait(self) -> None:
        """Time passes, and the timers are served."""
        super().wait()
        self.enforce()

    def bury(self) -> None:
        """Dead letters are written, and mostly committed."""
        self._bury(commits=self.random.random() < 0.7, syncs=self.random.random() < 0.8)

    def _bury(self, *, commits: bool, syncs: bool) -> int:
        before = {name: topic.log.next_seq for name, topic in self.broker.topics.items()}
        count = 0
        for topic in self.broker.dead_letters.write():
            first = before.get(topic.name, self.expected[topic.name].moved)
            count += topic.log.next_seq - first
            for sequence in range(first, topic.log.next_seq):
                self._note_letter(topic, sequence)
            if commits:
                self.commit_topic(topic, sync=syncs)
        self.note(f"{count} letters")
        return count

    def _note_letter(self, topic: Topic, sequence: int) -> None:
        """A letter was written: it is a message like any other, and says what its origin was owed."""
        frame = topic.log.record(sequence)
        if frame is None:
            raise Contradiction(f"{topic.name}: a letter cannot be read back")
        body = frame[_HEADER_BYTES:]
        self.expected[topic.name].pending.append(Published(sequence, body, 0))
        json.loads(body)
        letter = decode(body)
        self.letters.setdefault((letter.topic, letter.channel, letter.sequence), []).append((topic.name, sequence))
        origin = self.expected[letter.topic]
        if not letter.channel:
            message, attempts = origin.accepted[letter.sequence], 0
        else:
            owed = origin.channels[letter.channel].owed[letter.sequence]
            message, attempts = owed.message, owed.standing.attempts
        if letter.body != message.body or letter.attempts != attempts:
            raise Contradiction(f"{letter.topic}:{letter.channel}: {letter.id} has another letter: {letter}")

    def read_letters(self) -> None:
        """A client subscribes to a dead-letter topic."""
        names = [name for name, topic in self.broker.topics.items() if DEAD in topic.channels]
        if names:
            self._subscribe(self.broker.topics[self.random.choice(names)], DEAD)

    def redrive(self) -> None:
        """Some dead letters of one channel go back into it."""
        lasting = [name for name in TOPICS if "#" not in name and name in self.broker.topics]
        pairs = [(self.broker.topics[name], found) for name in lasting for found in self.broker.topics[name].channels]
        graves = [topic for topic in self.broker.topics.values() if DEAD in topic.channels]
        pairs = [(topic, name) for topic, name in pairs if "#" not in name]
        if not pairs or not graves:
            return
        (topic, name), grave = self.random.choice(pairs), self.random.choice(graves)
        channel, dead = topic.channels[name], grave.channels[DEAD]
        try:
            found = page(
                dead, lambda letter: letter.topic == topic.name and letter.channel in {name, ""}, after=-1, limit=30
            )
        except StorageError:
            if not self.is_faulty:
                raise
            return
        letters = [one for one in found.letters if self.random.random() < 0.5]
        fresh = {letter.sequence: letter for _, letter in letters if not is_here(channel, letter.sequence)}
        is_written = True
        try:
            redrive(topic, channel, dead, letters)
        except StorageError as error:
            if not self.is_faulty:
                raise
            is_written = False
            self.note(f"failed: {error}")
        self.note(f"{len(fresh)} of {len(letters)} from {grave.name} to {topic.name}:{name}")
        for letter in fresh.values():
            self._put_back(letter, name)
            if not is_written:
                self.uncertain.add((topic.name, name, letter.sequence))
        if is_written:
            for sequence, _ in letters:
                self.expected[grave.name].channels[DEAD].finish(sequence)

    def _put_back(self, letter: Letter, channel: str) -> None:
        topic = self.expected[letter.topic]
        message = Published(letter.sequence, letter.body, 0)
        topic.accepted[letter.sequence] = message
        topic.accepted = dict(sorted(topic.accepted.items()))
        expected = topic.channels[channel]
        expected.owed[letter.sequence] = Owed(message, Standing(State.QUEUED))
        expected.ghosts.pop(letter.sequence, None)
        expected.published_count += 1

    # ---------------------------------------------------------------------------------------- what policies took

    def _settle(self) -> None:
        self.broker.dead_letters.settle()
        self._strike_off(is_exact=True)
        super()._settle()

    def _strike_off(self, *, is_exact: bool) -> None:
        """Take what policies took out of what is owed; in the middle of a change the counts need not add up."""
        for name, expected in self.expected.items():
            topic = self.broker.topics.get(name)
            if topic is None:
                continue
            taken = expected.strike_off(topic.moved_seq) if topic.moved_seq > expected.moved else []
            counted = self._newly_counted(topic, topic.dropped_count, topic.dead_letter_count)
            if is_exact:
                self._check_counts(name, "", taken, counted)
            for channel_name, owing in expected.channels.items():
                channel = topic.channels.get(channel_name)
                if channel is not None:
                    gone = _gone(channel, owing)
                    counted = self._newly_counted(channel, channel.dropped_count, channel.dead_letter_count)
                    if is_exact:
                        self._check_counts(name, channel_name, gone, counted)

    def _newly_counted(self, line: Channel | Topic, dropped: int, dead: int) -> tuple[int, int]:
        before = self._counted.get(line, (0, 0))
        self._counted[line] = (dropped, dead)
        return dropped - before[0], dead - before[1]

    def _check_counts(self, topic: str, channel: str, gone: list[int], counted: tuple[int, int]) -> None:
        dropped, dead = counted
        place = f"{topic}:{channel}"
        if len(gone) != dropped + dead:
            raise Contradiction(f"{place}: {len(gone)} are gone, {dropped} were dropped and {dead} dead-lettered")
        buried = [found for found in gone if self._is_buried((topic, channel, found))]
        if len(buried) < dead:
            raise Contradiction(f"{place}: {dead} were dead-lettered, and {len(buried)} lie in a dead-letter topic")

    def _is_buried(self, origin: Origin) -> bool:
        """Whether a letter was acknowledged: from then on its topic owes it."""
        return any(
            name in self.expected and sequence in self.expected[name].accepted
            for name, sequence in self.letters.get(origin, [])
        )

    # ------------------------------------------------------------------------------------------------- checks

    def save(self) -> None:
        """The journals are brought up to date; then everything is within its bounds."""
        super().save()
        for topic in self.broker.topics.values():
            for channel in topic.channels.values():
                if not channel.is_changed:
                    self.uncertain = {found for found in self.uncertain if found[:2] != (topic.name, channel.name)}
            if not self.is_faulty and topic.limits is not None and topic.is_kept:
                self._check_bounds(topic, topic.limits.policy)

    def _check_bounds(self, topic: Topic, policy: Policy) -> None:
        for channel in topic.channels.values():
            bound, waiting = channel.policy.max_depth, channel.depth - len(channel.doomed)
            is_over = bool(bound) and waiting > bound
            if is_over and channel.policy.overflow is Overflow.DROP_OLDEST:
                raise Contradiction(f"{topic.name}:{channel.name}: {waiting} wait, {bound} may")
            if is_over and channel.policy.overflow is Overflow.REJECT and not topic.refusal:
                raise Contradiction(f"{topic.name}:{channel.name}: {waiting} wait, and nobody is refused")
        if not isinstance(topic.log, Log) or not policy.retains:
            return
        segments = topic.log.segments
        done = [one for one, after in pairwise(segments) if after.base <= topic.floor]
        size_bytes = sum(segment.size for segment in done)
        if policy.retain_bytes and size_bytes > policy.retain_bytes + 64 * len(done):
            raise Contradiction(f"{topic.name}: {size_bytes} bytes are retained, {policy.retain_bytes} may be")
        if done and topic.log.record(done[0].base) is None:
            raise Contradiction(f"{topic.name}: what is retained cannot be read")

    def _load(self, files: FaultyFiles) -> None:
        self._strike_off(is_exact=False)
        for topic, channel, sequence in self.uncertain:
            owing = self.expected[topic].channels.get(channel) if topic in self.expected else None
            if owing is not None and sequence in owing.owed:
                # What is back may be the message as it was before it had its letter.
                owing.ghosts[sequence] = ghost = owing.owed.pop(sequence)
                ghost.standing.attempts = ATTEMPTS_MAX
        self.uncertain.clear()
        super()._load(files)
        self.broker.set_policies(self.book)

    def drain(self) -> None:
        """In the end what is doomed has its letter; without policies everything else is delivered and finished."""
        self.journal.append("bury the last")
        self.heal()
        self.commit()
        for _ in range(_ROUNDS_MAX):
            self.clock.advance(ms=RETRY_S * 1_000)
            self.tick()
            self.broker.dead_letters.settle()
            if not self._bury(commits=True, syncs=True) and self.broker.dead_letters.is_idle:
                break
        self._settle()
        for topic in self.broker.topics.values():
            for channel in topic.channels.values():
                target = self.broker.topics.get(channel.policy.dead_letter_topic)
                if channel.doomed and not (target is not None and target.refusal):
                    raise Contradiction(f"{topic.name}:{channel.name}: {len(channel.doomed)} never got their letter")
        self.book = PolicyBook()
        self.broker.set_policies(self.book)
        self._settle()
        super().drain()

    def _drain(self, topic: Topic, channel: Channel, expected: ExpectedChannel) -> None:
        # What is ephemeral is bounded without a policy, too.
        self._strike_off(is_exact=True)
        super()._drain(topic, channel, expected)


def _gone(channel: Channel, owing: ExpectedChannel) -> list[int]:
    """What is owed no more because of a policy: strike it off."""
    gone: list[int] = []
    fresh: list[int] = []
    for sequence, owed in list(owing.owed.items()):
        before, found = owed.standing, standing_in(channel, sequence)
        if found.state is State.FINISHED:
            if before.state not in {State.WAITING, State.QUEUED}:
                raise Contradiction(f"{channel.name}: {sequence:016x} was taken away while {before.state.value}")
            if before.state is State.WAITING:
                fresh.append(sequence)
            gone.append(sequence)
            owing.finish(sequence)
        elif sequence in channel.doomed and before != found:
            if before.state is State.IN_FLIGHT or found != Standing(State.QUEUED, before.attempts):
                raise Contradiction(f"{channel.name}: {sequence:016x} was {before}, and is doomed as {found}")
            owed.standing = found
    waiting = [found for found, owed in owing.owed.items() if owed.standing.state is State.WAITING]
    if fresh and waiting and max(fresh) > min(waiting):
        raise Contradiction(f"{channel.name}: a younger message went before an older one")
    return gone
