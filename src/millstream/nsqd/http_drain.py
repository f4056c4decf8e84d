"""`/drain`: begins and cancels a drain over HTTP, and shows what is left of it.

`nsqd.http` routes the requests here; `nsqd.drain` does it.
"""

from typing import Final

from millstream.net.http import HttpError, Request, Response, json
from millstream.nsqd.drain import TOPICS_SHOWN_MAX, Drain, TopicLeft

_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False}


class DrainApi:
    """The two endpoints. Every answer says whether the daemon drains and what is left."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    def show(self, _request: Request) -> Response:
        """Look."""
        left = self._drain.left()
        channels = [channel for topic in left for channel in topic.channels]
        return json(
            {
                "draining": self._drain.is_on,
                "topics_left": len(left),
                "depth": sum(topic.depth for topic in left) + sum(channel.depth for channel in channels),
                "in_flight_count": sum(channel.in_flight for channel in channels),
                "deferred_count": sum(channel.deferred for channel in channels),
                "topics": [_topic(topic) for topic in left[:TOPICS_SHOWN_MAX]],
            }
        )

    def change(self, request: Request) -> Response:
        """Begin, or with `cancel=true` end it."""
        cancel = _SWITCH.get(request.query.get("cancel", "false"))
        if cancel is None:
            raise HttpError(400, "INVALID_ARG_CANCEL")
        if cancel:
            self._drain.cancel()
        else:
            self._drain.begin()
        return self.show(request)


def _topic(topic: TopicLeft) -> dict[str, object]:
    return {
        "topic_name": topic.topic,
        "depth": topic.depth,
        "paused": topic.is_paused,
        "channels": [
            {
                "channel_name": channel.channel,
                "depth": channel.depth,
                "in_flight_count": channel.in_flight,
                "deferred_count": channel.deferred,
                "client_count": channel.consumers,
                "paused": channel.is_paused,
            }
            for channel in topic.channels
        ],
    }
