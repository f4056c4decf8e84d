"""Takes the messages of a client that sends one HTTP request again and again: `/pub` and `/mpub`, compiled.

`nsqd.publishing` makes one of these of a request; `net.http_repeat` hands the bodies of the next ones over. They become
records of the topic's log, and are answered by the turn (`nsqd.turn`) when these are durable. Whatever is not the
usual case is left to `nsqd.publishing`.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.engine.topic import Topic
from millstream.net.http import Answer, HttpError, text
from millstream.net.http_repeat import Repeat
from millstream.nsqd.admission import Refused
from millstream.nsqd.host import Host
from millstream.nsqd.turn import Turn
from millstream.protocol.chunks import ChunkQueue, outcome_of
from millstream.protocol.errors import BadMessage, BadTopic
from millstream.protocol.parser import batch_of_lines

log = get_logger(__name__)

OK: Final = text("OK")
EXITING: Final = HttpError(503, "EXITING")


def refused(host: Host, topic: str, error: StorageError) -> HttpError:
    """What a publisher hears when the log takes nothing."""
    host.publish_failures += 1
    log.error("topic.publish_failed", topic=topic, error=error)
    return EXITING


class Pending:
    """A publish whose records are not yet durable; `settle` gives the answer."""

    def __init__(self, host: Host, topic: Topic, answer: Answer) -> None:
        self._answer = answer
        self._host = host
        self._topic = topic
        self._log: ChunkQueue = topic.log
        self._until = topic.log.next_seq
        self._epoch = topic.log.epoch

    def settle(self) -> bool:
        """Answer when the log knows what became of the records; True when there is nothing left to wait for."""
        outcome = outcome_of(self._log, self._until, self._epoch)
        if outcome == 0 and not self._topic.is_deleted:
            return False
        if outcome <= 0:
            self._host.publish_failures += 1
        self._answer.give(OK if outcome > 0 else EXITING.response())
        return True


class PublishAgain(Repeat):
    """One client's `/pub` to one topic."""

    def __init__(self, host: Host, name: str, *, is_simple: bool) -> None:
        self._host = host
        self._turn: Turn = host.turn
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
        self._turn.published(topic, Pending(self._host, topic, answer))
        return True

    def _append(self, topic: Topic, data: bytes, start: int) -> None:
        topic.publish(data, start, len(data) - start, self._turn.wall_ns())

    def _open_topic(self) -> Topic | None:
        """The topic, when it takes messages: asked for again when that may have changed."""
        topic = self._topic
        if self._host.is_stopping:
            return None
        if topic is None or topic.is_barred or self._admission != self._turn.admission:
            topic = self._ask()
        return topic

    def _ask(self) -> Topic | None:
        host = self._host
        self._topic = None
        if not self._is_simple or self._name not in host.broker.topics:
            return None
        try:
            self._topic = host.topic_to_publish(self._name)
        except (Refused, BadTopic, StorageError):
            return None
        self._admission = self._turn.admission
        return self._topic


class BatchAgain(PublishAgain):
    """One client's `/mpub` with a message per line."""

    def _append(self, topic: Topic, data: bytes, start: int) -> None:
        source, count, size_bytes = batch_of_lines(data, start, self._host.options.max_msg_size)
        if not count:
            raise BadMessage("there is none")
        topic.publish_batch(source, 0, count, size_bytes, self._turn.wall_ns())
