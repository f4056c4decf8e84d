"""What the engine decided and the daemon carries out: values, in the order in which they are to happen."""

from dataclasses import dataclass

from millstream.engine.consumer import Consumer


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection of `consumer`: its channel is gone."""

    consumer: Consumer


@dataclass(frozen=True, slots=True)
class TopicCreated:
    """Tell the discovery daemons, and the metadata file."""

    topic: str


@dataclass(frozen=True, slots=True)
class TopicDeleted:
    """Tell the discovery daemons, and the metadata file."""

    topic: str


@dataclass(frozen=True, slots=True)
class ChannelCreated:
    """Tell the discovery daemons, and the metadata file."""

    topic: str
    channel: str


@dataclass(frozen=True, slots=True)
class ChannelDeleted:
    """Tell the discovery daemons, and the metadata file."""

    topic: str
    channel: str


Announcement = TopicCreated | TopicDeleted | ChannelCreated | ChannelDeleted
Effect = Disconnect | Announcement
