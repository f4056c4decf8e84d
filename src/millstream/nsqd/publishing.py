"""Takes messages from HTTP: `/pub` and `/mpub` become records of a topic's log, answered when they are durable.

`nsqd.http` routes the requests here. Bodies go to the log as they came in; the answer is one that the turn
(`nsqd.turn`) gives together with the OKs of TCP clients.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.engine.topic import Topic
from millstream.net.http import Answer, HttpError, Later, Request, Response, text
from millstream.nsqd.admission import Draining, OverLimit, Refused
from millstream.nsqd.batches import read_batch
from millstream.nsqd.disk import DiskReserved
from millstream.nsqd.host import Host
from millstream.protocol.chunks import outcome_of
from millstream.protocol.errors import BadMessage, BadTopic
from millstream.protocol.names import is_valid_name
from millstream.protocol.parser import batch_of_lines

log = get_logger(__name__)

_OK: Final = text("OK")
_EXITING: Final = HttpError(503, "EXITING")
_NS_PER_MS: Final = 1_000_000


class Pending:
    """A publish whose records are not yet durable; `settle` gives the answer."""

    __slots__ = ("_answer", "_epoch", "_host", "_log", "_topic", "_until")

    def __init__(self, host: Host, topic: Topic, answer: Answer) -> None:
        self._answer = answer
        self._host = host
        self._topic = topic
        self._log = topic.log
        self._until = topic.log.next_seq
        self._epoch = topic.log.epoch

    def settle(self) -> bool:
        """Answer when the log knows what became of the records; True when there is nothing left to wait for."""
        outcome = outcome_of(self._log, self._until, self._epoch)
        if outcome == 0 and not self._topic.is_deleted:
            return False
        if outcome <= 0:
            self._host.publish_failures += 1
        self._answer.give(_OK if outcome > 0 else _EXITING.response())
        return True


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
            return _OK
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
            raise _EXITING
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


def refused(host: Host, topic: str, error: StorageError) -> HttpError:
    """What a publisher hears when the log takes nothing."""
    host.publish_failures += 1
    log.error("topic.publish_failed", topic=topic, error=error)
    return _EXITING


class PublishAgain:
    """One client's `/pub` to one topic; whatever is not the usual case it leaves to `Publishing`."""

    def __init__(self, host: Host, name: str, *, is_simple: bool) -> None:
        self._host = host
        self._name = name
        self._is_simple = is_simple
        self._topic: Topic | None = None
        self._admission = -1

    def take(self, data: bytes, start: int, answer: Answer) -> bool:
        """Publish what begins at `start`."""
        topic = self._open_topic()
        if topic is None or start == len(data):
            return False
        try:
            self._append(topic, data, start)
        except BadMessage:
            return False
        except StorageError as error:
            answer.give(refused(self._host, topic.name, error).response())
            return True
        self._host.turn.published(topic, Pending(self._host, topic, answer))
        return True

    def _append(self, topic: Topic, data: bytes, start: int) -> None:
        topic.publish(data, start, len(data) - start, self._host.clock.wall_ns())

    def _open_topic(self) -> Topic | None:
        """The topic, when it takes messages: asked for again when that may have changed."""
        host = self._host
        topic = self._topic
        if host.is_stopping:
            return None
        if topic is None or topic.is_barred or self._admission != host.turn.admission:
            if not self._is_simple or self._name not in host.broker.topics:
                return None
            try:
                topic = host.topic_to_publish(self._name)
            except (Refused, BadTopic, StorageError):
                return None
            self._topic, self._admission = topic, host.turn.admission
        return topic


class BatchAgain(PublishAgain):
    """One client's `/mpub` with a message per line."""

    def _append(self, topic: Topic, data: bytes, start: int) -> None:
        options = self._host.options
        source, count, size_bytes = batch_of_lines(data[start:], options.max_msg_size)
        if not count:
            raise BadMessage("there is none")
        topic.publish_batch(source, 0, count, size_bytes, self._host.clock.wall_ns())
