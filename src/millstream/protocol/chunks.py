"""The newest records of a topic, in memory: appended at the tail, sliced by cursors, let go at the front.

`engine.topic` appends what the parser found, `engine.channel` takes slices with a `Cursor`. On its own this is the
log of what lives in memory only; `storage.log` puts files under it. Nothing here knows a file, a clock or a channel.
"""

from array import array
from bisect import bisect_left
from typing import Final

from millstream.protocol.chunk import Chunk

CHUNK_BYTES_MIN: Final = 16 << 10
CHUNK_BYTES_MAX: Final = 256 << 10
_MIN = 16 << 10
_MAX = 256 << 10
_HEADER = 34
_OVERHEAD = 42
_FAR_CHUNKS = 64


class BufferPool:
    """Keeps full-sized buffers for reuse: a first touch of fresh memory costs more than the copy into it.

    A buffer that is given back may still be part of a slice of this turn, so it rests until `turn` is called.
    """

    def __init__(self, buffers_max: int = 64) -> None:
        self._buffers_max = buffers_max
        self._free: list[bytearray] = []
        self._resting: list[bytearray] = []

    @property
    def kept_bytes(self) -> int:
        """The memory of the buffers that are here."""
        return (len(self._free) + len(self._resting)) * CHUNK_BYTES_MAX

    def take(self, size_bytes: int) -> bytearray:
        """A buffer of at least this size; its content is undefined."""
        if size_bytes == CHUNK_BYTES_MAX and self._free:
            return self._free.pop()
        return bytearray(size_bytes)

    def give(self, buffer: bytearray | None) -> None:
        """Take a buffer back for later."""
        if buffer is not None and len(buffer) == CHUNK_BYTES_MAX and len(self._resting) < self._buffers_max:
            self._resting.append(buffer)

    def turn(self) -> None:
        """No slice made before this call is held by anybody any more."""
        if self._resting:
            self._free.extend(self._resting[: self._buffers_max - len(self._free)])
            self._resting.clear()


