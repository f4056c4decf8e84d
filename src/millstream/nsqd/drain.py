"""Runs an nsqd empty: no more messages are taken, what is there is still delivered, and then the process may end.

`POST /drain` and SIGUSR1 begin it, `nsqd.host` refuses publishes meanwhile, and the nsqlookupds are told that the
topics are no longer here: consumers that are connected stay, and nobody new comes. Ten times a second somebody looks
whether anything is left; a topic without a channel, or a paused one, keeps the daemon up until its operator decides.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from millstream.base.log import get_logger
from millstream.engine.broker import Broker
from millstream.engine.topic import Topic

log = get_logger(__name__)

CHECK_S: Final = 0.1
TOPICS_SHOWN_MAX: Final = 100


class Withdrawing(Protocol):
    """Discovery, as far as a drain concerns it."""

    def withdraw(self) -> None:
        """Take back everything that was announced."""
        ...

    def come_back(self) -> None:
        """Announce everything again."""
        ...


class Drainable(Protocol):
    """The host, as far as a drain concerns it."""

    broker: Broker

    def forget_publishing(self) -> None:
        """Have every publisher ask again for its topic."""
        ...

    @property
    def discovery(self) -> Withdrawing | None:
        """The nsqlookupds, if there are any."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLeft:
    """What a channel still has to deliver, or to hear of."""

    channel: str
    depth: int
    in_flight: int
    deferred: int
    consumers: int
    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicLeft:
    """What keeps a topic from being empty; `depth` is what no channel was given."""

    topic: str
    depth: int
    is_paused: bool
    channels: tuple[ChannelLeft, ...]


class Drain:
    """Whether this nsqd runs empty. `on_empty` is called once, when nothing is left."""

    def __init__(self, host: Drainable) -> None:
        self.is_on = False
        self.on_empty: Callable[[], None] | None = None
        self._host = host
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Take no more messages; nothing when that is so already."""
        if self.is_on:
            return
        self.is_on = True
        self._host.forget_publishing()
        if self._host.discovery is not None:
            self._host.discovery.withdraw()
        log.info("drain.began", topics_left=sum(1 for _ in self.left()))
        self._watch()

    def cancel(self) -> None:
        """Be as before; nothing when it was not begun."""
        if not self.is_on:
            return
        self.is_on = False
        self.stop()
        if self._host.discovery is not None:
            self._host.discovery.come_back()
        log.info("drain.cancelled")

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if any(not _is_empty(topic) for topic in self._host.broker.topics.values()):
            self._watch()
            return
        log.info("drain.done")
        if self.on_empty is not None:
            self.on_empty()

    def left(self) -> list[TopicLeft]:
        """Topics that are not empty, with those of their channels that are not."""
        return [_what_is_left(topic) for topic in self._host.broker.topics.values() if not _is_empty(topic)]


def _is_empty(topic: Topic) -> bool:
    # What is not committed yet was published before the drain began.
    is_settled = topic.log.next_seq == topic.log.ready_seq and not topic.is_held
    return is_settled and topic.depth == 0 and all(channel.is_idle for channel in topic.channels.values())


def _what_is_left(topic: Topic) -> TopicLeft:
    channels = tuple(
        ChannelLeft(
            channel=channel.name,
            depth=channel.depth,
            in_flight=channel.in_flight_count,
            deferred=channel.deferred_count,
            consumers=len(channel.consumers),
            is_paused=channel.paused,
        )
        for channel in topic.channels.values()
        if not channel.is_idle
    )
    return TopicLeft(topic=topic.name, depth=topic.depth, is_paused=topic.paused, channels=channels)
