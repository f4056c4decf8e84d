"""What a broker owes its channels, kept beside it as plain values: the half of `testing.simulation` that knows.

The simulation tells each expectation what it published and answered, and hands over what the broker delivered; the
expectation then says whether the broker's own books agree. A contradiction raises `Contradiction`. Instants are in ns
on the monotonic clock, which runs beside the wall clock at a fixed distance.
"""

from dataclasses import dataclass, field
from enum import Enum

from millstream.base.errors import MillstreamError
from millstream.engine import stragglers, window
from millstream.engine.channel import Channel
from millstream.engine.topic import Topic


class Contradiction(MillstreamError):
    """The broker does not do, or does not say, what it must."""


class State(Enum):
    """Where a message of a channel stands."""

    UNSEEN = "the topic has not shown it"
    WAITING = "never delivered"
    QUEUED = "to be delivered again"
    IN_FLIGHT = "held by a consumer"
    DEFERRED = "waits for its time"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Published:
    """A message as its publisher knows it; `due_ns` 0 for one that is not deferred."""

    sequence: int
    body: bytes
    due_ns: int


@dataclass(slots=True)
class Standing:
    """Where a message stands: `until_ns` is the deadline in flight or the due time of a deferred one."""

    state: State
    attempts: int = 0
    owner: int = 0
    until_ns: int = 0


@dataclass(slots=True)
class Owed:
    """A message that a channel must not lose, nor deliver before `not_before_ns`.

    What starts with `saved` is what the journal knows for certain; `promised_due_ns` is a time that was answered, and
    survives a loss of power. What `may_be_gone` was to be cancelled, and the answer was an error.
    """

    message: Published
    standing: Standing
    not_before_ns: int = 0
    since_ns: int = 0
    saved_attempts: int = 0
    saved_due_ns: int = 0
    promised_due_ns: int = 0
    may_be_gone: bool = False


_STRAGGLER_STATES = {
    stragglers.DEFERRED: State.DEFERRED,
    stragglers.QUEUED: State.QUEUED,
    stragglers.IN_FLIGHT: State.IN_FLIGHT,
}


def standing_in(channel: Channel, sequence: int) -> Standing:
    """Where the broker says that a message stands."""
    row = channel.stragglers.table.get(sequence)
    kind = channel.stragglers.state_of(sequence)
    if row is not None and kind is not None:
        state = _STRAGGLER_STATES[kind]
        if state is State.DEFERRED:
            return Standing(state, row.attempts, 0, row.due_ns)
        if state is State.IN_FLIGHT:
            held = channel.stragglers.held[sequence]
            return Standing(state, row.attempts, held.owner, held.deadline_ns)
        return Standing(state, row.attempts)
    slots = channel.window
    found = slots.state_of(sequence)
    if found == window.IN_FLIGHT:
        owner, deadline_ns = slots.owner_of(sequence), slots.deadline_of(sequence)
        return Standing(State.IN_FLIGHT, slots.attempts_of(sequence), owner, deadline_ns)
    if found == window.QUEUED:
        return Standing(State.QUEUED, slots.attempts_of(sequence))
    if sequence < slots.cursor:
        return Standing(State.FINISHED)
    if sequence >= channel.visible_seq:
        return Standing(State.UNSEEN)
    is_dropped = any(start <= sequence < end for start, end in channel.holes)
    return Standing(State.FINISHED if is_dropped or sequence in channel.log.deferred else State.WAITING)


