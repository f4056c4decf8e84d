"""`/channel/rewind`, `/channel/replay`, `/channel/mpub`: give one channel what it had before, or what is its own.

`nsqd.http` routes the requests here; `engine.rewinding` and `engine.replaying` do it. An answer of 200 means that the
change is as durable as a message is at this nsqd's `--durability`.
"""

from collections.abc import Callable
from typing import Final

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.base.system import random_bits
from millstream.engine import replaying
from millstream.engine.channel import Channel
from millstream.engine.rewinding import NotBehind, rewind
from millstream.engine.topic import Topic
from millstream.net.http import HttpError, Request, Response, json, text
from millstream.nsqd.batches import bodies_of
from millstream.nsqd.host import Host
from millstream.nsqd.http_names import name_argument, topic_and_channel, topic_named
from millstream.nsqd.http_peek import instant_argument, parse_id
from millstream.protocol.names import is_ephemeral

log = get_logger(__name__)

_START: Final = "start"
_ID_BITS: Final = 62


class ReplayApi:
    """The three endpoints."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def rewind(self, request: Request) -> Response:
        """Send a channel back to a time, an id, or the oldest record; one that is not there is made at that place."""
        topic = topic_named(self._host, name_argument(request, "topic"))
        name = name_argument(request, "channel")
        self._host.turn.run()
        sequence = self._place(request, topic)

        def go_back() -> Response:
            channel = self._host.channel(topic, name)
            if not topic.is_kept and not is_ephemeral(name):
                topic.log.settle_in()
            try:
                start = rewind(channel, sequence)
            except NotBehind as error:
                raise HttpError(400, f"INVALID_ARG_TO: {error}") from error
            self._host.turn.mark(topic, channel)
            log.info("channel.rewound", topic=topic.name, channel=name, id=f"{start:016x}")
            return json({"id": f"{start:016x}", "depth": channel.depth})

        return self._durably(go_back)

    def _place(self, request: Request, topic: Topic) -> int:
        query = request.query
        if ("to" in query) == ("id" in query):
            raise HttpError(400, "MISSING_ARG_TO: name a place with either to=start, to=TIME or id=ID")
        if "id" in query:
            return parse_id(query["id"], "id")
        if query["to"] == _START:
            return 0
        to_ns = instant_argument(request, "to", 0, self._host.clock.wall_ns())
        return self._read(lambda: topic.log.first_since(to_ns))

    def replay(self, request: Request) -> Response:
        """Deliver what was taken in within [from, to) to one channel once more, besides what waits there."""
        topic, channel = topic_and_channel(self._host, request)
        now_ns = self._host.clock.wall_ns()
        since_ns = instant_argument(request, "from", 0, now_ns)
        until_ns = instant_argument(request, "to", now_ns + 1, now_ns)
        if since_ns >= until_ns:
            raise HttpError(400, "INVALID_ARG_FROM: it has to lie before to")
        self._host.turn.run()
        start = self._read(lambda: topic.log.first_since(since_ns))
        end = self._read(lambda: topic.log.first_since(until_ns))

        def add() -> Response:
            count = replaying.replay(channel, start, end)
            channel.save()
            channel.progress.settle()
            self._host.turn.mark(topic, channel)
            log.info("channel.replayed", topic=topic.name, channel=channel.name, messages=count)
            return json({"messages": count, "from_id": f"{start:016x}", "to_id": f"{end:016x}"})

        return self._durably(add)

    def publish(self, request: Request) -> Response:
        """Give messages to one channel only, in the form of `/mpub`."""
        topic, channel = topic_and_channel(self._host, request)
        host = self._host
        if host.is_stopping:
            raise HttpError(503, "EXITING")
        if host.drain.is_on:
            raise HttpError(503, "DRAINING")
        bodies = bodies_of(request, host.options)
        if not bodies:
            return text("OK")
        host.turn.run()

        def add() -> Response:
            if not topic.is_kept and not channel.settings.is_ephemeral:
                topic.log.settle_in()
            replaying.publish(channel, bodies, _fresh_ids(channel, len(bodies)), host.clock.wall_ns())
            channel.save()
            channel.progress.settle()
            host.turn.mark(topic, channel)
            return text("OK")

        return self._durably(add)

    def _read(self, find: Callable[[], int]) -> int:
        try:
            return find()
        except StorageError as error:
            log.error("http.replay_failed", error=error)
            raise HttpError(500, "INTERNAL_ERROR") from error

    def _durably(self, change: Callable[[], Response]) -> Response:
        try:
            return change()
        except StorageError as error:
            log.error("http.replay_failed", error=error)
            raise HttpError(503, "STORAGE_FAILED") from error
        finally:
            self._host.turn.wake()


def _fresh_ids(channel: Channel, count: int) -> int:
    """The first of as many ids in a row that nothing has or will have."""
    while True:
        first_id = random_bits(_ID_BITS)
        if replaying.is_clear(channel, first_id, count):
            return first_id
