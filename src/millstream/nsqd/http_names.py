"""What requests name: topics, channels and messages, from the query to what the broker has, or NSQ's errors.

`nsqd.http` and the endpoints beside it ask here.
"""

from typing import Final

from millstream.engine.channel import Channel
from millstream.engine.topic import Topic
from millstream.net.http import HttpError, Request
from millstream.nsqd.host import Host
from millstream.protocol import raw
from millstream.protocol.names import is_valid_name

_ID_BYTES: Final = 16


def argument(request: Request, name: str) -> str:
    """A parameter that must be given."""
    value = request.query.get(name)
    if value is None:
        raise HttpError(400, f"MISSING_ARG_{name.upper()}")
    return value


def name_argument(request: Request, name: str) -> str:
    """A parameter that must be a valid name of a topic or a channel."""
    value = argument(request, name)
    if not is_valid_name(value):
        raise invalid(name)
    return value


def invalid(name: str) -> HttpError:
    """The answer to a parameter of no use."""
    return HttpError(400, f"INVALID_ARG_{name.upper()}")


def topic_named(host: Host, name: str) -> Topic:
    """A topic that is there."""
    topic = host.broker.topics.get(name)
    if topic is None:
        raise HttpError(404, "TOPIC_NOT_FOUND")
    return topic


def topic_and_name(host: Host, request: Request) -> tuple[Topic, str]:
    """The topic that a request is about, and the name of a channel that it may have."""
    topic_name, channel_name = name_argument(request, "topic"), name_argument(request, "channel")
    return topic_named(host, topic_name), channel_name


def topic_and_channel(host: Host, request: Request) -> tuple[Topic, Channel]:
    """The topic and the channel that a request is about."""
    topic, name = topic_and_name(host, request)
    channel = topic.channels.get(name)
    if channel is None:
        raise HttpError(404, "CHANNEL_NOT_FOUND")
    return topic, channel


def sequence_of(message_id: str) -> int:
    """The sequence that a message's id stands for."""
    sequence = raw.get_id(message_id.encode(), 0) if len(message_id) == _ID_BYTES else -1
    if sequence < 0:
        raise invalid("id")
    return sequence


def id_of(sequence: int) -> str:
    """The id of a message, as its consumers see it."""
    return f"{sequence:016x}"
