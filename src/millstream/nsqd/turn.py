"""What happens once per turn of the loop, for everything that the turn's reads brought.

Sessions and HTTP publish into topics and mark what changed; then `run`: one write per dirty log, the OKs, the effects
the engine decided, and each channel with something to deal gets one round. A few milliseconds later the journals of
what changed are saved. Batches form here. What fails is the trouble of its own topic, and is tried again: a log and a
journal by whoever uses them next, and once a second by `retry`.
"""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from millstream.base.clock import Clock
from millstream.base.errors import DiskFull, StorageError
from millstream.base.histogram import Histogram
from millstream.base.log import get_logger
from millstream.engine.broker import Broker
from millstream.engine.channel import Channel
from millstream.engine.consumer import Deliver
from millstream.engine.effects import Effect
from millstream.engine.topic import Topic
from millstream.nsqd.disk import DiskGuard
from millstream.nsqd.resting import OpenTopics
from millstream.nsqd.trouble import READ, SAVE, SYNC, WRITE, Place, Troubles
from millstream.protocol.chunks import BufferPool
from millstream.storage.log import Log
from millstream.storage.sync import GroupCommit, Outcome

log = get_logger(__name__)

SAVE_DELAY_S: Final = 0.005
_RETRY_S: Final = 1.0
_RETRIES_MAX: Final = 20
_EVENTS: Final = {WRITE: "topic.write_failed", SAVE: "topic.save_failed", READ: "topic.read_failed"}


class Publisher(Protocol):
    """Somebody who waits to hear that what it published is as durable as promised."""

    def settle(self) -> bool:
        """Send the answers that are due; True when none is left."""
        ...


