"""Carries out what policies ask for by the clock: ages, retention, refusals that end, and dead letters that move.

`nsqd.timers` ticks it; `nsqd.turn` commits the letters with everything else and asks here, as it asks publishers,
whether they are as durable as promised. `nsqd.host` tells of publishes that were refused.
"""

import asyncio
from typing import Final

from millstream.base.clock import Clock
from millstream.base.log import get_logger
from millstream.engine.broker import Broker
from millstream.engine.topic import Topic
from millstream.nsqd.turn import Turn

log = get_logger(__name__)

_NS_PER_S: Final = 1_000_000_000


class Limits:
    """One per daemon. It says in the log when a topic begins and ends to refuse, and why dead letters do not move."""

    def __init__(self, broker: Broker, turn: Turn, clock: Clock) -> None:
        self._broker = broker
        self._turn = turn
        self._clock = clock
        self._refusing: dict[str, Topic] = {}
        self._trouble = ""
        self._is_waiting = False
        self._is_stopped = False

    def stop(self) -> None:
        """Write no more letters: what is doomed stays where it is, and goes at the next start."""
        self._is_stopped = True

    def tick(self) -> None:
        """Let time pass."""
        if self._broker.policies.is_empty and not self._refusing:
            return
        for topic in self._broker.enforce(self._clock.monotonic_ns()):
            self._turn.changed(topic)
        self._write()
        for name, topic in list(self._refusing.items()):
            if not topic.refusal or topic.is_deleted:
                del self._refusing[name]
                log.info("topic.accepts_again", topic=name)

    def refused(self, topic: Topic) -> None:
        """A publish was refused because of a limit."""
        topic.rejected_count += 1
        if self._refusing.get(topic.name) is not topic:
            self._refusing[topic.name] = topic
            log.warning("topic.refuses", topic=topic.name, reason=topic.refusal)

    def _write(self) -> None:
        if self._is_stopped:
            return
        letters = self._broker.dead_letters
        for topic in letters.write():
            self._turn.published(topic, None if self._is_waiting else self)
            self._is_waiting = True
        if letters.last_trouble != self._trouble:
            self._trouble = letters.last_trouble
            if self._trouble:
                log.error("dead_letters.write_failed", error=self._trouble)

    def settle(self) -> bool:
        """Finish what has its place in a dead-letter topic; True when nothing is on its way any more."""
        letters = self._broker.dead_letters
        changed = letters.settle()
        for topic in changed:
            self._turn.changed(topic)
        self._is_waiting = not letters.is_idle
        if changed:
            # There may be more than one batch of them.
            asyncio.get_running_loop().call_soon(self._write)
        return not self._is_waiting
