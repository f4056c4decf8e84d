"""A channel's journal: how far it has come, so that a restart forgets nothing that was finished.

`engine.channel` notes what changed; `flush` writes it as one batch, a few milliseconds behind at most. What a crash
forgets there is delivered again, never lost. The entries are those of `storage.entries`; the frames of stragglers lie
in files of their own (`storage.frames`), which are always written before the batch that speaks of them. When the
journal has grown beyond twice what is live, it is rewritten, in parts, and put in place by a rename. In durability
`fsync` a journal is on the disk from its first batch on, and `settle` brings the rest there before the log drops what
the journal replaces.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import Final

from millstream.base.errors import StorageError
from millstream.protocol.straggler_table import Columns, Row
from millstream.storage import entries
from millstream.storage.batches import pack_batch
from millstream.storage.entries import ProgressState
from millstream.storage.files import File, FileSystem
from millstream.storage.frames import Frames
from millstream.storage.journal import MAGIC, read_journal, set_aside
from millstream.storage.replacement import Replacement
from millstream.storage.settings import LogSettings

JOURNAL_SUFFIX: Final = ".channel"
_PART_BYTES: Final = 256 << 10
_LIVE_TIMES: Final = 2


class Progress:
    """The journal of one channel: one file, and those of its frames unless there are none. Sizes in bytes."""

    def __init__(self, files: FileSystem, path: str, settings: LogSettings, *, has_frames: bool = True) -> None:
        self._files = files
        self._path = path
        self._sync = settings.durability == "fsync"
        self._slack_bytes = settings.journal_slack_bytes
        self._has_frames = has_frames
        stem = path.removesuffix(JOURNAL_SUFFIX)
        self._frames = Frames(files, stem, sync=self._sync, file_bytes_max=settings.frames_bytes_max)
        self._file: File | None = None
        self._size = 0
        self._live = 0
        self._pending = bytearray()
        self._left = Columns()
        self._rewrite: Replacement | None = None
        self._floor = 0
        self._pending_floor = 0
        self._is_snapshot = False
        self._needs_whole = False
        self._is_there = False
        self._is_settled = True

    @property
    def saved_floor(self) -> int:
        """The floor that a restart would find: the log keeps everything from there on."""
        return self._floor

    @property
    def wants_snapshot(self) -> bool:
        """Whether the next flush should be preceded by `begin_snapshot` and everything that is live."""
        return self._needs_whole or self._size > self._slack_bytes + _LIVE_TIMES * self._live

    # ------------------------------------------------------------------------------------------------- what is noted

    def begin_snapshot(self) -> None:
        """Start over: what is noted until the next flush replaces the journal. Frames stay where they are."""
        self._forget_pending()
        self._is_snapshot = True

    def clear(self) -> None:
        """Start over, and without any straggler."""
        self._frames.clear()
        self.begin_snapshot()

    def position(self, floor: int, cursor: int, scanned: int) -> None:
        """Everything below `floor` is finished, everything from `cursor` on was never delivered."""
        self._note(entries.position(floor, cursor, scanned))
        self._pending_floor = floor

    def finished(self, start: int, end: int) -> None:
        """The sequences `start` to `end` (exclusive) are finished, beyond the floor."""
        self._note(entries.finished(start, end))

    def replays(self, spans: Sequence[tuple[int, int]]) -> None:
        """Spans of the log that are still to be delivered once more, in place of those noted before."""
        self._note(entries.replays(spans))

    def attempts(self, sequence: int, attempts: int) -> None:
        """An unfinished message was tried this often."""
        self._note(entries.attempts_of(sequence, attempts))

    def straggler(self, sequence: int, due_ns: int, attempts: int, frame: bytes) -> int:
        """A message left the log: where its frame lies from now on."""
        place = self._frames.append(frame)
        self._left.append(Row(sequence, due_ns, attempts, place, len(frame)))
        return place

    def deferred(self, sequences: Sequence[int], dues_ns: Sequence[int], frames: list[bytes]) -> Columns:
        """As `straggler`, for many that were never tried: all that is to be known of them."""
        columns = Columns()
        columns.sequences.extend(sequences)
        columns.dues.extend(dues_ns)
        columns.attempts.extend(repeat(0, len(frames)))
        columns.places.extend(self._frames.append_all(frames))
        columns.sizes.extend(map(len, frames))
        self._left.extend(columns)
        return columns

    def stragglers(self, columns: Columns) -> None:
        """Stragglers as they are, for a snapshot. Raises `StorageError`; then the next flush needs another one."""
        self._note(entries.stragglers(columns))
        if self._is_snapshot and len(self._pending) >= _PART_BYTES:
            try:
                self._frames.write()
                self._write_part()
            except StorageError:
                self._fail()
                raise

    def restored(self, row: Row) -> None:
        """A straggler that was said to be done is still there."""
        self._frames.keep(row.place, row.size)
        self._left.append(row)

    def update(self, sequence: int, due_ns: int, attempts: int) -> None:
        """A straggler was tried again or got another instant."""
        self._note(entries.update(sequence, due_ns, attempts))

    def redriven(self, sequence: int, count: int) -> None:
        """A straggler came back from the dead-letter topic, this time included so often."""
        self._note(entries.redriven(sequence, count))

    def done(self, row: Row) -> None:
        """A straggler is finished."""
        self._note(entries.done(row.sequence))
        self._frames.free(row.place, row.size)

    def _note(self, entry: bytes) -> None:
        if self._left.sequences:
            self._note_left()
        self._pending += entry

    def _note_left(self) -> None:
        """Those that left the log one after another are one entry."""
        self._pending += entries.stragglers(self._left)
        self._left = Columns()

    def _forget_pending(self) -> None:
        self._pending.clear()
        self._left = Columns()
        if self._rewrite is not None:
            self._rewrite.abandon()
            self._rewrite = None

    # -------------------------------------------------------------------------------------------------------- frames

    def frame(self, row: Row) -> bytes | None:
        """The frame of a straggler; None when it is not what lies there. Raises `StorageError`."""
        return self._frames.read(row.sequence, row.place, row.size)

    @property
    def thin(self) -> tuple[int, int] | None:
        """The places whose frames are to be moved, so that their file can go."""
        return self._frames.thin

    def move(self, row: Row, frame: bytes) -> int:
        """Lay the frame of a straggler down anew: where it lies from now on."""
        place = self._frames.append(frame)
        self._note(entries.moved(row.sequence, place))
        self._frames.free(row.place, row.size)
        return place

    def leave_thin(self) -> None:
        """The frames at the places of `thin` cannot be moved."""
        self._frames.leave()

    # ------------------------------------------------------------------------------------------------------- writing

    def flush(self) -> None:
        """Write what was noted. Raises `StorageError`; then the next flush needs a snapshot, and nothing is lost."""
        if self._left.sequences:
            self._note_left()
        if not self._pending and self._rewrite is None:
            return
        try:
            self._frames.write()
            self._write()
        except StorageError:
            self._fail()
            raise
        self._pending.clear()
        self._floor = self._pending_floor
        self._frames.note_dead()
        if self._is_settled or not self._sync:
            self._frames.remove_dead()

    def postpone(self) -> None:
        """The log has no directory yet, and may never have one: nothing is noted for it until it does.

        Frames stay in memory, like the log itself.
        """
        self._fail()

    def _fail(self) -> None:
        self._needs_whole = True
        self._forget_pending()
        self._pending_floor = self._floor

    def _write(self) -> None:
        if not self._is_snapshot:
            if self._file is None and self._size:
                # The first flush of this process goes on behind what was read.
                self._file = self._open_at_end()
            if self._file is not None:
                self._is_settled = False
                batch = pack_batch(self._pending)
                self._file.write(batch, self._size)
                self._size += len(batch)
                return
        # The first batch of a channel says that it is there, and where it begins: what is published from now on is
        # promised to it. A journal that was there without it would make a channel that begins at the oldest record.
        self._write_part()
        self._put_in_place()

    def _write_part(self) -> None:
        """A batch of the journal's next form."""
        if self._rewrite is None:
            self._rewrite = Replacement(self._files, self._path, sync=self._sync)
            self._rewrite.write(MAGIC)
        self._rewrite.write(pack_batch(self._pending))
        self._pending.clear()

    def _put_in_place(self) -> None:
        if self._rewrite is None:
            return
        self._is_there = True
        self._rewrite.put_in_place()
        if self._file is not None:
            self._file.close()
        self._file = self._files.open(self._path)
        self._size = self._live = self._rewrite.size
        self._rewrite = None
        self._is_snapshot = False
        self._needs_whole = False
        self._is_settled = True

    def _open_at_end(self) -> File:
        self._is_there = True
        self._is_settled = False
        file = self._files.open(self._path, create=True)
        self._file = file
        file.truncate(self._size)
        return file

    def settle(self) -> None:
        """In durability `fsync`: bring the journal to the disk before the log drops what it replaces.

        Raises `StorageError`; then the next flush needs a snapshot, and until that is written nothing is settled: a
        second sync would succeed, and say nothing of what the first could not bring to the disk.
        """
        if not self._sync or self._is_settled:
            return
        if self._needs_whole or self._file is None:
            raise StorageError(f"sync {self._path} - has to be rewritten first")
        try:
            self._file.sync()
        except StorageError:
            self._needs_whole = True
            raise
        self._is_settled = True
        self._frames.remove_dead()

    # -------------------------------------------------------------------------------------------------- start and stop

    def load(self) -> ProgressState:
        """Read the journal back. Raises `StorageError` when it cannot be read, or is of another format."""
        state = ProgressState()
        directory, _, name = self._path.rpartition("/")
        names = self._files.names(directory)
        if self._has_frames:
            state.notes += self._frames.find(names)
        if name in names:
            self._is_there = True
            file = self._files.open(self._path)
            try:
                self._read(file, state)
            finally:
                file.close()
        missing = self._frames.count_live(state.stragglers)
        if state.is_damaged:
            state.notes += self._frames.set_aside_unnamed()
        for sequence in missing:
            state.stragglers.remove(sequence)
        if missing:
            state.notes.append(f"{self._path} - {len(missing)} messages are lost: their frames are in no file")
        self._frames.note_dead()
        self._floor = self._pending_floor = state.floor
        return state

    def _read(self, file: File, state: ProgressState) -> None:
        size = file.size()
        at, end = read_journal(file, self._path, state, size)
        state.is_damaged = end < size or at < end
        if state.is_damaged:
            set_aside(self._files, self._path, (at, end), state, sync=self._sync)
        if not state.is_damaged and at <= len(MAGIC):
            return  # made, and killed before the first batch was written
        self._size = at
        # An earlier process may have left this in the kernel, also after a sync that failed: only a rewrite is certain.
        self._needs_whole = self._sync or at < end or at == 0
        self._is_settled = not self._sync
        self._live = at // _LIVE_TIMES

    def rest(self) -> bool:
        """Let the descriptors go until there is more to write; False, and nothing done, while one is owed a sync.

        A sync through another descriptor need not hear of what went wrong with this one.
        """
        if self._sync and not self._is_settled:
            return False
        self._let_go()
        return True

    def _let_go(self) -> None:
        self._frames.rest()
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Let the descriptors go, and files that nobody needs."""
        if self._is_settled or not self._sync:
            self._frames.remove_dead(is_last=True)
        self._let_go()

    def delete(self) -> None:
        """Remove the journal, then the frames: without it they mean nothing, and it means nothing without them."""
        self._let_go()
        self._forget_pending()
        if self._is_there:
            self._files.remove(self._path)
            if self._sync:
                self._files.sync_directory(self._path.rpartition("/")[0])
            self._is_there = False
        self._frames.delete()