class Cursor:
    """A place in a log: the next sequence, and where that lies. `taken` is how many records the last slice had."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.chunk: Chunk | None = None
        self.at = 0
        self.taken = 0

    def move(self, sequence: int) -> None:
        """Point somewhere else."""
        self.sequence = sequence
        self.chunk = None


class ChunkQueue:
    """Records in order of their sequences, `first` to `next_seq`.

    `ready_seq` bounds what cursors may take and `durable_seq` what may be acknowledged: in memory both follow
    `commit`. `deferred` lists the sequences of deferred records, oldest first, and `gaps` the spans [start, end) that a
    start found missing between records. `epoch` counts how often a failing
    disk made the log forget what was appended, the last time from `cut_seq` on.
    """

    def __init__(self, pool: BufferPool, origin: int) -> None:
        self.pool = pool
        self.chunks: list[Chunk] = []
        self.tail: Chunk | None = None
        self.next_seq = origin
        self.ready_seq = origin
        self.durable_seq = origin
        self.deferred = array("q")
        self.gaps: list[tuple[int, int]] = []
        self.epoch = 0
        self.cut_seq = origin
        self._chunk_bytes = _MIN

    @property
    def first_seq(self) -> int:
        """The oldest sequence that is still here; `next_seq` when there is none."""
        return self.chunks[0].base if self.chunks else self.next_seq

    @property
    def is_used(self) -> bool:
        """Whether anything was ever appended."""
        return bool(self.chunks)

    def append(self, source: bytes | bytearray, start: int, size: int, timestamp_ns: int) -> None:
        """Append one body. It may be delivered after the next `commit`."""
        tail = self.tail
        if tail is None or tail.used + _HEADER + size > tail.capacity:
            tail = self._grow(_HEADER + size)
        tail.append(source, start, size, timestamp_ns)
        self.next_seq = tail.end

    def append_batch(self, source: bytes | bytearray, start: int, count: int, timestamp_ns: int) -> None:
        """Append `count` bodies, each behind its 4-byte size, whose sizes the parser has checked."""
        tail = self.tail
        if tail is None:
            # As large as the first body asks for: an empty chunk would share its base with the next one.
            tail = self._grow(_HEADER + int.from_bytes(source[start : start + 4], "big"))
        while True:
            taken = tail.append_batch(source, start, count, timestamp_ns)
            self.next_seq = tail.end
            count -= taken
            if count == 0:
                return
            start = tail.walked
            tail = self._grow(_HEADER + int.from_bytes(source[start : start + 4], "big"))

    def append_deferred(self, source: bytes | bytearray, start: int, size: int, timestamp_ns: int, due_ns: int) -> None:
        """Append one body that is due at `due_ns` on the wall clock."""
        tail = self.tail
        if tail is None or tail.used + _OVERHEAD + size > tail.capacity:
            tail = self._grow(_OVERHEAD + size)
        self.deferred.append(tail.end)
        tail.append_deferred(source, start, size, timestamp_ns, due_ns)
        self.next_seq = tail.end

    def _grow(self, size_bytes: int) -> Chunk:
        """A new tail that holds a record of `size_bytes`."""
        chunk = self.open_chunk(size_bytes)
        self.chunks.append(chunk)
        self.tail = chunk
        return chunk

    def open_chunk(self, size_bytes: int) -> Chunk:
        """Make the next chunk; a log with files overrides this to give it a place in one."""
        capacity = max(self._chunk_bytes, size_bytes)
        if self._chunk_bytes < _MAX:
            self._chunk_bytes = min(_MAX, self._chunk_bytes * 4)
        return Chunk(self.pool.take(capacity), self.next_seq, 0)

    def commit(self) -> None:
        """Make what was appended deliverable. A log with files may raise `StorageError`: then it never was."""
        self.ready_seq = self.next_seq
        self.durable_seq = self.next_seq

    def slice(self, cursor: Cursor, count: int, size_bytes_max: int) -> memoryview | None:
        """The frames of up to `count` records from the cursor on, which moves behind them.

        None, and `cursor.taken` 0, when the next sequence is deferred or gone: call `skip` then. The view is good
        until the loop's turn ends. The caller keeps `count` within `ready_seq`.
        """
        chunk = cursor.chunk
        if chunk is None or chunk.view is None or cursor.sequence >= chunk.end:
            chunk = self.find(cursor.sequence)
            cursor.chunk = chunk
            if chunk is None or chunk.base > cursor.sequence:
                cursor.chunk = None
                cursor.taken = 0
                return None
            cursor.at = chunk.locate(cursor.sequence)
        start = cursor.at
        taken = chunk.walk(start, chunk.used, count, size_bytes_max)
        cursor.taken = taken
        if taken == 0:
            return None
        cursor.sequence += taken
        cursor.at = chunk.walked
        view = chunk.view
        return None if view is None else view[start : cursor.at]

    def skip(self, sequence: int) -> int:
        """The next sequence, from `sequence` on, that a slice can begin with; `ready_seq` when there is none."""
        while sequence < self.ready_seq:
            chunk = self.find(sequence)
            if chunk is None:
                return self.ready_seq
            if chunk.base > sequence:
                sequence = chunk.base
            if not chunk.is_deferred(chunk.locate(sequence)):
                return sequence
            sequence += 1
        return sequence

    def record(self, sequence: int) -> bytes | None:
        """A copy of the frame of one record, as stored; None when it is gone."""
        chunk = self.find(sequence)
        if chunk is None or chunk.base > sequence:
            return None
        return chunk.record(sequence)

    def find(self, sequence: int) -> Chunk | None:
        """The chunk that holds `sequence`, or else the first one behind it; None when there is neither."""
        chunks = self.chunks
        low = 0
        high = len(chunks)
        while low < high:
            middle = (low + high) // 2
            if chunks[middle].end <= sequence:
                low = middle + 1
            else:
                high = middle
        return chunks[low] if low < len(chunks) else None

    def bytes_from(self, sequence: int) -> int:
        """Bytes of the records from `sequence` on; of what is not in memory it may be a chunk too many."""
        total = 0
        for chunk in reversed(self.chunks):
            if chunk.base <= sequence:
                return total + (chunk.used - chunk.locate(sequence) if sequence < chunk.end else 0)
            total += chunk.used
        return total

    def first_within(self, size_bytes: int) -> int:
        """The oldest sequence from which on the records take no more than `size_bytes`."""
        for chunk in reversed(self.chunks):
            if chunk.used > size_bytes:
                return chunk.first_from(chunk.used - size_bytes)
            size_bytes -= chunk.used
        return self.first_seq

    def first_since(self, timestamp_ns: int) -> int:
        """The first sequence published at this instant or later, on the wall clock; `next_seq` when there is none."""
        for chunk in self.chunks:
            found = chunk.first_since(timestamp_ns)
            if found < chunk.end:
                return found
        return self.next_seq

    def kept_from(self, floor: int, size_bytes_max: int, since_ns: int) -> int:
        """Where what is kept of the records below `floor` begins: memory keeps none of them.

        A log with files keeps whole ones, the newest first: up to `size_bytes_max` (0: any number), as long as one has
        a record of this instant or later (0: any age).
        """
        del size_bytes_max, since_ns
        return floor

    def bound_files(self, size_bytes: int, since_ns: int) -> None:
        """Let no file become larger than `size_bytes` (0: than usual), nor go on that was begun before `since_ns`."""

    def release(self, floor: int) -> None:
        """Let go of what every channel is done with: all below `floor`."""
        self._release_chunks(floor)
        self._forget_deferred()

    def _forget_deferred(self) -> None:
        """Deferred records stay listed for as long as they are here: the seal of their segment names them."""
        if self.deferred and self.deferred[0] < self.first_seq:
            del self.deferred[: bisect_left(self.deferred, self.first_seq)]

    def _release_chunks(self, floor: int) -> None:
        dropped = 0
        while dropped < len(self.chunks) - 1 and self.chunks[dropped].end <= floor:
            self.pool.give(self.chunks[dropped].let_go())
            dropped += 1
        if dropped:
            del self.chunks[:dropped]

    def is_far(self, floor: int, cursor: int) -> bool:
        """Whether the records between the two keep much memory, or much disk, from being let go."""
        kept = 0
        for chunk in self.chunks:
            if chunk.end > floor and chunk.base < cursor:
                kept += 1
        return kept > _FAR_CHUNKS

    def resume_at(self, sequence: int) -> None:
        """Go on at `sequence` or later; only before the first append."""
        if sequence > self.next_seq:
            self.next_seq = self.ready_seq = self.durable_seq = sequence

    def settle_in(self) -> None:
        """Have a place for journals before the first record. A log with files may raise `StorageError`."""

    def rest(self) -> bool:
        """Nobody uses it for a while; whether every descriptor was let go."""
        return True

    def close(self) -> None:
        """Nothing is appended or read any more. A log with files may raise `StorageError`."""

    def delete(self) -> None:
        """Remove the log."""


def outcome_of(log: ChunkQueue, until: int, epoch: int) -> int:
    """1 when everything below `until` is durable, -1 when the log had to forget it, else 0."""
    if log.epoch != epoch and until > log.cut_seq:
        return -1
    return 1 if log.durable_seq >= until else 0
