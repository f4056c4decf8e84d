"""What publishers, consumers and operators know of a piece, and what follows for what must be there in the end.

Publishers note what they send and what was acknowledged, consumers what they are given and finish, operators what they
asked for and what was answered. Instants are ticks of one counter, which orders everything that happens in this
process: what was acknowledged at a tick before an operator asked for something had happened before it. A promise that
is seen broken goes to `Breaches`; what is missing in the end is lost.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from millstream.base.clock import Clock
from millstream.torture.bodies import read_body
from millstream.torture.plan import ChannelPlan, TopicPlan

# A message that is due is looked for 20 times a second, never before its time but for the clock's own steps.
EARLY_NS: Final = 2_000_000
EXAMPLES_MAX: Final = 5

_NS_PER_MS: Final = 1_000_000
_COUNT_MAX: Final = 255


class Breaches:
    """Promises that were seen broken: how often each, and the first few in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def note(self, kind: str, text: str) -> None:
        """A promise was broken; `kind` says which one, the same way each time."""
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(text)


class Delivered(Protocol):
    """A message as it came."""

    body: bytes
    timestamp_ns: int
    attempts: int


class Ticks:
    """The counter that orders what happens."""

    def __init__(self) -> None:
        self.now = 0

    def next(self) -> int:
        """Another instant, after all others."""
        self.now += 1
        return self.now


class TopicBook:
    """What publishers know of a topic. A message is its number, in the order of sending."""

    def __init__(self, plan: TopicPlan, ticks: Ticks) -> None:
        self.plan = plan
        self.sent_at = array("Q")
        self.acknowledged_at = array("Q")
        self.acknowledged = 0
        self._ticks = ticks

    def send(self, count: int) -> range:
        """The numbers of `count` messages that are about to be sent."""
        first = len(self.sent_at)
        self.sent_at.extend([self._ticks.next()] * count)
        self.acknowledged_at.extend([0] * count)
        return range(first, first + count)

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """The daemon said OK to these."""
        tick = self._ticks.next()
        for number in numbers:
            self.acknowledged_at[number] = tick
            self.acknowledged += 1


@dataclass(slots=True)
class Cutoff:
    """An operator takes away what a channel has: it empties or deletes it, or makes it at all.

    What is sent after `ended` is owed to the channel; nothing is while that is None. Whether it happened is known only
    when it was answered: then what was acknowledged before `forbids` must not come any more.
    """

    asked: int
    ended: int | None = None
    forbids: int = 0


