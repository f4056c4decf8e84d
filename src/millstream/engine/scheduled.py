"""Deferred messages of a channel, for whoever administers it: listed by their time, cancelled, moved to another time.

`nsqd.http_scheduled` asks. A change is in the journal, and as durable as the log, when its function returns; when that
cannot be done the message is as it was. Instants are in ns on the wall clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.topic import Topic
from millstream.protocol import raw

PAGE_BYTES_MAX: Final = 4 << 20
_TIMESTAMP_AT: Final = 8
_HEADER_BYTES: Final = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A message that waits for its time; `body` None when what the disk has of it is spoilt: it will never come."""

    sequence: int
    due_ns: int
    attempts: int
    timestamp_ns: int
    body: bytes | None


def scheduled(channel: Channel, after: tuple[int, int] | None, limit: int) -> tuple[list[Scheduled], bool]:
    """Up to `limit` messages by time, and by sequence where that is the same; and whether there are more.

    `after` is the time and the sequence of the last one of the page before. A page of large bodies ends sooner.
    Raises `StorageError` when one cannot be read now.
    """
    stragglers = channel.stragglers
    instants = stragglers.instants
    start = (instants.monotonic_ns(after[0]), after[1]) if after is not None else (-1 << 62, 0)
    found: list[Scheduled] = []
    size_bytes = 0
    for due_ns, sequence in islice(stragglers.calendar.behind(*start), limit + 1):
        if len(found) == limit or size_bytes >= PAGE_BYTES_MAX:
            return found, True
        row = stragglers.table.get(sequence)
        frame = stragglers.frame_of(sequence)
        found.append(
            Scheduled(
                sequence=sequence,
                due_ns=instants.wall_ns(due_ns),
                attempts=row.attempts if row is not None else 0,
                timestamp_ns=raw.get64(frame, _TIMESTAMP_AT) if frame is not None else 0,
                body=frame[_HEADER_BYTES:] if frame is not None else None,
            )
        )
        size_bytes += len(frame or b"")
    return found, False


def cancel(topic: Topic, channel: Channel, sequences: Iterable[int]) -> list[int]:
    """Messages that wait for their time are done with, for this channel: those of `sequences` that were such.

    Raises `StorageError`: then they all wait on.
    """
    cancelled = [row for sequence in sequences if (row := channel.stragglers.cancel(sequence)) is not None]
    if cancelled:
        try:
            _keep(topic, channel)
        except StorageError:
            for row in cancelled:
                channel.stragglers.restore(row)
            channel.is_changed = True
            raise
    return [row.sequence for row in cancelled]


def move(topic: Topic, channel: Channel, sequence: int, due_ns: int) -> bool:
    """A message that waits for its time gets another one; False when there is no such message.

    Raises `StorageError`: then it keeps the time that it had.
    """
    before = channel.stragglers.reschedule(sequence, due_ns)
    if before is None:
        return False
    try:
        _keep(topic, channel)
    except StorageError:
        channel.stragglers.reschedule(sequence, channel.stragglers.instants.wall_ns(before.due_ns))
        channel.is_changed = True
        raise
    return True


def _keep(topic: Topic, channel: Channel) -> None:
    """The journal knows, as durably as the log. A topic that was never written to has no place for one yet."""
    channel.is_changed = True
    if topic.is_kept:
        channel.save()
        channel.progress.settle()
