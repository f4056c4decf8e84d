"""Takes messages from HTTP: `/pub` and `/mpub` become records of a topic's log, answered when they are durable.

`nsqd.http` routes the requests here. Bodies go to the log as they came in; the answer is one that the turn
(`nsqd.turn`) gives together with the OKs of TCP clients.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.engine.topic import Topic
from millstream.net.http import HttpError, Later, Request, Response
from millstream.nsqd.admission import Draining, OverLimit
from millstream.nsqd.batches import read_batch
from millstream.nsqd.disk import DiskReserved
from millstream.nsqd.host import Host
from millstream.nsqd.publish_again import EXITING, OK, BatchAgain, Pending, PublishAgain, refused
from millstream.protocol.errors import BadTopic
from millstream.protocol.names import is_valid_name

_NS_PER_MS: Final = 1_000_000


class Publishing:
    """The two endpoints that take messages."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def publish(self, request: Request) -> Later:
        """`/pub`: the body is one message."""
        body = request.body
        if not body:
            raise HttpError(400, "MSG_EMPTY")
        topic = self._topic(request)
        delay_ms = self._delay_ms(request)
        now_ns = self._host.clock.wall_ns()
        try:
            if delay_ms:
                topic.publish_deferred(body, 0, len(body), now_ns, now_ns + delay_ms * _NS_PER_MS)
            else:
                topic.publish(body, 0, len(body), now_ns)
        except StorageError as error:
            raise refused(self._host, topic.name, error) from error
        return self._published(topic)

    def publish_batch(self, request: Request) -> Later | Response:
        """`/mpub`: one message per line, or counted and sized as in MPUB."""
        topic = self._topic(request)
        found = read_batch(request, self._host.options)
        if not found.count:
            return OK
        try:
            topic.publish_batch(found.data, found.start, found.count, found.size_bytes, self._host.clock.wall_ns())
        except StorageError as error:
            raise refused(self._host, topic.name, error) from error
        return self._published(topic)

    def _published(self, topic: Topic) -> Later:
        answer = Later()
        self._host.turn.published(topic, Pending(self._host, topic, answer))
        return answer

    def again(self, request: Request) -> "PublishAgain":
        """What takes the next `/pub` that differ from this one in their body alone."""
        query = _query_of(request)
        return PublishAgain(self._host, query.get("topic", ""), is_simple="defer" not in query)

    def batch_again(self, request: Request) -> "BatchAgain":
        """What takes the next `/mpub` that differ from this one in their body alone."""
        query = _query_of(request)
        return BatchAgain(self._host, query.get("topic", ""), is_simple="binary" not in query)

    def _topic(self, request: Request) -> Topic:
        name = request.query.get("topic")
        if name is None:
            raise HttpError(400, "MISSING_ARG_TOPIC")
        if not is_valid_name(name):
            raise HttpError(400, "INVALID_TOPIC")
        if self._host.is_stopping:
            raise EXITING
        try:
            return self._host.topic_to_publish(name)
        except Draining as error:
            raise HttpError(503, "DRAINING") from error
        except OverLimit as error:
            raise HttpError(503, f"OVER_LIMIT: {error}") from error
        except BadTopic as error:
            raise HttpError(404, "TOPIC_NOT_FOUND") from error
        except DiskReserved as error:
            self._host.publish_failures += 1
            raise HttpError(503, "DISK_FULL") from error
        except StorageError as error:
            raise refused(self._host, name, error) from error

    def _delay_ms(self, request: Request) -> int:
        value = request.query.get("defer")
        if value is None:
            return 0
        digits = value[1:] if value[:1] in ("+", "-") else value
        if digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= len(str(1 << 63)):
            delay_ms = int(digits.lstrip("0") or "0")
            if delay_ms == 0 or (value[0] != "-" and delay_ms <= self._host.options.max_req_timeout_ms):
                return delay_ms
        raise HttpError(400, "INVALID_DEFER")


def _query_of(request: Request) -> dict[str, str]:
    """The query, or an empty one where it cannot be read: then every request goes the long way to its refusal."""
    try:
        return request.query
    except HttpError:
        return {}
