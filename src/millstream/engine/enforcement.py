"""Keeps a topic and its channels within their policies: refuses publishers, drops, or dooms for a dead-letter topic.

A topic that has a policy, or whose nature bounds it, has a `TopicLimits`. It is asked when messages were shown to the
channels (once per commit), when the log is released, and by the clock; a topic without one pays nothing. `nsqd` looks
at `Topic.refusal` before it takes a publish.
"""

from typing import Final, Protocol

from millstream.base.clock import Clock
from millstream.base.errors import StorageError
from millstream.engine.ages import Expiry
from millstream.engine.channel import Channel
from millstream.engine.dooming import Doom
from millstream.engine.eviction import evict
from millstream.engine.gaps import stop_of_gap
from millstream.engine.policies import NO_POLICY, Overflow, Policy
from millstream.engine.shedding import shed_first, shed_older
from millstream.protocol.chunks import ChunkQueue

DOOMED_MAX: Final = 10_000
AGE_CHECK_NS: Final = 1_000_000_000
# So that what goes, goes in parts: a file is the least that can.
_FILES_OF_A_BOUND: Final = 8
_ROLLS_OF_AN_AGE: Final = 4
_EVERYTHING: Final = 1 << 62


class Limited(Protocol):
    """The part of a topic that is looked at and changed."""

    name: str
    log: ChunkQueue
    channels: dict[str, Channel]
    moved_seq: int

    @property
    def depth(self) -> int:
        """Messages that no channel was given yet."""
        ...

    @property
    def floor(self) -> int:
        """Everything below it is done with."""
        ...

    def drop_to(self, end: int) -> None:
        """Drop what no channel was given, up to `end`."""
        ...

    def behind(self, count: int) -> int:
        """The sequence behind the first `count` messages that no channel was given."""
        ...

    def refuse(self, reason: str) -> None:
        """Take no more messages because of a limit; empty: take them."""
        ...


