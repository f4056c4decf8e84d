"""A topic: takes what publishers send into its log, and shows it to its channels.

`nsqd.session` and `nsqd.http` publish views of the bytes that came in; once per turn of the loop `commit` makes them
durable as configured, then the channels may see them. `moved_seq` is how far messages went to channels: it stands
still while the topic is paused or has none, and what lies behind it is the topic's own depth. What bounds it and its
channels is `engine.enforcement`'s.
"""

from contextlib import suppress

from millstream.base.errors import StorageError
from millstream.engine.channel import Channel
from millstream.engine.enforcement import TopicLimits
from millstream.engine.log import Progress, ProgressState
from millstream.protocol.chunks import ChunkQueue


class Topic:
    """Appends batches to its log and marks its channels.

    `refusal` says why a limit keeps publishers out, or is empty. Whoever remembers a topic to publish to looks at
    `is_barred` each time: then it is deleted or refuses.
    """

    def __init__(
        self,
        name: str,
        log: ChunkQueue,
        position: Progress,
        saved: ProgressState | None = None,
        *,
        is_ephemeral: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.position = position
        self.is_ephemeral = is_ephemeral
        self.channels: dict[str, Channel] = {}
        self.limits: TopicLimits | None = None
        self.refusal = ""
        self.is_barred = False
        self.paused = False
        self.is_held = False
        self.is_deleted = False
        self.is_dirty = False
        self.message_bytes = 0
        self.rejected_count = 0
        self.dropped_count = 0
        self.dead_letter_count = 0
        self.moved_seq = log.first_seq
        if saved is not None and saved.is_known:
            self.moved_seq = min(max(saved.floor, log.first_seq), log.next_seq)
        self._first_seen = log.next_seq
        self._pending_bytes = 0
        self._is_noted = False

    @property
    def depth(self) -> int:
        """Messages that no channel was given yet."""
        return self._count(self.moved_seq, self.log.ready_seq)

    def _count(self, start: int, end: int) -> int:
        """The messages of [start, end) that are not missing."""
        count = end - start
        for low, high in self.log.gaps:
            count -= max(0, min(high, end) - max(low, start))
        return count

    def behind(self, count: int) -> int:
        """The sequence behind the first `count` messages that no channel was given."""
        end = self.moved_seq + count
        for low, high in self.log.gaps:
            if self.moved_seq < high and low < end:
                end += high - max(low, self.moved_seq)
        return min(end, self.log.ready_seq)

    @property
    def floor(self) -> int:
        """Everything below it is done with, for all channels."""
        floor = self.moved_seq
        for channel in self.channels.values():
            if channel.window.floor < floor:
                floor = channel.window.floor
        return floor

    @property
    def message_count(self) -> int:
        """Messages accepted since the process started."""
        return self.log.ready_seq - self._first_seen

    @property
    def is_kept(self) -> bool:
        """Whether journals have a place: the log has one, or a journal was there although all records are gone."""
        if self.log.is_used or self.position.saved_floor:
            return True
        return any(
            channel.progress.saved_floor and not channel.settings.is_ephemeral for channel in self.channels.values()
        )

    @property
    def _is_position_alone(self) -> bool:
        """Whether no journal of a channel says how far messages went."""
        return all(found.settings.is_ephemeral for found in self.channels.values())

    def publish(self, data: bytes | bytearray, start: int, size: int, timestamp_ns: int) -> None:
        """Append one body. Raises `StorageError` when the log cannot take it."""
        self.log.append(data, start, size, timestamp_ns)
        self._pending_bytes += size

    def publish_batch(
        self, data: bytes | bytearray, start: int, count: int, size_bytes: int, timestamp_ns: int
    ) -> None:
        """Append `count` bodies, each behind its size; `size_bytes` is what the bodies have in sum."""
        self.log.append_batch(data, start, count, timestamp_ns)
        self._pending_bytes += size_bytes

    def publish_deferred(self, data: bytes | bytearray, start: int, size: int, timestamp_ns: int, due_ns: int) -> None:
        """Append one body that is due at `due_ns` on the wall clock."""
        self.log.append_deferred(data, start, size, timestamp_ns, due_ns)
        self._pending_bytes += size

    def commit(self) -> None:
        """Make what was published deliverable. Raises `StorageError`: then nothing of it was accepted."""
        pending = self._pending_bytes
        self._pending_bytes = 0
        was_kept = self._is_noted or self.is_kept
        try:
            self.log.commit()
        except StorageError:
            self.show()
            raise
        self.message_bytes += pending
        self.show()
        if not self._is_noted and self.log.is_used:
            self._is_noted = True
            if not was_kept:
                self._note_channels()

    def _note_channels(self) -> None:
        """The log has its first records: that these channels were there is written before anybody hears an OK.

        A channel that a crash forgot would begin behind them. What a failing disk refuses, the next `save` reports.
        """
        for channel in self.channels.values():
            with suppress(StorageError):
                channel.save()
                channel.progress.settle()

    def keep(self) -> None:
        """Make a place for journals when there is none, as before a first publish. Raises `StorageError`."""
        if self.is_kept or self.is_ephemeral:
            return
        self.log.settle_in()
        for channel in self.channels.values():
            channel.save()
            channel.progress.settle()

    def show(self) -> None:
        """Let the channels see what is ready. Raises `StorageError` when the log cannot be read for one of them."""
        if self.channels and not self.paused and not self.is_held:
            ready_seq = self.log.ready_seq
            for channel in self.channels.values():
                channel.see(ready_seq)
            self.moved_seq = ready_seq
        if self.limits is not None:
            self.limits.look()

    def refuse(self, reason: str) -> None:
        """Take no more messages because of a limit; empty: take them."""
        self.refusal = reason
        self.is_barred = bool(reason) or self.is_deleted

    def start_counting(self) -> None:
        """What is here already came before the process started."""
        self._first_seen = self.log.ready_seq
        for channel in self.channels.values():
            channel.first_seen = channel.visible_seq

    def pause(self) -> None:
        """Messages stay here until `unpause`. Raises `StorageError`: then the topic is not paused."""
        if not self.paused:
            self.freeze()
            self.paused = True

    def unpause(self) -> None:
        """Messages go to the channels again."""
        self.paused = False
        self.show()

    def release_hold(self) -> None:
        """The channels that the topic has elsewhere were made here too: messages may go to all of them."""
        self.is_held = False
        self.show()

    def freeze(self) -> None:
        """Note where messages stand still. Raises `StorageError`.

        First the channels note what they were shown: a channel whose journal is not there begins, after a crash, where
        messages stand, and all before that would be lost to it.
        """
        if self.is_kept:
            for channel in self.channels.values():
                channel.save()
                channel.progress.settle()
            self.position.begin_snapshot()
            self.position.position(self.moved_seq, self.moved_seq, self.moved_seq)
            self.position.flush()

    def empty(self) -> None:
        """Drop what no channel was given yet; channels keep what they have."""
        if self.log.ready_seq > self.moved_seq:
            self._drop(self.log.ready_seq)
            self.freeze()

    def empty_channel(self, channel: Channel) -> None:
        """Drop everything that a channel has. Raises `StorageError`: then it may be back after a crash."""
        channel.empty()
        if self.is_kept:
            channel.save()
            channel.progress.settle()

    def drop_to(self, end: int) -> None:
        """A limit is passed: drop what no channel was given, up to `end`."""
        self.dropped_count += self._count(self.moved_seq, end)
        self._drop(end)

    def give_up_to(self, end: int) -> None:
        """What no channel was given, up to `end`, has its place in a dead-letter topic."""
        if end > self.moved_seq:
            self.dead_letter_count += self._count(self.moved_seq, end)
            self._drop(end)

    def _drop(self, end: int) -> None:
        # A crash may have left a channel ahead of its topic: the drop was in the channel's journal alone.
        behind = [channel for channel in self.channels.values() if channel.visible_seq < end]
        for channel in behind:
            channel.drop_range(max(self.moved_seq, channel.visible_seq), end)
        self.moved_seq = end
        for channel in behind:
            channel.see(end)

    def add(self, channel: Channel) -> None:
        """A channel was made: it begins where messages stand. Raises `StorageError`: then it is not here."""
        self.channels[channel.name] = channel
        try:
            self.show()
        except StorageError:
            del self.channels[channel.name]
            raise

    def save(self) -> bool:
        """Write the journals of channels that changed, then let go of what nobody needs. Raises `StorageError`.

        Returns whether something may be left to save.
        """
        if not self.is_kept:
            for channel in self.channels.values():
                channel.progress.postpone()
            return False
        self.show()  # What could not be read when it was published is tried again.
        failure: StorageError | None = None
        has_more = False
        floor = self.moved_seq
        for channel in self.channels.values():
            try:
                has_more = channel.save() or has_more
            except StorageError as error:
                failure = error
            if channel.progress.saved_floor < floor:
                floor = channel.progress.saved_floor
            for start, _ in channel.replays:
                # What was fed is in the journal, unless that has just failed.
                floor = min(floor, start if failure is None else self.log.first_seq)
        is_alone = self._is_position_alone and bool(self.channels or self.position.wants_snapshot)
        if is_alone or (self._was_cut and failure is None):
            self._save_position()
        if self.limits is not None:
            floor = self.limits.release_floor(floor)
        if floor > self.log.first_seq:
            self._settle()
            self.log.release(floor)
        if failure is not None:
            raise failure
        return has_more

    @property
    def _was_cut(self) -> bool:
        """Whether limits moved on what stood still: the position, which nobody else moves, has to follow."""
        return (self._is_position_alone or self.paused) and bool(self.dropped_count or self.dead_letter_count)

    def _save_position(self) -> None:
        wants_snapshot = self.position.wants_snapshot
        if wants_snapshot:
            self.position.begin_snapshot()
        if wants_snapshot or self.position.saved_floor < self.moved_seq:
            self.position.position(self.moved_seq, self.moved_seq, self.moved_seq)
            self.position.flush()

    def _settle(self) -> None:
        """Whatever says that records are done with is as durable as they are, before they go."""
        for channel in self.channels.values():
            channel.progress.settle()
        if self._is_position_alone or self._was_cut:
            self.position.settle()

    def rest(self) -> bool:
        """Let go of files until the topic is used again. False when some cannot be. Raises `StorageError`."""
        everything = self.log.rest() and self.position.rest()
        for channel in self.channels.values():
            everything = channel.progress.rest() and everything
        return everything

    def close(self) -> None:
        """Bring everything up to date and let go of files. Raises `StorageError`."""
        try:
            self.log.close()
            self.save()
            if self.paused or self._is_position_alone:
                self.freeze()
        finally:
            for channel in self.channels.values():
                channel.progress.close()
            self.position.close()