class ExpectedChannel:
    """What one channel owes. `ghosts` are done with, but a crash may bring them back: the journal may not know yet.

    What is `cancelled` was answered, and must never come back.
    """

    def __init__(self, name: str, start_seq: int) -> None:
        self.name = name
        self.seen = start_seq
        self.paused = False
        self.owed: dict[int, Owed] = {}
        self.ghosts: dict[int, Owed] = {}
        self.cancelled: set[int] = set()
        self.published_count = 0
        self.done_count = 0

    def see(self, message: Published) -> None:
        """The topic shows a message."""
        self.seen = message.sequence + 1
        state = State.DEFERRED if message.due_ns else State.WAITING
        self.owed[message.sequence] = Owed(message, Standing(state, until_ns=message.due_ns), message.due_ns)
        self.published_count += 1

    def deliver(self, sequence: int, attempts: int, body: bytes, owner: int, timeout_ns: int, now_ns: int) -> None:
        """A consumer was sent a message."""
        owed = self.owed.get(sequence)
        if owed is None:
            raise Contradiction(f"{self.name}: {sequence:016x} was delivered, and nobody was owed it")
        standing = owed.standing
        if standing.state not in {State.WAITING, State.QUEUED}:
            raise Contradiction(f"{self.name}: {sequence:016x} was delivered while {standing.state.value}")
        if attempts != standing.attempts + 1:
            raise Contradiction(f"{self.name}: {sequence:016x} has attempts {attempts} after {standing.attempts}")
        if body != owed.message.body:
            raise Contradiction(f"{self.name}: {sequence:016x} was delivered with another body")
        if now_ns < owed.not_before_ns:
            raise Contradiction(f"{self.name}: {sequence:016x} was delivered before it was due")
        owed.standing = Standing(State.IN_FLIGHT, attempts, owner, now_ns + timeout_ns)
        owed.since_ns = now_ns
        owed.saved_due_ns = owed.promised_due_ns = 0

    def held_by(self, owner: int) -> list[int]:
        """What a consumer has in flight."""
        return [
            sequence
            for sequence, owed in self.owed.items()
            if owed.standing.state is State.IN_FLIGHT and owed.standing.owner == owner
        ]

    def finish(self, sequence: int) -> None:
        """FIN."""
        self.ghosts[sequence] = self.owed.pop(sequence)
        self.done_count += 1

    def requeue(self, sequence: int, until_ns: int) -> None:
        """REQ; `until_ns` 0 for at once."""
        owed = self.owed[sequence]
        state = State.DEFERRED if until_ns else State.QUEUED
        owed.standing = Standing(state, owed.standing.attempts, 0, until_ns)
        owed.saved_due_ns = owed.promised_due_ns = 0

    def deferred(self) -> list[Owed]:
        """What waits for its time, in the order in which it will be due."""
        found = [owed for owed in self.owed.values() if owed.standing.state is State.DEFERRED]
        return sorted(found, key=lambda owed: (owed.standing.until_ns, owed.message.sequence))

    def cancel(self, sequence: int, *, is_kept: bool) -> None:
        """A deferred message was cancelled; when that could not be kept, it is still there, or not after a crash."""
        if is_kept:
            del self.owed[sequence]
            self.cancelled.add(sequence)
            self.done_count += 1
        else:
            self.owed[sequence].may_be_gone = True

    def move(self, sequence: int, until_ns: int, *, is_kept: bool) -> None:
        """A deferred message got another time; when that could not be kept, a crash may still bring it."""
        owed = self.owed[sequence]
        owed.saved_due_ns = 0
        if is_kept:
            owed.standing.until_ns = owed.not_before_ns = owed.promised_due_ns = until_ns
        else:
            owed.promised_due_ns = 0
            owed.not_before_ns = min(owed.not_before_ns, until_ns)

    def touch(self, sequence: int, deadline_ns: int, held_max_ns: int) -> None:
        """TOUCH."""
        owed = self.owed[sequence]
        owed.standing.until_ns = min(deadline_ns, owed.since_ns + held_max_ns)

    def leave(self, owner: int) -> None:
        """A consumer is gone."""
        for sequence in self.held_by(owner):
            self.requeue(sequence, 0)

    def leave_all(self) -> None:
        """Every consumer is gone."""
        for sequence, owed in self.owed.items():
            if owed.standing.state is State.IN_FLIGHT:
                self.requeue(sequence, 0)

    def tick(self, now_ns: int) -> None:
        """Time passed: nothing is held past its deadline, nothing deferred past its due time."""
        for sequence, owed in self.owed.items():
            timed = owed.standing.state in {State.IN_FLIGHT, State.DEFERRED}
            if timed and owed.standing.until_ns <= now_ns:
                self.requeue(sequence, 0)

    def empty(self) -> None:
        """All that was owed is dropped."""
        self.done_count += len(self.owed)
        self.ghosts.update(self.owed)
        self.owed.clear()

    def saved(self) -> None:
        """The journal knows everything: what is done with cannot come back."""
        self.ghosts.clear()
        for owed in self.owed.values():
            owed.saved_attempts = owed.standing.attempts
            owed.saved_due_ns = owed.standing.until_ns if owed.standing.state is State.DEFERRED else 0

    def forget_saves(self) -> None:
        """The journal may know less than was written to it."""
        self.seen = 0
        for owed in self.owed.values():
            owed.saved_attempts = owed.saved_due_ns = 0

    def check(self, channel: Channel) -> None:
        """Compare with the broker's books."""
        counts = dict.fromkeys(State, 0)
        held: dict[int, int] = {}
        for sequence, owed in self.owed.items():
            found = standing_in(channel, sequence)
            if found != owed.standing:
                raise Contradiction(f"{self.name}: {sequence:016x} should be {owed.standing}, is {found}")
            counts[found.state] += 1
            if found.state is State.IN_FLIGHT:
                held[found.owner] = held.get(found.owner, 0) + 1
        self._check_counts(channel, counts)
        for consumer in channel.consumers:
            if consumer.in_flight != held.pop(consumer.number, 0):
                raise Contradiction(f"{self.name}: consumer {consumer.number} counts {consumer.in_flight} in flight")
        if held:
            raise Contradiction(f"{self.name}: in flight with nobody: {held}")
        if channel.window.cursor != channel.cursor.sequence or channel.window.floor > channel.window.cursor:
            raise Contradiction(f"{self.name}: window and cursor went apart")
        timed = (State.IN_FLIGHT, State.DEFERRED)
        instants = [owed.standing.until_ns for owed in self.owed.values() if owed.standing.state in timed]
        if instants and channel.next_event_ns > min(instants):
            raise Contradiction(f"{self.name}: would sleep past an instant at which something is due")

    def _check_counts(self, channel: Channel, counts: dict[State, int]) -> None:
        told = (channel.depth, channel.in_flight_count, channel.deferred_count)
        expected = (counts[State.WAITING] + counts[State.QUEUED], counts[State.IN_FLIGHT], counts[State.DEFERRED])
        if told != expected:
            raise Contradiction(f"{self.name}: depth, in flight, deferred are {told}, should be {expected}")
        if sum(told) + self.done_count != self.published_count:
            raise Contradiction(f"{self.name}: {told} and {self.done_count} done do not add up")

    def restart(
        self, channel: Channel, extra: dict[int, Published], messages: dict[int, Published], gone: set[int]
    ) -> None:
        """The broker was started again on what the disk has: nothing owed is lost, nothing saved was forgotten.

        `extra` are messages whose publishers got no OK: they may be there, or not. `gone` were so once, and are not.
        """
        before, ghosts, seen = self.owed, self.ghosts, self.seen
        self.owed, self.ghosts = {}, {}
        for sequence, message in sorted(messages.items()):
            if sequence in gone and sequence not in channel.stragglers:
                continue
            found = standing_in(channel, sequence)
            owed = before.get(sequence)
            if sequence in self.cancelled:
                if found.state is not State.FINISHED:
                    raise Contradiction(f"{self.name}: {sequence:016x} was cancelled, and is back: {found}")
                continue
            if found.state is State.FINISHED:
                if owed is not None and not owed.may_be_gone:
                    raise Contradiction(f"{self.name}: {sequence:016x} was owed, and is lost")
                continue
            if found.state is State.UNSEEN:
                if sequence >= channel.log.ready_seq:
                    raise Contradiction(f"{self.name}: {sequence:016x} is not in the log any more")
                continue
            known = owed or ghosts.get(sequence)
            if known is None and sequence < seen and sequence not in extra:
                raise Contradiction(f"{self.name}: {sequence:016x} is back, and was saved as finished or never owed")
            if owed is not None:
                _check_memory(self.name, owed, found, channel.clock.monotonic_ns())
            if known is not None and found.attempts > known.standing.attempts:
                raise Contradiction(f"{self.name}: {sequence:016x} has more attempts than before: {found}")
            self.owed[sequence] = Owed(message, found, message.due_ns if known is None else known.not_before_ns)
            if owed is not None:
                self.owed[sequence].may_be_gone = owed.may_be_gone
                self.owed[sequence].promised_due_ns = owed.promised_due_ns
        for sequence in self.owed:
            _check_record(channel, self.owed[sequence].message)
        self.seen = channel.visible_seq
        self.published_count, self.done_count = len(self.owed), 0


