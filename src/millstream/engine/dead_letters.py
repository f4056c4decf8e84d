"""Moves doomed messages to their dead-letter topics: written there first, and only then finished where they were.

`nsqd.limits` calls `write` by the clock and `settle` when the logs know what became of it; between the two the topics
that `write` names are committed like any other. What a crash forgets in between is moved twice, never lost, and the
two letters have the same id in their origin.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.dooming import Doom
from millstream.engine.letters import Client, Letter, body_of, encode
from millstream.engine.topic import Topic
from millstream.engine.unfinished import attempts_of, finish_queued, frame_of
from millstream.protocol.chunks import ChunkQueue, outcome_of

BATCH_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 4 << 20
RETRY_NS: Final = 1_000_000_000


@dataclass(slots=True)
class Batch:
    """Letters that are on their way: of one channel, or of the backlog of a topic when `channel` is None."""

    topic: Topic
    channel: Channel | None
    target: Topic
    log: ChunkQueue
    epoch: int
    until: int = 0
    sequences: list[int] = field(default_factory=list)


class DeadLetters:
    """At most one batch per channel, and one per backlog, is on its way. `troubles` counts writes that failed.

    `open_target` gives a dead-letter topic by its name, with the channel in which its messages wait, and may raise
    `StorageError`. `last_trouble` says why the last letters could not be written, until some can.
    """

    def __init__(self, topics: Mapping[str, Topic], clock: Clock, open_target: Callable[[str], Topic]) -> None:
        self.open_target = open_target
        self.last_trouble = ""
        self._topics = topics
        self._clock = clock
        self._batches: list[Batch] = []
        self._busy: set[Channel | Topic] = set()
        self._retry_ns: dict[str, int] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._batches

    def write(self) -> list[Topic]:
        """Append letters of what is doomed: the topics that have to be committed now."""
        written: dict[Topic, None] = {}
        for topic in list(self._topics.values()):
            if topic.limits is None:
                continue
            for channel in topic.channels.values():
                if channel.doomed and channel not in self._busy:
                    self._write(topic, channel, channel.policy.dead_letter_topic, written)
            if topic.limits.doomed_until > topic.moved_seq and topic not in self._busy:
                self._write(topic, None, topic.limits.policy.dead_letter_topic, written)
        return list(written)

    def _write(self, topic: Topic, channel: Channel | None, name: str, written: dict[Topic, None]) -> None:
        if not name or self._retry_ns.get(name, 0) > self._clock.monotonic_ns():
            return
        try:
            target = self.open_target(name)
        except StorageError as error:
            self._put_off(name, str(error))
            return
        if target.refusal:
            self._put_off(name, target.refusal)
            return
        batch = Batch(topic, channel, target, target.log, target.log.epoch)
        try:
            self._append(batch)
        except StorageError as error:
            # What was appended before it goes its way.
            self._put_off(name, str(error))
        if batch.sequences:
            batch.until = target.log.next_seq
            self._batches.append(batch)
            self._busy.add(topic if channel is None else channel)
            written[target] = None

    def _append(self, batch: Batch) -> None:
        size_bytes = 0
        letters = _backlog_letters(batch.topic) if batch.channel is None else _letters(batch.topic, batch.channel)
        for sequence, letter in letters:
            if letter is not None:
                data = encode(letter)
                batch.target.publish(bytearray(data), 0, len(data), self._clock.wall_ns())
                size_bytes += len(data)
            batch.sequences.append(sequence)
            if len(batch.sequences) >= BATCH_MAX or size_bytes >= BATCH_BYTES_MAX:
                return

    def _put_off(self, name: str, trouble: str) -> None:
        self.last_trouble = f"{name}: {trouble}"
        self._retry_ns[name] = self._clock.monotonic_ns() + RETRY_NS

    def settle(self) -> list[Topic]:
        """Finish what has its place now, and take back what has none: the topics in which something changed."""
        changed: dict[Topic, None] = {}
        waiting: list[Batch] = []
        for batch in self._batches:
            outcome = -1 if batch.target.is_deleted else outcome_of(batch.log, batch.until, batch.epoch)
            if outcome == 0:
                waiting.append(batch)
                continue
            self._busy.discard(batch.topic if batch.channel is None else batch.channel)
            if outcome < 0:
                self._put_off(batch.target.name, "the log cannot be written")
                continue
            self.last_trouble = ""
            self._finish(batch)
            changed[batch.topic] = None
        self._batches = waiting
        return [topic for topic in changed if not topic.is_deleted]

    def _finish(self, batch: Batch) -> None:
        channel = batch.channel
        if channel is None:
            if not batch.topic.is_deleted:
                batch.topic.give_up_to(batch.sequences[-1] + 1)
            return
        for sequence in batch.sequences:
            # Whoever emptied the channel meanwhile has finished it already.
            if channel.doomed.pop(sequence, None) is not None:
                finish_queued(channel, sequence)
                channel.dead_letter_count += 1


def _letters(topic: Topic, channel: Channel) -> Iterator[tuple[int, Letter | None]]:
    """What is to be written: (sequence, letter), None for a message that is in no file any more."""
    for sequence, doom in channel.doomed.items():
        frame = frame_of(channel, sequence)
        yield sequence, None if frame is None else _letter(topic, channel, sequence, doom, frame)


def _letter(topic: Topic, channel: Channel, sequence: int, doom: Doom, frame: bytes) -> Letter:
    body, first_ns = body_of(frame)
    return Letter(
        topic=topic.name,
        channel=channel.name,
        sequence=sequence,
        attempts=attempts_of(channel, sequence),
        first_ns=first_ns,
        last_ns=doom.time_ns,
        reason=doom.reason,
        event=doom.event,
        client=doom.client if isinstance(doom.client, Client) else None,
        redriven=channel.redriven.get(sequence, 0),
        body=body,
    )


def _backlog_letters(topic: Topic) -> Iterator[tuple[int, Letter | None]]:
    limits = topic.limits
    doom = None if limits is None else limits.doom
    if limits is None or doom is None:
        return
    for sequence in range(topic.moved_seq, min(limits.doomed_until, topic.log.ready_seq)):
        frame = topic.log.record(sequence)
        yield sequence, None if frame is None else _backlog_letter(topic, sequence, doom, frame)


def _backlog_letter(topic: Topic, sequence: int, doom: Doom, frame: bytes) -> Letter:
    body, first_ns = body_of(frame)
    return Letter(
        topic=topic.name,
        channel="",
        sequence=sequence,
        attempts=0,
        first_ns=first_ns,
        last_ns=doom.time_ns,
        reason=doom.reason,
        body=body,
    )
