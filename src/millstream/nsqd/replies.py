"""The replies that one client is owed, in the order of its commands.

`nsqd.session` notes every publish as part of a run (same topic, same command); the run is answered when its log says
that it is durable, or with an error when a failing disk made the log forget it. Other replies queue behind.
"""

from typing import Final

from millstream.engine.topic import Topic
from millstream.protocol.chunks import ChunkQueue, outcome_of
from millstream.protocol.errors import CommandError, DpubFailed, MpubFailed, PubFailed
from millstream.protocol.parser import PUBLISH_BATCH, PUBLISH_DEFERRED

OK_FRAME: Final = b"\x00\x00\x00\x06\x00\x00\x00\x00OK"
_OK_FRAME = OK_FRAME


class Run:
    """`count` publishes in a row that became records of one log, the last of them below `until`."""

    __slots__ = ("count", "epoch", "kind", "log", "until")

    def __init__(self, log: ChunkQueue, kind: int) -> None:
        self.log = log
        self.kind = kind
        self.count = 0
        self.until = 0
        self.epoch = log.epoch


class Replies:
    """Runs of OKs and frames between them, and how many messages were published."""

    def __init__(self) -> None:
        self.is_empty = True
        self.waiting = 0
        self._message_counts: dict[str, int] = {}
        self._topic: Topic | None = None
        self._kind = 0
        self._count = 0
        self._until = 0
        self._epoch = 0
        self._messages = 0
        self._queue: list[Run | bytes] = []

    def published(self, topic: Topic, kind: int, messages: int) -> None:
        """One more OK is owed."""
        if topic is not self._topic or kind != self._kind:
            self._end_run()
            self._topic = topic
            self._kind = kind
        if self._count == 0:
            self._epoch = topic.log.epoch
        self._count += 1
        self._messages += messages
        self._until = topic.log.next_seq
        self.waiting += 1
        self.is_empty = False

    def then(self, frame: bytes) -> None:
        """A frame that is to leave behind what is owed."""
        self._end_run()
        self._queue.append(frame)
        self.is_empty = False

    def _end_run(self) -> None:
        topic = self._topic
        if topic is None:
            return
        if self._count:
            run = Run(topic.log, self._kind)
            run.count = self._count
            run.until = self._until
            run.epoch = self._epoch
            self._queue.append(run)
        self._count_messages()
        self._topic = None
        self._count = 0

    def message_counts(self) -> dict[str, int]:
        """How many messages were published, by topic, in the order of the first ones."""
        self._count_messages()
        return self._message_counts

    def _count_messages(self) -> None:
        if self._topic is not None and self._messages:
            name = self._topic.name
            self._message_counts[name] = self._message_counts.get(name, 0) + self._messages
            self._messages = 0

    def take_oks(self) -> bytes | None:
        """All that is owed, when that is nothing but OKs of one run, and they are due; None: `take` has to look."""
        topic = self._topic
        if self._queue or topic is None or outcome_of(topic.log, self._until, self._epoch) <= 0:
            return None
        count = self._count
        self._count = 0
        self.waiting = 0
        self.is_empty = True
        return _OK_FRAME if count == 1 else _OK_FRAME * count

    def take(self) -> tuple[bytes, CommandError | None]:
        """What can be sent now, and the error that ends it when a publish failed."""
        self._end_run()
        parts: list[bytes] = []
        taken = 0
        error: CommandError | None = None
        for entry in self._queue:
            if isinstance(entry, bytes):
                parts.append(entry)
            else:
                state = outcome_of(entry.log, entry.until, entry.epoch)
                if state == 0:
                    break
                self.waiting -= entry.count
                if state < 0:
                    error = publish_failed(entry.kind, "the log cannot be written")
                    break
                parts.append(_OK_FRAME * entry.count)
            taken += 1
        if error is not None:
            self._queue.clear()
            self.waiting = 0
        else:
            del self._queue[:taken]
        self.is_empty = not self._queue
        return b"".join(parts), error


def publish_failed(kind: int, reason: str) -> CommandError:
    """The error of the command that was used to publish."""
    if kind == PUBLISH_BATCH:
        return MpubFailed(f"MPUB failed {reason}")
    if kind == PUBLISH_DEFERRED:
        return DpubFailed(f"DPUB failed {reason}")
    return PubFailed(f"PUB failed {reason}")
