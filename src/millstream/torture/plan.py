"""The mix: the topics of a piece, who publishes to them, who reads their channels and how, and what operators do.

Data only. `torture.books` keeps a book for each entry, `torture.piece` brings it to life. What empties or deletes has a
topic of its own, so that the books of the others need not know of it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Begins(Enum):
    """When a channel is made."""

    AT_ONCE = "before the first message"
    MIDWAY = "in the middle of the piece, over HTTP"
    AT_THE_END = "when the piece is drained"


class Habit(Enum):
    """What an operator does to a topic while it is under load."""

    NONE = "nothing"
    PAUSES = "pauses and unpauses the channel and the topic"
    HOLDS = "empties the topic, which is paused until the end"
    EMPTIES = "empties the channel"
    REPLACES = "deletes the second channel and makes it again"
    DELETES = "deletes the topic and makes it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """A channel and those who read it under load: nobody while `consumers` is 0.

    Shares are of all messages: `requeued` go back with REQ, `kept` are left to time out, `touched` are held beyond
    their timeout with TOUCH. The others are finished, after a rest of up to `pause_s` per batch.
    """

    name: str
    begins: Begins = Begins.AT_ONCE
    consumers: int = 1
    ready_count: int = 20
    pause_s: float = 0.0
    requeued: float = 0.0
    kept: float = 0.0
    touched: float = 0.0
    is_taken_away: bool = False  # a consumer may find its messages or the channel gone: an operator was faster

    @property
    def has_timeouts(self) -> bool:
        """Whether consumers take the timeout of the daemon, which may be short, instead of a minute."""
        return bool(self.kept or self.touched)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """A topic, its channels, and its publishers, which rest up to `rest_s` between bursts."""

    name: str
    channels: tuple[ChannelPlan, ...]
    publishers: int = 1
    web_publishers: int = 0
    rest_s: float = 0.06
    habit: Habit = Habit.NONE

    @property
    def may_refuse(self) -> bool:
        """Whether a publish may fail because the topic is just being deleted."""
        return self.habit is Habit.DELETES


PLAN: Final = (
    TopicPlan(
        name="clicks",
        publishers=2,
        rest_s=0.03,
        channels=(
            ChannelPlan(name="metrics", consumers=2, ready_count=100, requeued=0.05),
            ChannelPlan(name="archive", ready_count=20, pause_s=0.02),
            ChannelPlan(name="audit", consumers=0),
            ChannelPlan(name="late", begins=Begins.MIDWAY, ready_count=100),
        ),
    ),
    TopicPlan(
        name="orders",
        publishers=2,
        web_publishers=1,
        rest_s=0.03,
        channels=(
            ChannelPlan(name="ship", consumers=2, ready_count=50, requeued=0.1),
            ChannelPlan(name="retry", ready_count=100, requeued=0.5),
        ),
    ),
    TopicPlan(
        name="patience",
        channels=(ChannelPlan(name="slowly", ready_count=30, kept=0.05, touched=0.1),),
    ),
    TopicPlan(
        name="gates",
        habit=Habit.PAUSES,
        channels=(ChannelPlan(name="gate", ready_count=50, requeued=0.05),),
    ),
    TopicPlan(
        name="held",
        habit=Habit.HOLDS,
        channels=(ChannelPlan(name="shelf", ready_count=50),),
    ),
    TopicPlan(
        name="swept",
        habit=Habit.EMPTIES,
        channels=(ChannelPlan(name="floor", ready_count=10, pause_s=0.04, is_taken_away=True, requeued=0.1),),
    ),
    TopicPlan(
        name="branches",
        habit=Habit.REPLACES,
        channels=(
            ChannelPlan(name="stays", ready_count=50),
            ChannelPlan(name="goes", ready_count=10, pause_s=0.04, is_taken_away=True),
        ),
    ),
    TopicPlan(
        name="doomed",
        habit=Habit.DELETES,
        channels=(ChannelPlan(name="only", ready_count=10, pause_s=0.04, is_taken_away=True),),
    ),
    TopicPlan(
        name="backlog",
        channels=(ChannelPlan(name="first", begins=Begins.AT_THE_END, consumers=0),),
    ),
)
