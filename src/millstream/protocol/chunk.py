# cython: boundscheck=False, wraparound=False, cdivision=True
"""A run of message frames in one buffer, laid out as subscribers receive them.

`storage.log` (and `engine.log` in memory) append what publishers sent and hand slices of the buffer to subscribers.
One frame is: 4-byte size of all that follows, 4-byte type 2, 8-byte timestamp in ns, 2-byte attempts (1), the
16-character id, the body. The id is the record's sequence number in hex, so sequences need no table. A deferred
publish has the mark 1 in the third byte of its type and, behind the body, the 8-byte instant in ns when it is due:
it lies in the log to be durable, and is never part of a slice.
"""

from typing import Final

from millstream.protocol import raw

HEADER_BYTES: Final = 34
DUE_BYTES: Final = 8
_HEADER = 34
_DUE = 8
_TIMESTAMP_AT = 8


class Chunk:
    """Appends records behind one another and finds them again.

    `base` is the sequence of the first record and `end` one past the last; `used` counts bytes. `position` is where
    the chunk begins in its file and `written` how much of it is there; both belong to the log. A chunk whose `buffer`
    is None was let go: whoever still points to it must ask the log again.
    """

    def __init__(self, buffer: bytearray, base: int, position: int) -> None:
        self.buffer: bytearray | None = buffer
        self._data = buffer
        self.view: memoryview | None = memoryview(buffer)
        self.capacity = len(buffer)
        self.base = base
        self.end = base
        self.used = 0
        self.position = position
        self.written = 0
        self.walked = 0
        self._hint = base
        self._hint_at = 0

    def append(self, source: bytes | bytearray, start: int, size: int, timestamp_ns: int) -> None:
        """Append one body; the caller has made sure that header and body fit."""
        self._put(source, start, size, timestamp_ns)

    def append_batch(self, source: bytes | bytearray, start: int, count: int, timestamp_ns: int) -> int:
        """Append up to `count` bodies, each behind its 4-byte size, as MPUB has them. Returns how many fitted.

        `walked` is the offset in `source` behind the last one taken. The sizes were checked by the parser.
        """
        return self._put_batch(source, start, count, timestamp_ns)

    def append_deferred(self, source: bytes | bytearray, start: int, size: int, timestamp_ns: int, due_ns: int) -> None:
        """Append one body that is due at `due_ns` on the wall clock."""
        at = self.used
        self._put(source, start, size, timestamp_ns)
        raw.put32(self._data, at, size + 30 + _DUE)
        self._data[at + 6] = 1
        raw.put64(self._data, at + _HEADER + size, due_ns)
        self.used += _DUE

    def _put(self, source: bytes | bytearray, start: int, size: int, timestamp_ns: int) -> None:
        at = self.used
        raw.put_header(self._data, at, size, timestamp_ns, self.end)
        raw.copy(self._data, at + _HEADER, source, start, size)
        self.used = at + _HEADER + size
        self.end += 1

    def _put_batch(self, source: bytes | bytearray, start: int, count: int, timestamp_ns: int) -> int:
        data = self._data
        at = self.used
        sequence = self.end
        taken = 0
        while taken < count:
            size = raw.get32(source, start)
            if at + _HEADER + size > self.capacity:
                break
            raw.put_header(data, at, size, timestamp_ns, sequence)
            raw.copy(data, at + _HEADER, source, start + 4, size)
            at += _HEADER + size
            start += 4 + size
            sequence += 1
            taken += 1
        self.used = at
        self.end = sequence
        self.walked = start
        return taken

    def walk(self, at: int, limit: int, count: int, size_bytes_max: int) -> int:
        """Pass up to `count` plain records from offset `at`, within `limit` and about `size_bytes_max` bytes.

        Returns how many were passed; `walked` is the offset behind them. At least one is passed, however large,
        unless the record at `at` is deferred or `at` is the limit.
        """
        data = self._data
        stop = at + size_bytes_max
        passed = 0
        while passed < count and at < limit and data[at + 6] == 0 and (at < stop or passed == 0):
            at += 4 + raw.get32(data, at)
            passed += 1
        self.walked = at
        return passed

    def is_deferred(self, at: int) -> bool:
        """Whether the record at offset `at` is one that a cursor steps over."""
        return self._data[at + 6] != 0

    def after(self, at: int) -> int:
        """The offset behind the record at offset `at`."""
        return at + 4 + raw.get32(self._data, at)

    def locate(self, sequence: int) -> int:
        """The offset of a record that is in this chunk (or of the end, for `end`).

        Redeliveries mostly come in order, so the walk starts where the last one ended when that is not behind.
        """
        data = self._data
        seq = self._hint
        at = self._hint_at
        if seq > sequence:
            seq = self.base
            at = 0
        while seq < sequence:
            at += 4 + raw.get32(data, at)
            seq += 1
        self._hint = seq
        self._hint_at = at
        return at

    def first_since(self, timestamp_ns: int) -> int:
        """The first sequence that was published at this instant or later; `end` when there is none."""
        data = self._data
        at = 0
        sequence = self.base
        while sequence < self.end and raw.get64(data, at + _TIMESTAMP_AT) < timestamp_ns:
            at += 4 + raw.get32(data, at)
            sequence += 1
        return sequence

    def first_from(self, offset: int) -> int:
        """The first sequence whose record begins at `offset` or behind it; `end` when there is none."""
        data = self._data
        at = 0
        sequence = self.base
        while sequence < self.end and at < offset:
            at += 4 + raw.get32(data, at)
            sequence += 1
        return sequence

    def adopt(self, size: int, end_max: int, end_at: int) -> None:
        """Take the buffer's first `size` bytes as records that were read from a file: whole and sound ones.

        `end_max` is the sequence that they end before, and `end_at` the offset where that would be. A record counts
        only when the next one, or that end, is where its size says: a damaged size is never followed.
        """
        data = self._data
        at = 0
        sequence = self.base
        self.used = 0
        self.end = sequence
        while sequence < end_max and size - at >= _HEADER and raw.is_stored(data, at, sequence):
            self.used = at
            self.end = sequence
            at += 4 + raw.get32(data, at)
            if at > size:
                break
            sequence += 1
        if sequence == end_max and at == end_at:
            self.used = at
            self.end = sequence
        self.written = self.used

    def forget_hint(self) -> None:
        """Start the next search at the front: the tail was cut off."""
        self._hint = self.base
        self._hint_at = 0

    def record(self, sequence: int) -> bytes:
        """A copy of the whole frame of a record that is in this chunk."""
        at = self.locate(sequence)
        return bytes(self._data[at : at + 4 + raw.get32(self._data, at)])

    def let_go(self) -> bytearray | None:
        """Give the buffer back for reuse; the chunk is dead afterwards."""
        buffer = self.buffer
        self.buffer = None
        self.view = None
        return buffer


def scan(data: bytearray, start: int, end: int, sequence: int) -> tuple[int, int, list[int]]:
    """Walk the records of a file image: (offset behind the last sound one, its sequence + 1, deferred sequences).

    Sound is: a possible size, type 2 (or its deferred form), attempts 1, the expected sequence as id, all bytes there.
    What follows a torn write, or a size that was damaged, fails one of these.
    """
    deferred: list[int] = []
    at = start
    while end - at >= _HEADER and raw.is_stored(data, at, sequence):
        following = at + 4 + raw.get32(data, at)
        if following > end:
            break
        if data[at + 6]:
            deferred.append(sequence)
        at = following
        sequence += 1
    return at, sequence, deferred
