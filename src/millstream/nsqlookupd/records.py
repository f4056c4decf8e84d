"""What `nsqlookupd.registry` tells of itself, as values: to HTTP, to metrics, and to the snapshot on the disk."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from millstream.protocol.lookup import Identity

NEVER_NS: Final = -6_795_364_578_871_345_152
"""What `/debug` shows for an instant that never came: Go's zero time."""

UNKNOWN_VERSION: Final = "unknown"
"""The version of a topic that nobody has heard of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """One nsqd as it described itself, and the address that it came from."""

    connection_id: int
    remote_address: str
    identity: Identity

    @property
    def node(self) -> str:
        """The name that operators use for it when they tombstone."""
        return f"{self.identity.broadcast_address}:{self.identity.http_port}"

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where consumers connect: it stays the same when an nsqd connects again."""
        return self.identity.broadcast_address, self.identity.tcp_port


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where a topic is."""

    channels: list[str]
    producers: list[Producer]


@dataclass(frozen=True, slots=True)
class Node:
    """What an nsqd has; `tombstones` runs beside `topics`."""

    producer: Producer
    topics: list[str]
    tombstones: list[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One producer under one key, as `/debug` shows it; the key is `category:topic:channel`."""

    key: str
    producer: Producer
    last_update_ns: int
    is_tombstoned: bool
    tombstoned_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStats:
    """How much there is. `restored` are the producers known from a snapshot alone; `tombstones` are those in force."""

    topics: int
    channels: int
    producers: int
    active_producers: int
    restored_producers: int
    tombstones: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTopic:
    """A topic of a producer in a snapshot; `tombstoned_ns` is wall-clock time, 0 for never."""

    name: str
    channels: tuple[str, ...] = ()
    tombstoned_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptProducer:
    """A producer in a snapshot, which had not been heard of for `silent_ms` when that was taken."""

    remote_address: str
    identity: Identity
    silent_ms: int
    topics: tuple[KeptTopic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What outlives a restart: names, whether somebody has them or not, and who had what."""

    topics: dict[str, tuple[str, ...]]
    producers: tuple[KeptProducer, ...] = ()


def lookup_version(lookup: Lookup | None) -> str:
    """A word that changes when the producers of a topic do, and is the same for the same producers at any time.

    Neither the connection of a producer nor the channels of the topic are part of it.
    """
    if lookup is None:
        return UNKNOWN_VERSION
    identities = {
        (
            one.identity.broadcast_address,
            one.identity.tcp_port,
            one.identity.http_port,
            one.identity.hostname,
            one.identity.version,
            one.identity.topology_zone,
            one.identity.topology_region,
        )
        for one in lookup.producers
    }
    # Any text may be in there; repr writes it so that two sets never look the same.
    return blake2b(repr(sorted(identities)).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
