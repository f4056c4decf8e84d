"""Which nsqd has which topics and channels: the whole state of nsqlookupd, and no I/O.

`nsqlookupd.session` writes what each nsqd announces, `nsqlookupd.http` writes what an operator asks for and reads the
rest. A topic or channel stays known after its last nsqd has gone, until somebody deletes it; names are compared as they
are, so `*` is a name like any other.

Every nsqd announces everything again when it connects. What `nsqlookupd.keeper` restores from before a restart bridges
the time until then: a restored producer gives each topic over to the nsqd that connects with its address and announces
that topic, and goes when that nsqd has announced everything, which its first PING tells.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError
from millstream.nsqlookupd.records import (
    NEVER_NS,
    Kept,
    KeptProducer,
    KeptTopic,
    Lookup,
    Node,
    Producer,
    Registration,
    RegistryStats,
)
from millstream.protocol.names import is_ephemeral

Listener = Callable[[str], None]
"""Gets the name of a topic of which something has changed; it changes nothing itself, and looks only afterwards."""

_NS_PER_MS: Final = 1_000_000


class RegistryFull(MillstreamError):
    """The registry has as many entries as it may have; it is unchanged."""


@dataclass(frozen=True, slots=True)
class _Instant:
    """A moment on both clocks: ages are measured on the one that never jumps, people are shown the other."""

    wall_ns: int
    monotonic_ns: int

    def ago(self, ns: int) -> "_Instant":
        return _Instant(self.wall_ns - ns, self.monotonic_ns - ns)


@dataclass(slots=True)
class _Peer:
    producer: Producer
    last_update: _Instant
    topics: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Topic:
    producers: dict[int, _Instant | None] = field(default_factory=dict)
    """The nsqd that have it, each with the moment of its tombstone. Whoever has a channel is here too."""
    channels: dict[str, set[int]] = field(default_factory=dict)


class Registry:
    """Topics, channels, and the nsqd that have them.

    A peer is named by the id of its connection. Unknown ids are ignored: its connection may be closing. Restored
    producers have negative ids, for there is no connection.
    """

    def __init__(
        self, clock: Clock, *, inactive_after_ms: int, tombstone_lifetime_ms: int, entries_max: int = 1_000_000
    ) -> None:
        self._clock = clock
        self.set_timeouts(inactive_after_ms=inactive_after_ms, tombstone_lifetime_ms=tombstone_lifetime_ms)
        self._entries_max = entries_max
        self._entries = 0
        self._peers: dict[int, _Peer] = {}
        self._topics: dict[str, _Topic] = {}
        self._listeners: list[Listener] = []
        self._restored: dict[tuple[str, int], int] = {}
        """The restored producers that no nsqd has come for, by their endpoint."""
        self._predecessors: dict[int, int] = {}
        """The restored producers that nsqd are taking over from, by the id of those."""

    def set_timeouts(self, *, inactive_after_ms: int, tombstone_lifetime_ms: int) -> None:
        """From now on, leave producers out of answers after these."""
        self._inactive_after_ns = inactive_after_ms * _NS_PER_MS
        self._tombstone_lifetime_ns = tombstone_lifetime_ms * _NS_PER_MS

    def watch(self, listener: Listener) -> None:
        """Tell of every change that is not only the passing of time."""
        self._listeners.append(listener)

    # What an nsqd says.

    def identify(self, producer: Producer) -> None:
        """A peer says who it is. From now on it counts as a producer."""
        self._peers[producer.connection_id] = _Peer(producer, self._now())
        if (restored := self._restored.pop(producer.endpoint, None)) is not None:
            self._predecessors[producer.connection_id] = restored

    def ping(self, connection_id: int) -> None:
        """A peer says that it is alive."""
        if (peer := self._peers.get(connection_id)) is None:
            return
        was_active = self._is_active(peer, self._clock.monotonic_ns())
        peer.last_update = self._now()
        if (predecessor := self._predecessors.pop(connection_id, None)) is not None:
            self._forget(predecessor)
        if not was_active:
            for name in peer.topics:
                self._tell(name)

    def register(self, connection_id: int, name: str, channel: str = "") -> None:
        """A peer has a topic, and perhaps a channel of it. Raises RegistryFull."""
        if (peer := self._peers.get(connection_id)) is None:
            return
        self._need_room(4)
        topic = self._add_topic(name)
        if connection_id not in topic.producers:
            topic.producers[connection_id] = None
            peer.topics[name] = None
            self._entries += 1
        if channel:
            producers = self._add_channel(topic, channel)
            self._entries += connection_id not in producers
            producers.add(connection_id)
        if (predecessor := self._predecessors.get(connection_id)) is not None:
            self._take_over(topic, predecessor, connection_id, name)
        self._tell(name)

    def unregister(self, connection_id: int, name: str, channel: str = "") -> None:
        """A peer no longer has a channel, or a topic and all its channels. An ephemeral key goes with its last peer."""
        if (topic := self._topics.get(name)) is None:
            return
        if not channel:
            self._leave_topic(connection_id, name)
            if not topic.producers and is_ephemeral(name):
                self.delete_topic(name)
        elif (producers := topic.channels.get(channel)) is not None:
            self._leave_channel(connection_id, producers)
            if not producers and is_ephemeral(channel):
                self.delete_channel(name, channel)
            self._tell(name)

    def disconnect(self, connection_id: int) -> None:
        """A peer has gone: it no longer has anything. What it had stays known."""
        if (peer := self._peers.get(connection_id)) is None:
            return
        for name in list(peer.topics):
            self._leave_topic(connection_id, name)
        del self._peers[connection_id]
        # It may have gone before it had announced everything.
        if (predecessor := self._predecessors.pop(connection_id, None)) is not None:
            self._restored[peer.producer.endpoint] = predecessor

    # What an operator asks for.

    def create_topic(self, name: str) -> None:
        """Makes a topic known before any nsqd has it. Raises RegistryFull."""
        self._need_room(1)
        self._add_topic(name)
        self._tell(name)

    def create_channel(self, name: str, channel: str) -> None:
        """Makes a channel known, and its topic. Raises RegistryFull."""
        self._need_room(2)
        self._add_channel(self._add_topic(name), channel)
        self._tell(name)

    def delete_topic(self, name: str) -> None:
        """Forgets a topic and its channels. An nsqd that has it announces it again when it reconnects."""
        if (topic := self._topics.get(name)) is None:
            return
        for channel in list(topic.channels):
            self.delete_channel(name, channel)
        for connection_id in list(topic.producers):
            self._leave_topic(connection_id, name)
        del self._topics[name]
        self._entries -= 1
        self._tell(name)

    def delete_channel(self, name: str, channel: str) -> bool:
        """Forgets a channel; False when there is none."""
        topic = self._topics.get(name)
        if topic is None or channel not in topic.channels:
            return False
        self._entries -= 1 + len(topic.channels.pop(channel))
        self._tell(name)
        return True

    def tombstone(self, name: str, node: str) -> None:
        """Hides the nsqd called `node` from lookups of a topic, for the lifetime of a tombstone."""
        if (topic := self._topics.get(name)) is None:
            return
        for connection_id in topic.producers:
            if self._peers[connection_id].producer.node == node:
                topic.producers[connection_id] = self._now()
        self._tell(name)

    # What outlives a restart.

    def keep(self) -> Kept:
        """What a snapshot holds. Ephemeral names that nobody has are left out, and so are dead restored producers."""
        now_ns = self._clock.monotonic_ns()
        return Kept(
            topics={
                name: tuple(channel for channel, ids in topic.channels.items() if ids or not is_ephemeral(channel))
                for name, topic in self._topics.items()
                if topic.producers or not is_ephemeral(name)
            },
            producers=tuple(
                KeptProducer(
                    remote_address=peer.producer.remote_address,
                    identity=peer.producer.identity,
                    silent_ms=(now_ns - peer.last_update.monotonic_ns) // _NS_PER_MS,
                    topics=tuple(self._keep_topic(connection_id, name) for name in peer.topics),
                )
                for connection_id, peer in self._peers.items()
                if connection_id >= 0 or self._is_active(peer, now_ns)
            ),
        )

    def restore(self, kept: Kept) -> None:
        """Adds what was kept, for an empty registry. Raises RegistryFull; what was added until then stays."""
        for name, channels in kept.topics.items():
            self._need_room(1 + len(channels))
            topic = self._add_topic(name)
            for channel in channels:
                self._add_channel(topic, channel)
        now = self._now()
        for number, one in enumerate(kept.producers, 1):
            producer = Producer(connection_id=-number, remote_address=one.remote_address, identity=one.identity)
            if producer.endpoint in self._restored:
                continue
            self._peers[-number] = _Peer(producer, now.ago(one.silent_ms * _NS_PER_MS))
            self._restored[producer.endpoint] = -number
            for kept_topic in one.topics:
                self._need_room(2 + 2 * len(kept_topic.channels))
                for channel in kept_topic.channels or ("",):
                    self.register(-number, kept_topic.name, channel)
                if kept_topic.tombstoned_ns:
                    # The future is no age: the wall clock was set back since.
                    tombstone = now.ago(max(now.wall_ns - kept_topic.tombstoned_ns, 0))
                    self._topics[kept_topic.name].producers[-number] = tombstone

    def forget_restored(self) -> int:
        """Lets those restored producers go that are no longer active; how many there were."""
        now_ns = self._clock.monotonic_ns()
        dead = [one for one in self._restored.items() if not self._is_active(self._peers[one[1]], now_ns)]
        for endpoint, connection_id in dead:
            del self._restored[endpoint]
            self._forget(connection_id)
        return len(dead)

    # What anybody may know.

    def lookup(self, name: str) -> Lookup | None:
        """The channels of a topic, and the nsqd that have it, are alive and are not hidden. None: unknown topic."""
        if (topic := self._topics.get(name)) is None:
            return None
        now_ns = self._clock.monotonic_ns()
        producers = [
            self._peers[connection_id].producer
            for connection_id, tombstone in topic.producers.items()
            if self._is_active(self._peers[connection_id], now_ns) and not self._is_hidden(tombstone, now_ns)
        ]
        return Lookup(list(topic.channels), producers)

    def next_change_ns(self, name: str) -> int | None:
        """How long the passing of time alone leaves the lookup of a topic as it is; None: for ever."""
        if (topic := self._topics.get(name)) is None:
            return None
        now_ns = self._clock.monotonic_ns()
        waits_ns: list[int] = []
        for connection_id, tombstone in topic.producers.items():
            if tombstone is not None and self._is_hidden(tombstone, now_ns):
                waits_ns.append(tombstone.monotonic_ns + self._tombstone_lifetime_ns - now_ns)
            if self._is_active(peer := self._peers[connection_id], now_ns):
                waits_ns.append(peer.last_update.monotonic_ns + self._inactive_after_ns + 1 - now_ns)
        return min(waits_ns, default=None)

    def topics(self) -> list[str]:
        """Every topic that is known."""
        return list(self._topics)

    def channels(self, name: str) -> list[str]:
        """Every channel of a topic that is known."""
        topic = self._topics.get(name)
        return list(topic.channels) if topic else []

    def nodes(self) -> list[Node]:
        """Every nsqd that is alive."""
        now_ns = self._clock.monotonic_ns()
        replaced = set(self._predecessors.values())
        return [
            Node(
                peer.producer,
                list(peer.topics),
                [self._is_hidden(self._topics[name].producers[connection_id], now_ns) for name in peer.topics],
            )
            for connection_id, peer in self._peers.items()
            if self._is_active(peer, now_ns) and connection_id not in replaced
        ]

    def registrations(self) -> Iterator[Registration]:
        """Everything, with what is dead and hidden; keys that nobody has are left out."""
        for connection_id in self._peers:
            yield self._describe("client::", connection_id, None)
        for name, topic in self._topics.items():
            for connection_id, tombstone in topic.producers.items():
                yield self._describe(f"topic:{name}:", connection_id, tombstone)
            for channel, connection_ids in topic.channels.items():
                for connection_id in connection_ids:
                    yield self._describe(f"channel:{name}:{channel}", connection_id, None)

    @property
    def entries(self) -> int:
        """Topics, channels, and the producers under each of them: what the limit counts."""
        return self._entries

    def stats(self) -> RegistryStats:
        """How much of everything there is."""
        now_ns = self._clock.monotonic_ns()
        topics = self._topics.values()
        return RegistryStats(
            topics=len(topics),
            channels=sum(len(topic.channels) for topic in topics),
            producers=len(self._peers) - len(self._predecessors),
            active_producers=sum(self._is_active(peer, now_ns) for peer in self._peers.values())
            - sum(self._is_active(self._peers[one], now_ns) for one in self._predecessors.values()),
            restored_producers=len(self._restored),
            tombstones=sum(self._is_hidden(stone, now_ns) for topic in topics for stone in topic.producers.values()),
            entries=self._entries,
        )

    # Steps of the above.

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            listener(name)

    def _take_over(self, topic: _Topic, predecessor: int, connection_id: int, name: str) -> None:
        if predecessor in topic.producers:
            # It is the same nsqd: only we were away.
            topic.producers[connection_id] = topic.producers[connection_id] or topic.producers[predecessor]
            self._leave_topic(predecessor, name)

    def _forget(self, connection_id: int) -> None:
        names = list(self._peers[connection_id].topics)
        self.disconnect(connection_id)
        for name in names:
            topic = self._topics[name]
            for channel in [one for one, ids in topic.channels.items() if not ids and is_ephemeral(one)]:
                self.delete_channel(name, channel)
            if not topic.producers and is_ephemeral(name):
                self.delete_topic(name)

    def _keep_topic(self, connection_id: int, name: str) -> KeptTopic:
        topic = self._topics[name]
        tombstone = topic.producers[connection_id]
        return KeptTopic(
            name=name,
            channels=tuple(channel for channel, ids in topic.channels.items() if connection_id in ids),
            tombstoned_ns=tombstone.wall_ns if tombstone else 0,
        )

    def _now(self) -> _Instant:
        return _Instant(self._clock.wall_ns(), self._clock.monotonic_ns())

    def _need_room(self, entries: int) -> None:
        if self._entries + entries > self._entries_max:
            raise RegistryFull(f"the registry has {self._entries} entries, the limit is {self._entries_max}")

    def _add_topic(self, name: str) -> _Topic:
        if (topic := self._topics.get(name)) is None:
            topic = self._topics[name] = _Topic()
            self._entries += 1
        return topic

    def _add_channel(self, topic: _Topic, channel: str) -> set[int]:
        if (producers := topic.channels.get(channel)) is None:
            producers = topic.channels[channel] = set()
            self._entries += 1
        return producers

    def _leave_topic(self, connection_id: int, name: str) -> None:
        topic = self._topics[name]
        for producers in topic.channels.values():
            self._leave_channel(connection_id, producers)
        if connection_id in topic.producers:
            del topic.producers[connection_id]
            del self._peers[connection_id].topics[name]
            self._entries -= 1
            self._tell(name)

    def _leave_channel(self, connection_id: int, producers: set[int]) -> None:
        if connection_id in producers:
            producers.remove(connection_id)
            self._entries -= 1

    def _is_active(self, peer: _Peer, now_ns: int) -> bool:
        return now_ns - peer.last_update.monotonic_ns <= self._inactive_after_ns

    def _is_hidden(self, tombstone: _Instant | None, now_ns: int) -> bool:
        return tombstone is not None and now_ns - tombstone.monotonic_ns < self._tombstone_lifetime_ns

    def _describe(self, key: str, connection_id: int, tombstone: _Instant | None) -> Registration:
        peer = self._peers[connection_id]
        return Registration(
            key=key,
            producer=peer.producer,
            last_update_ns=peer.last_update.wall_ns,
            is_tombstoned=tombstone is not None,
            tombstoned_ns=tombstone.wall_ns if tombstone else NEVER_NS,
        )