class Turn:
    """Collects what a turn has to do; `troubles` is what fails.

    `admission` counts how often it has changed whether messages are taken: a publisher asks for its topic again when it
    does.
    """

    def __init__(
        self,
        broker: Broker,
        pool: BufferPool,
        clock: Clock,
        *,
        carry_out: Callable[[list[Effect]], None],
        disk: DiskGuard,
        wants_sync: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._broker = broker
        self._pool = pool
        self._clock = clock
        self._carry_out = carry_out
        self._disk = disk
        self._topics: list[Topic] = []
        self._publishers: list[Publisher] = []
        self._channels: dict[Channel, Topic] = {}
        self._changed: dict[Topic, None] = {}
        self._is_scheduled = False
        self._monotonic_ns = 0
        self._wall_ns = 0
        self._save_timer: asyncio.TimerHandle | None = None
        self._commit = GroupCommit(self._synced_in_thread, clock) if wants_sync else None
        self._open = OpenTopics()
        self._newest: Topic | None = None
        self._run = self.run
        self.admission = 0
        self.troubles = Troubles()
        self._errors = self.troubles.errors
        self._effects = broker.effects

    @property
    def sync_durations_s(self) -> Histogram | None:
        """How long the rounds of the group commit took; None when there are none."""
        return self._commit.durations_s if self._commit is not None else None

    def published(self, topic: Topic, publisher: Publisher | None) -> None:
        """A topic has new records; `publisher` waits for the word on them."""
        if not topic.is_dirty:
            topic.is_dirty = True
            self._topics.append(topic)
            self._changed[topic] = None
        if publisher is not None:
            self._publishers.append(publisher)
        self.wake()

    def mark(self, topic: Topic, channel: Channel) -> None:
        """A channel may have something to deal: messages, or consumers with room."""
        self._channels[channel] = topic
        self._changed[topic] = None
        self.wake()

    def changed(self, topic: Topic) -> None:
        """Something in a topic changed by itself: it is to be saved, and its channels may have something to deal."""
        self._changed[topic] = None
        for channel in topic.channels.values():
            self._channels[channel] = topic
        self.wake()

    def monotonic_ns(self) -> int:
        """The monotonic clock, read once for all that a turn brings; so there is a turn, in which that reading ends."""
        if self._monotonic_ns == 0:
            self._monotonic_ns = self._clock.monotonic_ns()
            self.wake()
        return self._monotonic_ns

    def wall_ns(self) -> int:
        """The wall clock, read once for all that a turn brings: what was published together has one timestamp."""
        if self._wall_ns == 0:
            self._wall_ns = self._clock.wall_ns()
            self.wake()
        return self._wall_ns

    def wake(self) -> None:
        """Have `run` called when the loop has read everything that is there now."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def run(self) -> None:
        """One turn. Also called directly before a control operation, so that it finds nothing half done."""
        self._is_scheduled = False
        self._monotonic_ns = self._wall_ns = 0
        if self._topics:
            self._commit_topics()
        if self._publishers:
            self._settle()
        if self._effects:
            self._carry_out(self._broker.take_effects())
        if self._channels:
            self._deal()
        self._pool.turn()
        if self._changed and self._save_timer is None:
            self._save_timer = self._loop.call_later(SAVE_DELAY_S, self._save)

    def _commit_topics(self) -> None:
        topics = self._topics
        self._topics = []
        for topic in topics:
            topic.is_dirty = False
            epoch = topic.log.epoch
            try:
                topic.commit()
            except StorageError as error:
                # What was accepted is only not shown, when the log has forgotten nothing.
                self._failed(topic, READ if topic.log.epoch == epoch else WRITE, error)
            else:
                if self._errors:
                    self.troubles.worked(Place(topic.name, WRITE))
            if self._commit is not None and isinstance(topic.log, Log):
                self._commit.start(topic.log)
            if topic is not self._newest:
                # A topic that was written to last is the newest already: saying so again costs more than the rest.
                self._newest = topic
                self._open.used(topic)
            for channel in topic.channels.values():
                if channel.consumers:
                    self._channels[channel] = topic

    def _failed(self, topic: Topic, what: str, error: StorageError) -> None:
        self.troubles.failed(Place(topic.name, what), error)
        log.error(_EVENTS[what], topic=topic.name, error=error)
        if isinstance(error, DiskFull):
            self._disk.found_full(is_journal=what == SAVE)

    def _settle(self) -> None:
        publishers = self._publishers
        self._publishers = []
        left: list[Publisher] = []
        for publisher in publishers:
            if not publisher.settle():
                left.append(publisher)  # noqa: PERF401  (a comprehension is a closure when compiled)
        # Whoever publishes while others are told waits, too.
        self._publishers = left + self._publishers

    def _deal(self) -> None:
        channels = self._channels
        self._channels = {}
        now_ns = self._clock.monotonic_ns()
        for channel, topic in channels.items():
            try:
                effects: list[Deliver] = channel.deal(now_ns)
            except StorageError as error:
                # The log cannot be read back now: the next mark tries again, at the latest that of `retry`.
                self.troubles.failed(Place(topic.name, READ, channel.name), error)
                log.error("channel.read_failed", topic=topic.name, channel=channel.name, error=error)
                continue
            if self._errors and (effects or not channel.depth):
                self.troubles.worked(Place(topic.name, READ, channel.name))
            if effects:
                self._changed[topic] = None
                for effect in effects:
                    sink = effect.consumer.sink
                    if sink is not None:
                        sink.send(effect.frames)
                if channel.has_more:
                    self._channels[channel] = topic
                    self.wake()

    def _save(self) -> None:
        self._save_timer = None
        changed = self._changed
        self._changed = {}
        delay_s = SAVE_DELAY_S
        for topic in changed:
            if topic.is_deleted:
                continue
            try:
                if topic.save() or topic.is_dirty:
                    # What was published since the last turn is not shown to the channels yet.
                    self._changed[topic] = None
            except StorageError as error:
                # What a journal cannot hold is delivered again after a restart; the next save carries all of it.
                self._changed[topic] = None
                delay_s = _RETRY_S
                self._failed(topic, SAVE, error)
            else:
                if self._errors:
                    self.troubles.worked(Place(topic.name, SAVE))
            _report_losses(topic)
            self._newest = topic
            self._open.used(topic)
        if self._changed:
            self._save_timer = self._loop.call_later(delay_s, self._save)

    def retry(self, *, writes: bool) -> None:
        """Try what has trouble again, and would not be tried by itself: once a second. Without `writes` only reads."""
        if not self._errors:
            return
        topics = self._broker.topics
        # A topic may have failed once more on its way out.
        self.troubles.keep_only(topics)
        for place in self.troubles.places(READ):
            topic = topics[place.topic]
            if place.channel in topic.channels:
                self._read_again(place, topic, topic.channels[place.channel])
            elif place.channel:
                self.troubles.worked(place)
            else:
                self._show(topic)
        if not writes:
            return
        for what in (WRITE, SYNC):
            for place in islice(self.troubles.places(what), _RETRIES_MAX):
                found = topics[place.topic].log
                if isinstance(found, Log):
                    self._probe(place, found)

    def _read_again(self, place: Place, topic: Topic, channel: Channel) -> None:
        """Read what the channel deals next, also when nobody is there to get it."""
        try:
            topic.log.find(channel.redelivery.first() if len(channel.redelivery) else channel.cursor.sequence)
        except StorageError:
            return
        self.troubles.worked(place)
        self.mark(topic, channel)

    def _probe(self, place: Place, found: Log) -> None:
        """A publisher that stays away because of what `/ping` says must not keep it from saying that all is well."""
        try:
            found.probe()
        except StorageError:
            return
        if place.what == WRITE or self._commit is None or not self._commit.start(found):
            self.troubles.worked(place)

    def _show(self, topic: Topic) -> None:
        try:
            topic.show()
        except StorageError as error:
            self._failed(topic, READ, error)
            return
        self.troubles.worked(Place(topic.name, READ))
        # What its channels took out of the line, or its limits dropped, has to be saved.
        self._changed[topic] = None
        for channel in topic.channels.values():
            self._channels[channel] = topic

    def _synced_in_thread(self, outcome: Outcome) -> None:
        try:
            self._loop.call_soon_threadsafe(self._synced, outcome)
        except RuntimeError:
            return  # The loop is closed: nobody waits for this any more.

    def _synced(self, outcome: Outcome) -> None:
        if self._commit is None:
            return
        self._commit.finish(outcome)
        synced = {id(found): error for found, _, error in outcome}
        for topic in self._broker.topics.values():
            error = synced.get(id(topic.log))
            if error is None:
                continue
            if error:
                self.troubles.failed(Place(topic.name, SYNC), error)
                log.error("log.sync_failed", topic=topic.name, error=error)
            elif self._errors:
                self.troubles.worked(Place(topic.name, SYNC))
            self._show(topic)
        self.wake()

    def stop(self) -> None:
        """Finish what was begun and hand over no more."""
        self.run()
        if self._save_timer is not None:
            self._save_timer.cancel()
        if self._commit is not None:
            self._commit.stop()


def _report_losses(topic: Topic) -> None:
    for channel in topic.channels.values():
        lost = channel.stragglers.take_lost()
        if lost:
            first = f"{lost[0]:016x}"
            log.error("channel.messages_lost", topic=topic.name, channel=channel.name, count=len(lost), first=first)
