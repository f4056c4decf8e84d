"""The topics of one nsqd by name, and what happens to them: create, delete, pause, tick, save.

`nsqd` gives it a store, a clock and chance, and carries out the `effects` that pile up. Nothing here awaits, so every
call is atomic.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from millstream.base.clock import Clock
from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.dead_letters import DeadLetters
from millstream.engine.effects import (
    ChannelCreated,
    ChannelDeleted,
    Disconnect,
    Effect,
    TopicCreated,
    TopicDeleted,
)
from millstream.engine.limits import BrokerSettings, ChannelSettings
from millstream.engine.log import ForgetfulProgress, Progress, ProgressState, Store
from millstream.engine.metadata import TopicMetadata
from millstream.engine.policies import DEAD, PolicyBook
from millstream.engine.policing import police, police_channel
from millstream.engine.replaying import feed
from millstream.engine.topic import Topic
from millstream.protocol.chunks import BufferPool, ChunkQueue
from millstream.protocol.names import is_ephemeral


class Broker:
    """Topics and channels. `origin` draws the first sequence of a new log: unique over nodes, topics and restarts."""

    def __init__(
        self,
        store: Store,
        pool: BufferPool,
        clock: Clock,
        *,
        origin: Callable[[], int],
        chance: Callable[[], float],
        settings: BrokerSettings,
    ) -> None:
        self.topics: dict[str, Topic] = {}
        self.settings = settings
        self.policies = PolicyBook()
        self.dead_letters = DeadLetters(self.topics, clock, self.dead_letter_topic)
        self._store = store
        self._pool = pool
        self._clock = clock
        self._origin = origin
        self._chance = chance
        self.effects: list[Effect] = []

    def take_effects(self) -> list[Effect]:
        """What was decided since the last call, in order."""
        effects = list(self.effects)
        self.effects.clear()
        return effects

    def load(self, metadata: list[TopicMetadata]) -> None:
        """Take up what the metadata file and the data path hold. Raises `StorageError`."""
        listed = {topic.name: topic for topic in metadata}
        for name in self._store.saved_topics():
            listed.setdefault(name, TopicMetadata(name))
        for entry in listed.values():
            topic = self._open_topic(entry.name)
            paused = dict(entry.channels)
            for name in self._store.saved_channels(entry.name):
                paused.setdefault(name, False)
            for name, is_paused in paused.items():
                channel = self._open_channel(topic, name, is_listed=True)
                channel.paused = is_paused
                topic.channels[name] = channel
            self._settle_positions(topic, is_paused=entry.paused)
            police(topic, self.policies, self._clock, self.settings)

    def _settle_positions(self, topic: Topic, *, is_paused: bool) -> None:
        """After a restart: the log goes on behind whatever a channel has seen, and unpaused topics show all."""
        end = topic.log.next_seq
        for channel in topic.channels.values():
            # A span that its journal takes for dropped was in the log once: who got its place now would be passed over.
            dropped = channel.holes[-1][1] if channel.holes else 0
            topic.log.resume_at(max(channel.window.cursor, channel.scanned, dropped))
        # The segments up to there may be gone, with older ones back: what is published now must not count as moved.
        topic.log.resume_at(topic.position.saved_floor)
        topic.moved_seq = max(topic.moved_seq, topic.position.saved_floor)
        if topic.log.next_seq > end:
            topic.log.gaps.append((end, topic.log.next_seq))  # no record is there, so none waits
        for channel in topic.channels.values():
            _drop(channel, end, topic.log.next_seq)
        topic.paused = is_paused
        if is_paused:
            for channel in topic.channels.values():
                channel.see(max(topic.moved_seq, channel.window.cursor))
        topic.show()
        topic.start_counting()

    def metadata(self) -> list[TopicMetadata]:
        """What the metadata file should hold."""
        return [
            TopicMetadata(topic.name, topic.paused, {name: found.paused for name, found in topic.channels.items()})
            for topic in self.topics.values()
        ]

    def topic(self, name: str) -> Topic:
        """The topic, made when it is missing. The name was checked. Raises `StorageError`."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self._open_topic(name)
            police(topic, self.policies, self._clock, self.settings)
            self.effects.append(TopicCreated(name))
        return topic

    def dead_letter_topic(self, name: str) -> Topic:
        """A topic for dead letters, made when it is missing, with the channel in which they wait.

        Raises `StorageError`.
        """
        topic = self.topic(name)
        self.channel(topic, DEAD)
        return topic

    def _open_topic(self, name: str) -> Topic:
        origin = self._origin()
        if is_ephemeral(name):
            topic = Topic(name, ChunkQueue(self._pool, origin), ForgetfulProgress(), is_ephemeral=True)
        else:
            log = self._store.open_log(name, origin)
            position, saved = self._store.open_position(name)
            topic = Topic(name, log, position, saved)
        self.topics[name] = topic
        return topic

    def channel(self, topic: Topic, name: str) -> Channel:
        """The channel, made when it is missing: it begins where the topic's messages stand. Raises `StorageError`."""
        channel = topic.channels.get(name)
        if channel is None:
            channel = self._open_channel(topic, name)
            try:
                if topic.is_kept:
                    # A channel that is made after a publish must not see it after a crash either.
                    channel.save()
                topic.add(channel)
            except StorageError:
                # Nobody subscribed: what is there of the journal must not make a channel at the next start.
                with suppress(StorageError):
                    channel.progress.delete()
                raise
            police_channel(topic, channel, self.policies, self._clock, self.settings)
            self.effects.append(ChannelCreated(topic.name, name))
        return channel

    def _open_channel(self, topic: Topic, name: str, *, is_listed: bool = False) -> Channel:
        """With `is_listed` there was such a channel: without a journal it begins at the oldest record, to miss none."""
        ephemeral = is_ephemeral(name)
        saved: ProgressState | None = None
        progress: Progress = ForgetfulProgress()
        if not ephemeral and not topic.is_ephemeral:
            progress, saved = self._store.open_progress(topic.name, name, is_listed=is_listed)
        settings = ChannelSettings(
            is_ephemeral=ephemeral,
            max_msg_timeout_ns=self.settings.max_msg_timeout_ns,
            window_slots_max=self.settings.window_slots_max,
            latency_window_ns=self.settings.latency_window_ns,
        )
        start_seq = topic.log.first_seq if is_listed else topic.moved_seq
        channel = Channel(name, topic.log, progress, self._clock, self._chance, settings, start_seq, saved)
        for start, end in topic.log.gaps:
            _drop(channel, start, end)
        return channel

    def set_policies(self, policies: PolicyBook) -> None:
        """These policies hold from now on, also for what is here already."""
        self.policies = policies
        for topic in self.topics.values():
            police(topic, policies, self._clock, self.settings)

    def enforce(self, now_ns: int) -> list[Topic]:
        """Let time pass for limits and retention: the topics that have something to save or to deal because of it."""
        return [topic for topic in self.topics.values() if topic.limits is not None and topic.limits.tick(now_ns)]

    def set_max_msg_timeout(self, timeout_ns: int) -> None:
        """How long TOUCH may hold a message, from now on."""
        self.settings = replace(self.settings, max_msg_timeout_ns=timeout_ns)
        for topic in self.topics.values():
            for channel in topic.channels.values():
                channel.settings = replace(channel.settings, max_msg_timeout_ns=timeout_ns)

    def leave(self, topic: Topic, channel: Channel, consumer: Consumer) -> None:
        """A consumer is gone; an ephemeral channel goes with its last one."""
        if consumer in channel.consumers:
            channel.leave(consumer)
        if channel.settings.is_ephemeral and not channel.consumers and topic.channels.get(channel.name) is channel:
            self.delete_channel(topic, channel)

    def delete_channel(self, topic: Topic, channel: Channel, *, unlist: Callable[[], None] | None = None) -> None:
        """Remove a channel and all it holds; its consumers are disconnected. Raises `StorageError`.

        `unlist` writes down what there still is, before the journal goes: a channel that is listed and has no journal
        begins at the oldest record.
        """
        if all(other.settings.is_ephemeral for other in topic.channels.values() if other is not channel):
            topic.freeze()  # From now on no journal of a channel says how far messages went.
        topic.channels.pop(channel.name, None)
        consumers = list(channel.consumers)
        channel.consumers.clear()
        self.effects += [Disconnect(consumer) for consumer in consumers]
        self.effects.append(ChannelDeleted(topic.name, channel.name))
        if unlist is not None:
            unlist()
        channel.progress.delete()
        if topic.is_ephemeral and not topic.channels:
            self.delete_topic(topic)

    def delete_topic(self, topic: Topic) -> None:
        """Remove a topic, its channels and its log. Raises `StorageError`."""
        self.topics.pop(topic.name, None)
        topic.is_deleted = topic.is_barred = True
        for channel in list(topic.channels.values()):
            self.effects += [Disconnect(consumer) for consumer in channel.consumers]
            self.effects.append(ChannelDeleted(topic.name, channel.name))
            channel.consumers.clear()
            channel.progress.close()
        topic.channels.clear()
        topic.position.close()
        self.effects.append(TopicDeleted(topic.name))
        topic.log.delete()
        if not topic.is_ephemeral:
            self._store.delete_topic(topic.name)

    def tick(self, now_ns: int) -> list[tuple[Topic, Channel]]:
        """Let time pass: the channels that have something to deal because of it."""
        ready: list[tuple[Topic, Channel]] = []
        for topic in self.topics.values():
            for channel in topic.channels.values():
                has_news = channel.next_event_ns <= now_ns and channel.tick(now_ns)
                if channel.replays:
                    # What cannot be read now is tried again at the next tick.
                    with suppress(StorageError):
                        has_news = feed(channel) or has_news
                if has_news:
                    ready.append((topic, channel))
        return ready

    def save(self) -> list[StorageError]:
        """Bring all journals up to date; what failed is tried again at the next call."""
        errors: list[StorageError] = []
        for topic in self.topics.values():
            try:
                topic.save()
            except StorageError as error:
                errors.append(error)
        return errors

    def close(self) -> list[StorageError]:
        """Bring everything to its files and let go of them."""
        errors: list[StorageError] = []
        for topic in self.topics.values():
            try:
                topic.close()
            except StorageError as error:
                errors.append(error)
        return errors


def _drop(channel: Channel, start: int, end: int) -> None:
    """Sequences that are lost, or never were: the channel does not wait for those that are still before it."""
    start = max(start, channel.window.cursor)
    if start < end:
        channel.drop_range(start, end)