class TopicLimits:
    """The policy of one topic; those of its channels are theirs.

    `doomed_until` and `doom` are what of the backlog is to go to a dead-letter topic, 0 for nothing.
    """

    def __init__(self, topic: Limited, clock: Clock) -> None:
        self.policy = NO_POLICY
        self.doomed_until = 0
        self.doom: Doom | None = None
        self._topic = topic
        self._clock = clock
        self._expiries: dict[int, Expiry] = {}
        self._is_refusing = False
        self._too_old: dict[str, str] = {}
        self._due_ns = 0

    def set_policy(self, policy: Policy) -> None:
        """What holds for the topic."""
        if policy != self.policy:
            self.policy = policy
            self.doomed_until = 0
        self._due_ns = 0

    # ------------------------------------------------------------------------------------------------- how much

    def look(self) -> None:
        """Messages were shown: bring every line within its bounds."""
        topic = self._topic
        refusals: list[str] = []
        for channel in topic.channels.values():
            policy = channel.policy
            if policy.has_limit:
                try:
                    refusals += self._look_at(channel, policy)
                except StorageError:
                    continue  # What cannot be read now is looked at again with the next message.
        if self.policy.has_limit:
            try:
                refusals += self._look_at_topic(self.policy)
            except StorageError:
                pass
        refusals += self._too_old.values()
        self._is_refusing = bool(refusals)
        topic.refuse(refusals[0] if refusals else "")

    def _look_at(self, channel: Channel, policy: Policy) -> list[str]:
        refusals: list[str] = []
        if policy.max_depth:
            excess = channel.depth - len(channel.doomed) - policy.max_depth
            if excess > 0:
                count, doom = self._means(channel, policy, "max_depth")
                shed_first(channel, min(excess, count), doom)
                refusals += self._refusal(channel, policy, "max_depth", policy.max_depth, is_over=count < excess)
        if policy.max_bytes and channel.log.bytes_from(channel.cursor.sequence) > policy.max_bytes:
            refusals += self._cut(channel, policy, policy.max_bytes)
        return refusals

    def _cut(self, channel: Channel, policy: Policy, size_bytes: int) -> list[str]:
        """Take out what lies before the newest `size_bytes` of the log."""
        start = channel.log.first_within(size_bytes)
        count, doom = self._means(channel, policy, "max_bytes")
        if count > 0:
            shed_older(channel, start, doom, count)
        is_over = stop_of_gap(channel) < min(start, channel.visible_seq)
        return self._refusal(channel, policy, "max_bytes", size_bytes, is_over=is_over)

    def _means(self, channel: Channel, policy: Policy, reason: str) -> tuple[int, Doom | None]:
        """How many messages may be taken out now, and what becomes of them."""
        if policy.overflow is Overflow.DROP_OLDEST:
            return _EVERYTHING, None
        if policy.overflow is Overflow.DEAD_LETTER:
            # What waits for its place there is bounded too, when the dead-letter topic is slow or takes nothing.
            return max(0, DOOMED_MAX - len(channel.doomed)), Doom(reason, self._clock.wall_ns())
        return 0, None

    def _refusal(self, channel: Channel, policy: Policy, what: str, limit: int, *, is_over: bool) -> list[str]:
        if not is_over or policy.overflow is Overflow.DROP_OLDEST:
            return []
        return [_reason(f"channel {channel.name} of topic {self._topic.name}", what, str(limit))]

    def _look_at_topic(self, policy: Policy) -> list[str]:
        topic = self._topic
        name = f"topic {topic.name}"
        refusals: list[str] = []
        if policy.max_depth and topic.depth > policy.max_depth:
            self._shed_backlog(topic.behind(topic.depth - policy.max_depth), "max_depth")
            if topic.depth > policy.max_depth:
                refusals.append(_reason(name, "max_depth", str(policy.max_depth)))
        if policy.max_bytes and topic.log.bytes_from(topic.floor) > policy.max_bytes:
            refusals += self._cut_topic(policy)
        return refusals

    def _cut_topic(self, policy: Policy) -> list[str]:
        """Take out what lies before the newest bytes of the log, in the channels and in the backlog."""
        topic = self._topic
        start = min(topic.log.first_within(policy.max_bytes), topic.log.ready_seq)
        refusals: list[str] = []
        for channel in topic.channels.values():
            refusals += self._cut(channel, channel.policy, policy.max_bytes)
            if channel.window.floor < start:
                # What is in flight goes on, out of the log's way.
                evict(channel, start)
        self._shed_backlog(start, "max_bytes")
        if topic.floor < start and not refusals:
            refusals.append(_reason(f"topic {topic.name}", "max_bytes", str(policy.max_bytes)))
        return refusals

    def _shed_backlog(self, end: int, reason: str) -> None:
        """Take out the backlog up to `end`; what goes to a dead-letter topic stays until it is there."""
        end = min(end, self._topic.log.ready_seq)
        if end <= self._topic.moved_seq:
            return
        if self.policy.overflow is Overflow.DROP_OLDEST:
            self._topic.drop_to(end)
        elif self.policy.overflow is Overflow.DEAD_LETTER and end > self.doomed_until:
            self.doomed_until = end
            self.doom = Doom(reason, self._clock.wall_ns())

    # --------------------------------------------------------------------------------------------- how old, how long

    def tick(self, now_ns: int) -> bool:
        """Time passed (monotonic clock): whether there is something to save."""
        if now_ns < self._due_ns:
            if self._is_refusing:
                self.look()
            return False
        self._due_ns = now_ns + AGE_CHECK_NS
        wall_ns = self._clock.wall_ns()
        try:
            self._look_at_ages(wall_ns)
            self._bound_files(wall_ns)
            self.look()
            return self.policy.retains and self.release_floor(self._topic.floor) > self._topic.log.first_seq
        except StorageError:
            return False

    def _look_at_ages(self, wall_ns: int) -> None:
        topic = self._topic
        self._too_old = {}
        for channel in topic.channels.values():
            policy = channel.policy
            if policy.max_age_ns:
                self._look_at_age(channel, policy, self._too_old_until(policy.max_age_ns, wall_ns))
        if self.policy.max_age_ns and topic.depth > 0:
            until = self._too_old_until(self.policy.max_age_ns, wall_ns)
            self._shed_backlog(until, "max_age")
            if topic.moved_seq < until and topic.depth > 0:
                self._too_old[""] = _reason(f"topic {topic.name}", "max_age", _seconds(self.policy))

    def _too_old_until(self, age_ns: int, wall_ns: int) -> int:
        expiry = self._expiries.get(age_ns)
        if expiry is None:
            expiry = self._expiries[age_ns] = Expiry(self._topic.log)
        return expiry.until(wall_ns - age_ns)

    def _look_at_age(self, channel: Channel, policy: Policy, until: int) -> None:
        count, doom = self._means(channel, policy, "max_age")
        if count > 0:
            shed_older(channel, until, doom, count)
        if policy.overflow is not Overflow.DROP_OLDEST and stop_of_gap(channel) < min(until, channel.visible_seq):
            where = f"channel {channel.name} of topic {self._topic.name}"
            self._too_old[channel.name] = _reason(where, "max_age", _seconds(policy))

    def _bound_files(self, wall_ns: int) -> None:
        """Only whole files go: keep them small and young where bytes or ages are bounded."""
        policy = self.policy
        sizes = [size for size in (policy.max_bytes, policy.retain_bytes) if size]
        ages_ns = [age_ns for age_ns in (policy.max_age_ns, policy.retain_age_ns) if age_ns]
        size_bytes = min(sizes) // _FILES_OF_A_BOUND if sizes else 0
        self._topic.log.bound_files(size_bytes, wall_ns - min(ages_ns) // _ROLLS_OF_AN_AGE if ages_ns else 0)

    def release_floor(self, floor: int) -> int:
        """What of the log below `floor`, which is done with, may go: all below the answer. Raises `StorageError`.

        A topic's `max_bytes` comes before what it retains.
        """
        policy = self.policy
        if not policy.retains:
            return floor
        size_bytes = policy.retain_bytes
        if policy.max_bytes:
            left = policy.max_bytes - self._topic.log.bytes_from(floor)
            if left <= 0:
                return floor
            size_bytes = min(size_bytes, left) if size_bytes else left
        since_ns = self._clock.wall_ns() - policy.retain_age_ns if policy.retain_age_ns else 0
        return self._topic.log.kept_from(floor, size_bytes, since_ns)

    @property
    def retained_bytes(self) -> int:
        """Bytes of finished messages in the log."""
        log = self._topic.log
        return log.bytes_from(log.first_seq) - log.bytes_from(self._topic.floor)


def _reason(where: str, what: str, limit: str) -> str:
    return f"{where} is beyond its {what} of {limit}"


def _seconds(policy: Policy) -> str:
    return f"{policy.max_age_ns / 1_000_000_000:g}s"