class ChannelBook:
    """What consumers know of a channel; `may_repeat` bounds the duplicates."""

    def __init__(self, plan: ChannelPlan, topic: TopicBook, ticks: Ticks, clock: Clock, breaches: Breaches) -> None:
        self.plan = plan
        self.topic = topic
        self.name = f"{topic.plan.name}/{plan.name}"
        self.has_begun = False
        self.exists: bool | None = False  # as the last answer had it; None when nobody knows
        self.may_repeat = 0
        self.paused_at: int | None = None
        self.cutoffs: list[Cutoff] = []
        self.breaches = breaches
        self._ticks = ticks
        self._clock = clock
        self._finished = bytearray()
        self._recent: list[tuple[int, int]] = []
        self._due_ns: dict[int, int] = {}

    # What operators do.

    def made(self) -> None:
        """The channel was made, and that was answered."""
        self.has_begun = self.exists = True

    def cut(self) -> Cutoff:
        """An operator is about to ask for something that takes messages away, until `ended` is set."""
        cutoff = Cutoff(self._ticks.next())
        self.cutoffs.append(cutoff)
        return cutoff

    def forbidden_before(self, opened: int) -> int:
        """What was acknowledged before this must not come over a connection that was opened at tick `opened`."""
        certain = [one.forbids for one in self.cutoffs if one.ended is not None and one.ended < opened]
        return max(certain, default=0)

    # What consumers see.

    def take(self, message: Delivered, *, run: int, place: int, opened: int, forbidden_before: int) -> int | None:
        """Check all that a delivery says; the message's number, or None when it is none of ours."""
        content = read_body(message.body)
        if content is None:
            self._broken("a body is not what was sent", f"{len(message.body)} bytes, {message.body[:40]!r}")
            return None
        number = content.number
        if content.run != run or content.topic != place or number >= len(self.topic.sent_at):
            self._broken("a message came that was never sent", f"{content}")
            return None
        if message.attempts < 1:
            self._broken("a delivery has no attempts", f"message {number}")
        now_ns = self._clock.wall_ns()
        due_ns = message.timestamp_ns + content.delay_ms * _NS_PER_MS
        if now_ns < due_ns - EARLY_NS:
            self._broken("a deferred message came before it was due", f"message {number}: {due_ns - now_ns} ns early")
        if self._due_ns and self._clock.monotonic_ns() < self._due_ns.pop(number, 0) - EARLY_NS:
            self._broken("a requeued message came before its delay was over", f"message {number}")
        if 0 < self.topic.acknowledged_at[number] < forbidden_before:
            self._broken("what an operator had taken away came back", f"message {number}")
        if self.paused_at is not None and self.paused_at < opened:
            self._broken("a message came through a pause", f"message {number}")
        return number

    def requeue(self, number: int, delay_ms: int) -> None:
        """A message goes back, to come again no earlier than this."""
        if delay_ms and not self.plan.has_timeouts:
            self._due_ns[number] = self._clock.monotonic_ns() + delay_ms * _NS_PER_MS

    def finish(self, numbers: Sequence[int]) -> None:
        """A consumer is done with these, and says so to the daemon."""
        finished = self._finished
        if len(finished) < len(self.topic.sent_at):
            finished.extend(bytes(len(self.topic.sent_at) - len(finished)))
        for number in numbers:
            if finished[number] < _COUNT_MAX:
                finished[number] += 1
        self._recent.append((self._clock.monotonic_ns(), len(numbers)))

    def refused(self, text: str) -> None:
        """The daemon did not take an answer: it counts the message as unanswered, and delivers it again."""
        self.may_repeat += 1
        if not self.plan.has_timeouts and not self.plan.is_taken_away:
            self._broken("an answer in time was refused", text)

    def killed(self, saved_until_ns: int, killed_ns: int) -> None:
        """A kill may bring back what was in flight, and what the journal forgot: FINs since `saved_until_ns`.

        Called when nobody works on the channel any more. What was finished after the kill was in flight to the daemon;
        but where messages time out, one may have been sent more than once by then, and is finished as often.
        """
        if self.has_begun:
            self.may_repeat += self.plan.consumers * self.plan.ready_count
        self.may_repeat += sum(
            count
            for at_ns, count in self._recent
            if at_ns >= saved_until_ns and (at_ns <= killed_ns or self.plan.has_timeouts)
        )
        self._recent.clear()
        self._due_ns.clear()

    # What it comes to.

    @property
    def finished(self) -> int:
        """How many messages were finished at least once."""
        return len(self._finished) - self._finished.count(0)

    @property
    def duplicates(self) -> int:
        """How often a message was finished that had been finished before."""
        return sum(self._finished) - self.finished

    def missing(self) -> list[int]:
        """The messages that are owed to the channel, and never came."""
        if not self.has_begun:
            return []
        owed_after = 0
        for one in self.cutoffs:
            if one.ended is None:
                return []
            owed_after = max(owed_after, one.ended)
        acknowledged_at, finished = self.topic.acknowledged_at, self._finished
        return [
            number
            for number, sent_at in enumerate(self.topic.sent_at)
            if acknowledged_at[number] and sent_at > owed_after and not (number < len(finished) and finished[number])
        ]

    def _broken(self, kind: str, text: str) -> None:
        self.breaches.note(kind, f"{self.name}: {text}")


class Books:
    """All books of a piece. `run` stands in every body."""

    def __init__(self, plan: Sequence[TopicPlan], run: int, clock: Clock) -> None:
        self.run = run
        self.ticks = Ticks()
        self.breaches = Breaches()
        self.topics = [TopicBook(topic, self.ticks) for topic in plan]
        self.channels = [
            [ChannelBook(channel, book, self.ticks, clock, self.breaches) for channel in book.plan.channels]
            for book in self.topics
        ]

    def every_channel(self) -> list[ChannelBook]:
        """The books of all channels."""
        return [channel for channels in self.channels for channel in channels]

    def lost(self) -> int:
        """How many messages were acknowledged and did not come to every channel that they were owed to."""
        return sum(len({number for channel in channels for number in channel.missing()}) for channels in self.channels)
