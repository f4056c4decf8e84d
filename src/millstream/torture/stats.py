"""What `/stats` of the nsqd under torture says of its topics and channels, as far as books can be compared with it.

`torture.piece` asks after each start, and while it drains.
"""

import msgspec

from millstream.base.errors import MillstreamError
from millstream.base.units import Address
from millstream.net.http_client import HttpClient


class NotNsq(MillstreamError):
    """Something answers `/stats` that is no nsqd."""


class ChannelStats(msgspec.Struct):
    """A channel and the messages in it."""

    channel_name: str
    depth: int
    in_flight_count: int
    deferred_count: int


class TopicStats(msgspec.Struct):
    """A topic, and the messages that no channel was given yet."""

    topic_name: str
    depth: int
    channels: list[ChannelStats] | None


class _Stats(msgspec.Struct):
    topics: list[TopicStats] | None


async def read_stats(http: HttpClient, address: Address) -> list[TopicStats]:
    """All topics. Raises HttpFailed, and NotNsq."""
    answer = await http.get(f"http://{address}/stats?format=json&include_clients=false&include_mem=false")
    try:
        return msgspec.json.decode(answer.body, type=_Stats).topics or []
    except msgspec.DecodeError as error:
        raise NotNsq(f"/stats of {address} is not that of an nsqd: {error}") from error


def channel_names(stats: list[TopicStats]) -> set[str]:
    """`topic/channel` of every channel there is."""
    return {f"{topic.topic_name}/{channel.channel_name}" for topic in stats for channel in topic.channels or []}


def left_in(stats: list[TopicStats]) -> dict[str, int]:
    """What is not empty: a topic, or `topic/channel`, and how many messages it holds in whatever state."""
    found = {topic.topic_name: topic.depth for topic in stats}
    for topic in stats:
        for channel in topic.channels or []:
            count = channel.depth + channel.in_flight_count + channel.deferred_count
            found[f"{topic.topic_name}/{channel.channel_name}"] = count
    return {name: count for name, count in found.items() if count}
