"""What all sessions and the HTTP API of one nsqd share: the broker, the turn, the limits, and who is connected.

`nsqd.service` builds it; `nsqd.session` and `nsqd.http` get topics and channels from it, so that discovery and the
metadata file hear of every one.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterable
from typing import Final, Protocol

from millstream.base.clock import Clock
from millstream.base.errors import DiskFull, StorageError
from millstream.base.histogram import Histogram
from millstream.base.log import get_logger
from millstream.engine.broker import Broker
from millstream.engine.channel import Channel
from millstream.engine.consumer import Consumer
from millstream.engine.effects import (
    Announcement,
    ChannelCreated,
    ChannelDeleted,
    Disconnect,
    Effect,
    TopicCreated,
    TopicDeleted,
)
from millstream.engine.policies import DEAD
from millstream.engine.topic import Topic
from millstream.net.http_auth import BearerTokens
from millstream.nsqd.admission import AddressGate, Draining, OverLimit, undeclared_channel, undeclared_topic
from millstream.nsqd.auth import AuthClient
from millstream.nsqd.client_stats import ClientStats
from millstream.nsqd.disk import DiskGuard
from millstream.nsqd.drain import Drain
from millstream.nsqd.limits import Limits
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.trouble import METADATA, Place
from millstream.nsqd.turn import Turn
from millstream.protocol.chunks import BufferPool
from millstream.protocol.names import is_ephemeral
from millstream.storage.damage import Damage, DamageBook

log = get_logger(__name__)

RECEIVE_BYTES: Final = 256 << 10
METADATA_DELAY_S: Final = 0.02
METADATA_RETRY_S: Final = 1.0


class Connected(Protocol):
    """A session, as its host and the HTTP API see it."""

    number: int
    channel: Channel | None

    def stats(self) -> ClientStats:
        """What `/stats` says of the client."""
        ...

    def send(self, data: bytes | memoryview) -> None:
        """Write to the client."""
        ...

    def close(self) -> None:
        """End the connection, after what is on its way."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...


class Discovery(Protocol):
    """Tells nsqlookupd what exists here; its calls return at once."""

    @property
    def has_peers(self) -> bool:
        """Whether there is anybody to tell."""
        ...

    def set_peers(self, addresses: Iterable[str]) -> None:
        """Talk to these nsqlookupd from now on. Raises `OptionError`, and then nothing has changed."""
        ...

    def topic_created(self, topic: str) -> None:
        """A topic is here."""
        ...

    def topic_deleted(self, topic: str) -> None:
        """A topic is gone."""
        ...

    def channel_created(self, topic: str, channel: str) -> None:
        """A channel is here."""
        ...

    def channel_deleted(self, topic: str, channel: str) -> None:
        """A channel is gone."""
        ...

    async def channels_of(self, topic: str) -> list[str]:
        """The channels that other nsqd have of a topic."""
        ...

    def withdraw(self) -> None:
        """Take back everything that was announced."""
        ...

    def come_back(self) -> None:
        """Announce everything again."""
        ...


