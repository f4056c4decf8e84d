"""A topic's log: appended in memory, written once per turn of the loop, read from memory or from the page cache.

`engine.topic` appends and calls `commit`; channels take slices through cursors. The newest chunks stay in memory,
older ones are read back from their segment in chunks of the same form, so a cursor never knows the difference.
Positions in a segment and offsets in a chunk differ only by `Chunk.position`.
"""

from bisect import bisect_left
from collections.abc import Callable

from millstream.base.errors import StorageError
from millstream.protocol.chunk import Chunk
from millstream.protocol.chunks import BufferPool, ChunkQueue
from millstream.storage import extent
from millstream.storage.cold import read_chunk
from millstream.storage.contents import SEGMENT_HEADER_BYTES
from millstream.storage.damage import Damage
from millstream.storage.files import FileSystem
from millstream.storage.os_file import OsFile
from millstream.storage.recovery import Recovered, recover, sync_found
from millstream.storage.segment import Segment
from millstream.storage.settings import LogSettings
from millstream.storage.sync import SyncJob

_SEGMENT_BYTES_MIN = 16 << 10
_PROBE = "probe"
_PROBE_BYTES = 4 << 10


class Log(ChunkQueue):
    """The log of one topic in one directory, which is made with the first commit.

    `on_damage` is told what a read finds damaged; what the start found is in `recovered`.
    """

    def __init__(self, files: FileSystem, directory: str, settings: LogSettings, pool: BufferPool, origin: int) -> None:
        super().__init__(pool, origin)
        self.files = files
        self.directory = directory
        self.settings = settings
        self.segments: list[Segment] = []
        self.recovered: Recovered = recover(files, directory)
        self.on_damage: Callable[[Damage], None] = self.recovered.tell
        self._dirty: list[Chunk] = []
        self._cold: list[Chunk] = []
        self._unsynced: list[Segment] = []
        self._syncing: list[Segment] = []
        self._refused: list[Segment] = []
        self._directory_unsynced = False
        self._has_directory = False
        self._segment_limit = _SEGMENT_BYTES_MIN
        self._segment_bytes_max = settings.segment_bytes_max
        self._force_segment = True
        self.segments = self.recovered.segments
        self.gaps = self.recovered.gaps
        if settings.durability == "fsync":
            sync_found(files, directory, self.recovered)
        if self.segments:
            self._start_at(max(self.segments[-1].end, self.recovered.resume_at))
            self._has_directory = True
        else:
            self._start_at(max(origin, self.recovered.resume_at))
        offset = 0
        for segment in self.segments:
            self.deferred.extend(segment.deferred)
            segment.offset = offset
            offset += segment.size - SEGMENT_HEADER_BYTES

    def resume_at(self, sequence: int) -> None:
        """Go on at `sequence` or later: what a channel has already seen is never given out again."""
        if sequence > self.next_seq:
            self._start_at(sequence)

    def _start_at(self, sequence: int) -> None:
        self.next_seq = self.ready_seq = self.durable_seq = self._written_seq = sequence

    @property
    def first_seq(self) -> int:
        """The oldest sequence that is still here."""
        if self.segments:
            return self.segments[0].base
        return self.next_seq

    @property
    def is_used(self) -> bool:
        """Whether anything was ever committed: only then is there a directory for journals."""
        return self._has_directory

    @property
    def size_bytes(self) -> int:
        """What the segments take on the disk."""
        return sum(segment.size for segment in self.segments if segment.is_created)

    def open_chunk(self, size_bytes: int) -> Chunk:
        """The next chunk, in the last segment or, when that is full, in a new one."""
        previous = self.tail
        position = SEGMENT_HEADER_BYTES
        if previous is not None and not self._force_segment:
            position = previous.position + previous.used
        if self._force_segment or position + size_bytes > self._segment_limit:
            position = SEGMENT_HEADER_BYTES
            checked = self.settings.durability == "fsync"
            segment = Segment(self.files, self.directory, self.next_seq, checked=checked)
            segment.offset = extent.end_offset(self)
            self.segments.append(segment)
            if not self._force_segment:
                self._segment_limit = min(self._segment_bytes_max, self._segment_limit * 4)
            self._force_segment = False
        if self._chunk_bytes > self._segment_bytes_max:
            self._chunk_bytes = self._segment_bytes_max
        chunk = ChunkQueue.open_chunk(self, size_bytes)
        chunk.position = position
        self._dirty.append(chunk)
        self._cool()
        return chunk

    def _cool(self) -> None:
        """Let go of the oldest chunks in memory that are written, beyond what `--mem-queue-size` keeps."""
        chunks = self.chunks
        dropped = 0
        kept_bytes = sum(chunk.capacity for chunk in chunks)
        while dropped < len(chunks) - 1:
            chunk = chunks[dropped]
            within = (
                self.next_seq - chunk.end < self.settings.hot_messages_max and kept_bytes <= self.settings.hot_bytes_max
            )
            if within or chunk.written < chunk.used or chunk in self._dirty:
                break
            kept_bytes -= chunk.capacity
            self.pool.give(chunk.let_go())
            dropped += 1
        if dropped:
            del chunks[:dropped]

    def commit(self) -> None:
        """Hand everything appended to the kernel, then let it be delivered and acknowledged.

        In durability `memory` only full chunks are written, to bound the heap; in `fsync` delivery and OK wait for
        `end_sync`. Raises `StorageError`: then nothing since the last commit was accepted.
        """
        if self.next_seq == self.ready_seq and not self._dirty:
            return
        durability = self.settings.durability
        if durability == "memory":
            self._spill()
        else:
            try:
                self._write(self._dirty)
            except StorageError:
                self._cut(self._written_seq)
                raise
            tail = self.tail
            self._dirty = [] if tail is None else [tail]
        self._written_seq = self.next_seq
        if durability != "fsync":
            self.ready_seq = self.next_seq
            self.durable_seq = self.next_seq

    def _spill(self) -> None:
        full = [chunk for chunk in self._dirty if chunk is not self.tail]
        if not full:
            return
        try:
            self._write(full)
        except StorageError:
            # Nothing was promised to the disk: only when memory is used up does the failure reach publishers.
            if sum(chunk.capacity for chunk in self._dirty) > 4 * self.settings.hot_bytes_max:
                self._cut(self._written_seq)
                raise
            return
        self._dirty = [chunk for chunk in self._dirty if chunk is self.tail]

    def _write(self, chunks: list[Chunk]) -> None:
        """Write what is new in `chunks`, and only when all of it is written count it as there."""
        if len(chunks) == 1 and self._write_behind(chunks[0]):
            return
        pending: list[tuple[Segment, Chunk, int]] = []
        for chunk in chunks:
            used = chunk.used
            if chunk.written == used:
                continue
            segment = self._segment_of(chunk.base)
            if not segment.is_created:
                self._create(segment)
            view = chunk.view
            if view is None:
                raise StorageError(f"{segment.path} - a chunk was let go before it was written")
            part = view[chunk.written : used]
            segment.write(part, chunk.position + chunk.written)
            if segment.checked:
                segment.check(chunk.end, chunk.position + used, part)
            pending.append((segment, chunk, used))
        for segment, chunk, used in pending:
            if chunk.written == 0:
                segment.mark(chunk.base, chunk.position)
            segment.wrote(chunk.end, chunk.position + used)
            chunk.written = used
            self._note_unsynced(segment)
        # Only now does a segment that is followed by another know all that is in it.
        at = len(self.segments) - 2
        while at >= 0 and not self.segments[at].is_sealed:
            self._seal(self.segments[at])
            at -= 1

    def _write_behind(self, chunk: Chunk) -> bool:
        """Write what came behind what the last segment has of `chunk`; False when there is more to it than that."""
        segment = self.segments[-1]
        found = segment.file
        # A chunk of which a part is written was begun by `_write`, which did all that is done once.
        if chunk.written == 0 or chunk.buffer is None or type(found) is not OsFile:
            return False
        if segment.checked or chunk.base < segment.base:
            return False
        used = chunk.used
        if chunk.written < used:
            file = found
            file.put(chunk.buffer, chunk.written, used - chunk.written, chunk.position + chunk.written)
            segment.end = chunk.end
            segment.size = chunk.position + used
            chunk.written = used
        return True

    def _create(self, segment: Segment) -> None:
        """Make a segment's file, and the directory before the first.

        Raises `StorageError` also while records that were refused are still in a file: next to new ones, under the
        same sequences, recovery could not tell which of them were accepted.
        """
        self._take_back_refused(segment.base)
        self._make_directory()
        segment.is_first = segment is self.segments[0]
        segment.create()
        self._directory_unsynced = True

    def _take_back_refused(self, end: int) -> None:
        for left in list(self._refused):
            if left in self.segments:
                if left.end > end:
                    left.cut(end)
                left.truncate()
                self._note_unsynced(left)
            else:
                left.delete()
            self._refused.remove(left)

    def settle_in(self) -> None:
        """Have a place for journals before the first record. Raises `StorageError`."""
        self._make_directory()
        if self.settings.durability == "fsync":
            self.files.sync_directory(self.directory.rpartition("/")[0] or ".")

    def _make_directory(self) -> None:
        if not self._has_directory:
            self.files.make_directory(self.directory)
            self._has_directory = True

    def probe(self) -> None:
        """Find out whether the disk takes something for this log. Raises `StorageError` when it does not."""
        self._take_back_refused(self.ready_seq)
        path = f"{self.directory if self._has_directory else self.directory.rpartition('/')[0]}/{_PROBE}"
        file = self.files.open(path, create=True)
        try:
            file.write(bytes(_PROBE_BYTES), 0)
        finally:
            file.close()
            self.files.remove(path)

    def _note_unsynced(self, segment: Segment) -> None:
        if segment.checked and segment.is_created and segment not in self._unsynced:
            self._unsynced.append(segment)

    def _seal(self, segment: Segment) -> None:
        first, end = bisect_left(self.deferred, segment.base), bisect_left(self.deferred, segment.end)
        segment.deferred = self.deferred[first:end]
        try:
            segment.seal()
        except StorageError:
            # Without an index recovery walks the segment, which costs time and nothing else.
            return
        if self.settings.durability == "fsync":
            self._note_unsynced(segment)
        else:
            segment.close()

    def _segment_of(self, sequence: int) -> Segment:
        """The segment that holds `sequence`: the last one that begins at or before it."""
        low = 0
        high = len(self.segments)
        while low < high:
            middle = (low + high) // 2
            if self.segments[middle].base <= sequence:
                low = middle + 1
            else:
                high = middle
        return self.segments[low - 1]

    def find(self, sequence: int) -> Chunk | None:
        """The chunk with `sequence`, or the first one behind it, from memory or read back from its segment."""
        if self.chunks and sequence >= self.chunks[0].base:
            return ChunkQueue.find(self, sequence)
        for cold in self._cold:
            if cold.base <= sequence < cold.end:
                return cold
        for segment in self.segments:
            if segment.end <= sequence:
                continue
            if self.chunks and segment.base >= self.chunks[0].base:
                break
            chunk = self._read_back(segment, max(sequence, segment.base))
            if chunk is not None:
                return chunk
        return self.chunks[0] if self.chunks else None

    def _read_back(self, segment: Segment, sequence: int) -> Chunk | None:
        """A chunk that holds `sequence`, from the file; the oldest such chunk makes room.

        What lies in a damaged span is stepped over. None when the segment has nothing behind it.
        """
        while len(self._cold) >= self.settings.cold_chunks_max:
            self.pool.give(self._cold.pop(0).let_go())
        while True:
            sequence = segment.step_over(sequence)
            if sequence >= segment.end:
                return None
            base, position = segment.locate(sequence)
            for cold in self._cold:
                # Reading on from where the last chunk ended saves the walk from the nearest mark.
                if base < cold.end <= sequence and segment.base <= cold.base:
                    base, position = cold.end, cold.position + cold.used
            chunk = read_chunk(self, segment, base, position, sequence)
            if chunk is not None:
                self._cold.append(chunk)
                return chunk

    def bytes_from(self, sequence: int) -> int:
        """Bytes of the records from `sequence` on; of what is not in memory it may be a chunk too many."""
        return extent.end_offset(self) - extent.offset_of(self, sequence)

    def first_within(self, size_bytes: int) -> int:
        """The oldest sequence from which on the records take no more than `size_bytes`. Raises `StorageError`."""
        return extent.sequence_of(self, extent.end_offset(self) - size_bytes)

    def first_since(self, timestamp_ns: int) -> int:
        """The first sequence published at this instant or later. Raises `StorageError`."""
        return extent.sequence_since(self, timestamp_ns)

    def kept_from(self, floor: int, size_bytes_max: int, since_ns: int) -> int:
        """Where what is kept of the records below `floor` begins: see `ChunkQueue`. Raises `StorageError`."""
        return extent.kept_from(self.segments, floor, size_bytes_max, since_ns)

    def bound_files(self, size_bytes: int, since_ns: int) -> None:
        """Let no file become larger, nor go on that is older: only whole files can go. Raises `StorageError`."""
        usual = self.settings.segment_bytes_max
        self._segment_bytes_max = max(_SEGMENT_BYTES_MIN, min(usual, size_bytes)) if size_bytes else usual
        self._segment_limit = min(self._segment_limit, self._segment_bytes_max)
        is_settled = self.next_seq == self._written_seq and self.tail is not None
        if since_ns and is_settled and 0 < self.segments[-1].first_ns() < since_ns:
            self.tail = None
            self._force_segment = True

    def release(self, floor: int) -> None:
        """Let go of all below `floor`: chunks in memory, and the files that nobody needs any more."""
        ChunkQueue.release(self, floor)
        # What nobody needs any more need not be written either, when a disk failed to take it.
        self._dirty = [chunk for chunk in self._dirty if chunk.view is not None]
        # The base of the next segment, because one that is not written yet does not know its own end.
        while len(self.segments) > 1 and self.segments[1].base <= floor and not self._must_sync(self.segments[0]):
            segment = self.segments.pop(0)
            try:
                segment.delete()
            except StorageError:
                continue  # A file that stays is found, and released again, at the next start.
        self._forget_deferred()

    def _must_sync(self, segment: Segment) -> bool:
        return segment in self._unsynced or segment in self._syncing

    def is_far(self, floor: int, cursor: int) -> bool:
        """Whether more than two segments lie between the two."""
        kept = 0
        for segment in self.segments:
            if segment.end > floor and segment.base < cursor:
                kept += 1
        return kept > 3

    def rest(self) -> bool:
        """Nobody reads behind or writes: let cold chunks go, and descriptors. False when a sync needs one of them."""
        self._forget_cold()
        everything = True
        for segment in self.segments:
            if self._must_sync(segment):
                everything = False
            else:
                segment.rest()
        return everything

    def _forget_cold(self) -> None:
        for cold in self._cold:
            self.pool.give(cold.let_go())
        self._cold.clear()

    def begin_sync(self) -> SyncJob | None:
        """What the group commit has to do now; None when there is nothing. At most one job is under way."""
        if not self._unsynced:
            return None
        directory = self.directory if self._directory_unsynced else None
        # Not `next_seq`: what was appended since the last commit is in no file yet.
        job = SyncJob(self._unsynced, directory, self._written_seq, self.files)
        self._syncing = self._unsynced
        self._unsynced = []
        self._directory_unsynced = False
        return job

    def end_sync(self, job: SyncJob, *, failed: bool) -> None:
        """Take the outcome of a job: what it covered is durable, or else everything not yet durable is refused."""
        self._syncing = []
        if not failed:
            self.ready_seq = self.durable_seq = max(self.durable_seq, job.until)
            for segment in job.segments:
                if segment.is_sealed and segment not in self._unsynced:
                    segment.close()
            return
        self._unsynced = []
        self._directory_unsynced = True
        self._cut(self.durable_seq)

    def _cut(self, end: int) -> None:
        """Forget every record from `end` on: whoever published them is told that it failed.

        The next append begins a new segment, and that is not made before the files are rid of what was refused.
        """
        self._forget_cold()
        while self.segments and self.segments[-1].base >= end:
            self._discard(self.segments.pop())
        for chunk in [found for found in self.chunks if found.end > end]:
            if chunk.base >= end:
                self.chunks.remove(chunk)
                self.pool.give(chunk.let_go())
            else:
                chunk.forget_hint()
                chunk.used = chunk.locate(end)
                chunk.written = min(chunk.written, chunk.used)
                chunk.end = end
        if self.segments:
            self._trim(self.segments[-1], end)
        self._dirty = [chunk for chunk in self.chunks if chunk.written < chunk.used]
        self.tail = None
        self._force_segment = True
        self._segment_limit = _SEGMENT_BYTES_MIN
        self.next_seq = self._written_seq = end
        self.ready_seq = min(self.ready_seq, end)
        del self.deferred[bisect_left(self.deferred, end) :]
        self.cut_seq = end
        self.epoch += 1

    def _discard(self, segment: Segment) -> None:
        try:
            segment.delete()
        except StorageError:
            segment.close()
            self._refused.append(segment)

    def _trim(self, segment: Segment, end: int) -> None:
        """Take the tail of the last segment back, in the file too."""
        try:
            if segment.end > end:
                segment.cut(end)
            segment.truncate()
        except StorageError:
            self._refused.append(segment)
            return
        self._note_unsynced(segment)

    def close(self) -> None:
        """Write what is only in memory, seal, and let go of every descriptor. Raises `StorageError`."""
        try:
            self._write(self._dirty)
            for segment in self.segments:
                if not segment.is_sealed:
                    self._seal(segment)
        finally:
            for segment in self.segments:
                segment.close()

    def delete(self) -> None:
        """Let go of everything that it has; its directory is for the store to remove."""
        for segment in self.segments:
            segment.close()
        self.segments.clear()
        self._forget_cold()
        # Whoever published into the last turn of a deleted topic is not kept waiting for it.
        self.chunks.clear()
        self.tail = None
        self._dirty, self._unsynced, self._refused = [], [], []
        self._force_segment = True
        self._has_directory = False
        self._start_at(self.next_seq)
