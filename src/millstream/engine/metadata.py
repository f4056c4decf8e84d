"""Topics and channels as data: the content of NSQ's metadata file `nsqd.dat`, both directions.

`nsqd.metadata` reads and writes the file; ephemeral topics and channels are left out, entries with invalid names are
skipped on reading, as NSQ does.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from millstream.base.errors import MillstreamError
from millstream.base.version import NSQ_VERSION
from millstream.protocol.names import is_ephemeral, is_valid_name


class MetadataError(MillstreamError):
    """The metadata file is not what NSQ or Millstream writes."""


@dataclass(slots=True)
class TopicMetadata:
    """A topic, whether it is paused, and its channels: name to whether that is paused."""

    name: str
    paused: bool = False
    channels: dict[str, bool] = field(default_factory=dict)


def encode(topics: list[TopicMetadata]) -> bytes:
    """The file's content: compact JSON, in NSQ's order of keys."""
    content = {
        "topics": [
            {
                "name": topic.name,
                "paused": topic.paused,
                "channels": [
                    {"name": name, "paused": paused}
                    for name, paused in sorted(topic.channels.items())
                    if not is_ephemeral(name)
                ]
                or None,
            }
            for topic in sorted(topics, key=lambda found: found.name)
            if not is_ephemeral(topic.name)
        ]
        or None,
        "version": NSQ_VERSION,
    }
    return msgspec.json.encode(content)


def decode(data: bytes) -> list[TopicMetadata]:
    """The topics in the file. Raises `MetadataError` when it is no JSON of the right shape."""
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MetadataError(f"is no JSON - {error}") from error
    if not isinstance(content, dict):
        raise MetadataError("is no JSON object")
    topics: list[TopicMetadata] = []
    for entry in _objects(content.get("topics")):
        name = entry.get("name")
        if not isinstance(name, str) or not is_valid_name(name):
            continue
        topic = TopicMetadata(name, entry.get("paused") is True)
        for channel in _objects(entry.get("channels")):
            channel_name = channel.get("name")
            if isinstance(channel_name, str) and is_valid_name(channel_name):
                topic.channels[channel_name] = channel.get("paused") is True
        topics.append(topic)
    return topics


def _objects(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MetadataError("has something else where a list belongs")
    return [entry for entry in value if isinstance(entry, dict)]