class Host:
    """Hands out topics and channels, and carries out what the engine decided."""

    def __init__(
        self,
        options: DaemonOptions,
        broker: Broker,
        pool: BufferPool,
        clock: Clock,
        *,
        write_metadata: Callable[[], None],
        disk: DiskGuard,
        damage: DamageBook,
        acknowledge: Callable[[str], list[Damage]],
    ) -> None:
        """`write_metadata` writes the metadata file, or raises `StorageError`."""
        self.options = options
        self.features = options.features()
        self.needs_tls = options.tcp_needs_tls
        self.tls: ssl.SSLContext | None = None
        self.auth: AuthClient | None = None
        self.tokens: BearerTokens | None = None
        self.broker = broker
        self.clock = clock
        self.turn = Turn(
            broker,
            pool,
            clock,
            carry_out=self._carry_out,
            disk=disk,
            wants_sync=options.durability == "fsync",
        )
        self.buffer = bytearray(RECEIVE_BYTES)
        self.view = memoryview(self.buffer)
        self.sessions: dict[int, Connected] = {}
        self.gate = AddressGate(
            clock, connections_max=options.max_connections_per_address, rate_max=options.max_connection_rate
        )
        self.drain = Drain(self)
        self.disk = disk
        self.disk.on_change = self.forget_publishing
        self.damage = damage
        self.acknowledge = acknowledge
        self.limits = Limits(broker, self.turn, clock)
        broker.dead_letters.open_target = self.dead_letter_topic
        self.discovery: Discovery | None = None
        self.is_stopping = False
        self.publish_failures = 0
        self.loop_lag_s = Histogram()
        self.start_time_s = clock.wall_ns() // 10**9
        self._write_metadata = write_metadata
        self._last_number = 0
        self._group: asyncio.TaskGroup | None = None
        self._metadata_timer: asyncio.TimerHandle | None = None

    def open(self, group: asyncio.TaskGroup, discovery: Discovery | None) -> None:
        """From now on new topics are announced; questions to nsqlookupd run in `group`."""
        self._group = group
        self.discovery = discovery
        if discovery is not None and self.drain.is_on:
            discovery.withdraw()

    def set_options(self, options: DaemonOptions) -> None:
        """Limits and timeouts have changed: they hold for what comes from now on."""
        self.options = options
        self.features = options.features()
        self.gate.set_limits(connections_max=options.max_connections_per_address, rate_max=options.max_connection_rate)
        self.broker.set_max_msg_timeout(options.max_msg_timeout_ms * 1_000_000)
        self.disk.set_marks(warn_free=options.disk_warn_free, min_free=options.disk_min_free)

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run something that ends by itself, as a task of the daemon's group; not before `open`."""
        if self._group is None:
            raise RuntimeError("the host is not open")
        self._group.create_task(work, name=name)

    def next_number(self) -> int:
        """A number for a new session; it fits 32 bits, and is not one of a session that lives."""
        while True:
            self._last_number = self._last_number % 0xFFFF_FFF0 + 1
            if self._last_number not in self.sessions:
                return self._last_number

    @property
    def health(self) -> str:
        """`OK`, or `NOK - ` and what does not work."""
        reasons = [reason for reason in (self.disk.text, self.turn.troubles.text) if reason]
        return f"NOK - {'; '.join(reasons)}" if reasons else "OK"

    def topic_to_publish(self, name: str) -> Topic:
        """The topic for a publisher.

        Raises `Draining`, `DiskReserved` when the disk is nearly full, `OverLimit`, `BadTopic` when it had to be
        declared, and `StorageError`. What is kept in memory needs no disk.
        """
        if self.drain.is_on:
            raise Draining
        if not is_ephemeral(name):
            self.disk.admit()
        topic = self._declared_topic(name)
        if topic.refusal:
            self.limits.refused(topic)
            raise OverLimit(topic.refusal)
        return topic

    def dead_letter_topic(self, name: str) -> Topic:
        """The topic for dead letters, with the channel in which they wait. Raises `StorageError`."""
        topic = self.topic(name)
        self.channel(topic, DEAD)
        return topic

    def subscription(self, topic_name: str, channel_name: str) -> tuple[Topic, Channel]:
        """Topic and channel for a consumer.

        Raises `BadTopic` and `BadChannel` when they had to be declared, and `StorageError`. An ephemeral channel is
        what its consumers make of it, and need not be declared.
        """
        topic = self._declared_topic(topic_name)
        is_known = channel_name in topic.channels or is_ephemeral(channel_name)
        if not is_known and self.options.auto_create == "declared":
            raise undeclared_channel(topic_name, channel_name)
        return topic, self.channel(topic, channel_name)

    def _declared_topic(self, name: str) -> Topic:
        if self.options.auto_create == "declared" and name not in self.broker.topics:
            raise undeclared_topic(name)
        return self.topic(name)

    def topic(self, name: str) -> Topic:
        """The topic, made when missing. Raises `StorageError`.

        Channels that other nsqd have of a new topic are made before any of its messages count as moved, so none of
        them misses the first.
        """
        topic = self.broker.topics.get(name)
        if topic is None:
            topic = self.broker.topic(name)
            if self.discovery is not None and self.discovery.has_peers and self._group is not None:
                topic.is_held = True
                self._group.create_task(self._pre_create(topic, self.discovery), name=f"channels of {name}")
            self.turn.wake()
        return topic

    async def _pre_create(self, topic: Topic, discovery: Discovery) -> None:
        try:
            names = await discovery.channels_of(topic.name)
            if not topic.is_deleted:
                for name in names:
                    self.broker.channel(topic, name)
        except StorageError as error:
            log.error("topic.channels_missing", topic=topic.name, error=error)
        finally:
            self._release_hold(topic)
            for channel in topic.channels.values():
                self.turn.mark(topic, channel)
            self.turn.wake()

    def _release_hold(self, topic: Topic) -> None:
        try:
            topic.release_hold()
        except StorageError as error:
            # The next commit, or the next save, shows it.
            log.error("topic.read_failed", topic=topic.name, error=error)

    def channel(self, topic: Topic, name: str) -> Channel:
        """The channel, made when missing. Raises `StorageError`."""
        channel = topic.channels.get(name)
        if channel is None:
            channel = self.broker.channel(topic, name)
            self.turn.mark(topic, channel)
        return channel

    def leave(self, topic: Topic, channel: Channel, consumer: Consumer) -> None:
        """A consumer is gone."""
        self.broker.leave(topic, channel, consumer)
        if not topic.is_deleted:
            self.turn.mark(topic, channel)
        self.turn.wake()

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Disconnect):
                session = self.sessions.get(effect.consumer.number)
                if session is not None:
                    session.close()
                continue
            _report(effect)
            if isinstance(effect, TopicDeleted):
                self.turn.troubles.forget_topic(effect.topic)
            elif isinstance(effect, ChannelDeleted):
                self.turn.troubles.forget_channel(effect.topic, effect.channel)
            if self.discovery is not None:
                _announce(self.discovery, effect)
            self.metadata_changed()

    def metadata_changed(self) -> None:
        """Have the metadata file written soon: a burst of new topics is one write."""
        self._save_metadata_in(METADATA_DELAY_S)

    def settle_metadata(self) -> None:
        """Write the metadata file now if it is behind. Raises `StorageError`; then it is tried again later."""
        if self._metadata_timer is None:
            return
        self._metadata_timer.cancel()
        self._metadata_timer = None
        self._put_metadata()

    def save_metadata(self) -> None:
        """Write the metadata file now; what the disk refuses is tried again later."""
        if self._metadata_timer is not None:
            self._metadata_timer.cancel()
            self._metadata_timer = None
        try:
            self._put_metadata()
        except StorageError as error:
            log.error("metadata.write_failed", error=error)

    def _put_metadata(self) -> None:
        place = Place("", METADATA)
        try:
            self._write_metadata()
        except StorageError as error:
            self.turn.troubles.failed(place, error)
            if isinstance(error, DiskFull):
                self.disk.found_full(is_journal=True)
            self._save_metadata_in(METADATA_RETRY_S)
            raise
        self.turn.troubles.worked(place)

    def _save_metadata_in(self, seconds: float) -> None:
        if self._metadata_timer is None and not self.is_stopping:
            self._metadata_timer = asyncio.get_running_loop().call_later(seconds, self.save_metadata)

    def forget_publishing(self) -> None:
        """Have every publisher ask again for its topic: whether messages are taken has changed."""
        self.turn.admission += 1

    def look_after_disk(self, *, retries: bool) -> None:
        """A few times a second: look how full the disk is, say what was found damaged, try what has trouble again."""
        self.disk.poll()
        for topic, damage in self.damage.take_unsaid():
            log.warning("log.damaged", topic=topic, kind=damage.kind, text=damage.text)
        if retries:
            self.turn.retry(writes=not self.disk.is_refusing)


def _announce(discovery: Discovery, effect: Announcement) -> None:
    match effect:
        case TopicCreated(topic):
            discovery.topic_created(topic)
        case TopicDeleted(topic):
            discovery.topic_deleted(topic)
        case ChannelCreated(topic, channel):
            discovery.channel_created(topic, channel)
        case ChannelDeleted(topic, channel):
            discovery.channel_deleted(topic, channel)


def _report(effect: Announcement) -> None:
    match effect:
        case TopicCreated(topic):
            log.info("topic.created", topic=topic)
        case TopicDeleted(topic):
            log.info("topic.deleted", topic=topic)
        case ChannelCreated(topic, channel):
            log.info("channel.created", topic=topic, channel=channel)
        case ChannelDeleted(topic, channel):
            log.info("channel.deleted", topic=topic, channel=channel)