def _check_memory(name: str, owed: Owed, found: Standing, now_ns: int) -> None:
    sequence = owed.message.sequence
    if found.attempts < owed.saved_attempts:
        raise Contradiction(f"{name}: {sequence:016x} has fewer attempts than were saved: {found}")
    for due_ns in (owed.saved_due_ns, owed.promised_due_ns):
        if due_ns > now_ns and (found.state is not State.DEFERRED or found.until_ns != due_ns):
            raise Contradiction(f"{name}: {sequence:016x} was deferred until {due_ns}, and is {found}")


def _check_record(channel: Channel, message: Published) -> None:
    is_outside = message.sequence in channel.stragglers
    frame = (channel.stragglers.frame_of if is_outside else channel.log.record)(message.sequence)
    if frame is None or not frame[34:].startswith(message.body):
        raise Contradiction(f"{channel.name}: {message.sequence:016x} cannot be read any more")


def _is_stored(topic: Topic, message: Published | None) -> bool:
    frame = None if message is None else topic.log.record(message.sequence)
    return message is not None and frame is not None and frame[34:].startswith(message.body)


@dataclass(slots=True)
class ExpectedTopic:
    """What one topic accepted. `pending` waits for a commit, `refused` was never accepted.

    `unpromised` was refused when a sync failed, and came back with a restart: a power loss may still take it.

    `struck` are those that policies took while no channel had seen them: a crash may bring them back.

    `attempted` are channels that could not be made; when the disk was not even able to remove the journal, they come
    into being at the next start.
    """

    name: str
    moved: int
    accepted: dict[int, Published] = field(default_factory=dict)
    pending: list[Published] = field(default_factory=list)
    refused: list[Published] = field(default_factory=list)
    channels: dict[str, ExpectedChannel] = field(default_factory=dict)
    attempted: set[str] = field(default_factory=set)
    unpromised: set[int] = field(default_factory=set)
    struck: dict[int, Published] = field(default_factory=dict)
    paused: bool = False

    def commit(self, topic: Topic, *, is_faulty: bool) -> None:
        """A commit was tried: what the log calls durable was accepted, what it forgot was refused."""
        accepted = [message for message in self.pending if message.sequence < topic.log.durable_seq]
        refused = [message for message in self.pending if message.sequence >= topic.log.next_seq]
        self.refused += refused
        done = {id(message) for message in accepted + refused}
        self.pending = [message for message in self.pending if id(message) not in done]
        self.accepted.update({message.sequence: message for message in accepted})
        self.show(topic, is_faulty=is_faulty)

    def refuse(self, durable_seq: int) -> None:
        """A sync failed: what was not durable is refused."""
        self.refused += [message for message in self.pending if message.sequence >= durable_seq]
        self.pending = [message for message in self.pending if message.sequence < durable_seq]

    def show(self, topic: Topic, *, is_faulty: bool) -> None:
        """Channels see what was accepted; while the disk fails, as much of it as could be read."""
        if self.paused or not self.channels:
            return
        for name, channel in self.channels.items():
            end = topic.channels[name].visible_seq if is_faulty else topic.log.ready_seq
            for sequence in [found for found in self.accepted if channel.seen <= found < end]:
                channel.see(self.accepted[sequence])
        self.moved = topic.moved_seq if is_faulty else topic.log.ready_seq

    def empty(self) -> None:
        """What no channel has seen is dropped."""
        dropped = [sequence for sequence in self.accepted if sequence >= self.moved]
        for sequence in dropped:
            del self.accepted[sequence]
        if dropped:
            self.moved = dropped[-1] + 1
        for channel in self.channels.values():
            channel.seen = max(channel.seen, self.moved)

    def strike_off(self, end: int) -> list[int]:
        """Policies took what no channel has seen, up to `end`: what that was."""
        taken = [sequence for sequence in self.accepted if self.moved <= sequence < end]
        for sequence in taken:
            self.struck[sequence] = self.accepted.pop(sequence)
        self.moved = max(self.moved, end)
        for channel in self.channels.values():
            if channel.seen:  # After a loss of power nothing is certain.
                channel.seen = max(channel.seen, self.moved)
        return taken

    def check(self, topic: Topic) -> None:
        """Compare with the broker's books."""
        backlog = sum(1 for sequence in self.accepted if sequence >= self.moved)
        if topic.depth != backlog:
            raise Contradiction(f"{self.name}: depth is {topic.depth}, should be {backlog}")
        if topic.channels.keys() != self.channels.keys() or topic.paused != self.paused:
            raise Contradiction(f"{self.name}: channels or pause are not what they should be")
        for name, channel in self.channels.items():
            channel.check(topic.channels[name])

    def forget_saves(self) -> None:
        """A power loss takes what no group commit covered: of the journals anything may be gone."""
        for channel in self.channels.values():
            channel.forget_saves()

    def restart(self, topic: Topic) -> None:
        """The broker was started again on what the disk has."""
        extra: dict[int, Published] = {}
        end = max(self.accepted, default=-1) + 1
        for message in [*self.refused, *self.pending]:
            frame = topic.log.record(message.sequence) if end <= message.sequence < topic.log.ready_seq else None
            if frame is not None and frame[34:].startswith(message.body):
                extra[message.sequence] = message
        extra |= {found: each for found, each in self.struck.items() if _is_stored(topic, each)}
        self.struck.clear()
        gone = {found for found in self.unpromised if not _is_stored(topic, self.accepted.get(found))}
        self.unpromised |= {message.sequence for message in self.refused if extra.get(message.sequence) is message}
        self.accepted = dict(sorted((self.accepted | extra).items()))
        self.pending.clear()
        lost = [found for found in self.accepted if self.moved <= found < topic.moved_seq]
        if lost and not self.channels:
            raise Contradiction(f"{self.name}: lost what waited for its first channel")
        for name in [name for name in self.channels if name.endswith("#ephemeral")]:
            del self.channels[name]
        for name in self.attempted & topic.channels.keys():
            self.channels.setdefault(name, ExpectedChannel(name, 0))
        if topic.channels.keys() != self.channels.keys() or topic.paused != self.paused:
            raise Contradiction(f"{self.name}: came back with other channels: {list(topic.channels)}")
        for name, channel in self.channels.items():
            channel.restart(topic.channels[name], extra, self.accepted, gone)
        self.moved = topic.moved_seq
        self.attempted.clear()
        kept = {found for channel in self.channels.values() for found in channel.owed}
        first_seq = topic.log.first_seq
        self.accepted = {
            found: each
            for found, each in self.accepted.items()
            if found in kept or (found >= first_seq and found not in gone)
        }
