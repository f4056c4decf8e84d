"""One file of a topic's log: a 64-byte header, then records exactly as they go on the wire.

`storage.log` writes at the end and seals a segment when it is large enough; a sealed one gets an index beside it
(`storage.index`: sequence, position and checksum of every chunk, and which records are deferred), so that after a
restart only the last segment is walked. In durability `fsync` the index grows with every commit instead, and its
checksums decide where recovery cuts. What a start finds in the files is a matter of `storage.contents`.

Header, big-endian: magic `MSTRLOG` and the format's version (8 bytes), base sequence (8), flags (4: 1 checksums, 2 the
first of its log), CRC-32 of all that (4), zeros.
"""

from array import array
from bisect import bisect_left, bisect_right
from itertools import pairwise
from struct import Struct
from typing import Final
from zlib import crc32

from millstream.base.errors import StorageError
from millstream.storage.contents import SEGMENT_HEADER_BYTES, Contents, header_bytes, stem_of
from millstream.storage.files import File, FileSystem
from millstream.storage.index import DAMAGED, DEFERRED, INDEX_MAGIC, SEALED, pack
from millstream.storage.resync import Run, Span, runs, walk

_PIECE_BYTES: Final = 1 << 20
_TIMESTAMP = Struct(">Q")
_TIMESTAMP_AT = 8


class Segment:
    """A file of records `base` to `end`, `size` bytes long. `marks` are places known without a walk.

    `spans` are damaged parts between the records, in order: a read neither begins nor goes on in one.
    `offset` is how many bytes of records the log had before this file, so that bytes between two places are a
    difference.
    """

    def __init__(self, files: FileSystem, directory: str, base: int, *, checked: bool) -> None:
        self._files = files
        self._stem = stem_of(directory, base)
        self.path = self._stem + ".seg"
        self.base = base
        self.end = base
        self.size = SEGMENT_HEADER_BYTES
        self.offset = 0
        self.checked = checked
        self.is_first = False
        self.is_created = False
        self.is_sealed = False
        self.deferred = array("q")
        self.spans: list[Span] = []
        self._mark_sequences = [base]
        self._mark_positions = [SEGMENT_HEADER_BYTES]
        self.file: File | None = None
        self._index: File | None = None
        self._index_bytes = 0
        self._first_ns = 0

    def take(self, found: Contents) -> None:
        """Be what a start has found in the files."""
        self.is_created = True
        self.is_sealed = found.is_sealed
        self.is_first = found.is_first
        self.checked = found.is_checked
        self.end, self.size = found.end, found.size
        self.deferred = array("q", found.deferred)
        self.spans = list(found.spans)
        self._mark_sequences = [sequence for sequence, _ in found.marks]
        self._mark_positions = [position for _, position in found.marks]

    def create(self) -> None:
        """Make the file, with its header."""
        # An index that some earlier segment of this base left behind would say where this one ends.
        self._files.remove(self._stem + ".idx")
        self.close()
        self.file = self._files.open(self.path, create=True)
        self.file.truncate(0)
        self.write_header()
        if self.checked:
            self._begin_index()
        self.is_created = True

    def write_header(self) -> None:
        """Write the header, also over one that was damaged."""
        self.open().write(header_bytes(self.base, is_checked=self.checked, is_first=self.is_first), 0)

    def _begin_index(self) -> None:
        self._index = self._files.open(self._stem + ".idx", create=True)
        self._index.truncate(0)
        self._index.write(INDEX_MAGIC, 0)
        self._index_bytes = len(INDEX_MAGIC)

    def write(self, data: memoryview, position: int) -> None:
        """Put bytes at `position`; they count only after `wrote`."""
        file = self.file
        (self.open() if file is None else file).write(data, position)

    def check(self, end: int, size: int, data: memoryview) -> None:
        """In durability `fsync`: note the checksum of `data`, which ends at position `size`, before it counts."""
        if self.checked:
            self._append_index([(end, size, crc32(data))])

    def wrote(self, end: int, size: int) -> None:
        """The records up to `end` and the bytes up to `size` are in the file."""
        self.end = end
        self.size = size

    def mark(self, sequence: int, position: int) -> None:
        """Remember where a record begins; called in order."""
        if position > self._mark_positions[-1]:
            self._mark_sequences.append(sequence)
            self._mark_positions.append(position)

    def locate(self, sequence: int) -> tuple[int, int]:
        """A known place at or before `sequence`: (sequence, position)."""
        at = bisect_right(self._mark_sequences, sequence) - 1
        return self._mark_sequences[at], self._mark_positions[at]

    def step_over(self, sequence: int) -> int:
        """The sequence itself, or the one behind the damaged span that it lies in."""
        for span in self.spans:
            if span.start <= sequence < span.end:
                return span.end
        return sequence

    def stop_behind(self, sequence: int) -> tuple[int, int]:
        """Where reading on from `sequence` ends: (sequence, position) of the next damaged span, or of the end."""
        for span in self.spans:
            if span.start >= sequence:
                return span.start, span.position
        return self.end, self.size

    def damage_at(self, sequence: int, position: int) -> Span | None:
        """Look at a place where this record, or the one behind it, is damaged: what is, and is remembered from now on.

        None when both are sound. Records go on at the next known place at the latest. Raises `StorageError` when it
        cannot be read.
        """
        for _ in range(2):
            following, limit = self.stop_behind(sequence)
            at = bisect_right(self._mark_sequences, sequence)
            if at < len(self._mark_sequences) and self._mark_sequences[at] < following:
                following, limit = self._mark_sequences[at], self._mark_positions[at]
            for part in walk(self.open(), sequence, position, limit, following):
                if isinstance(part, Span):
                    self._remember(part)
                    return part
            sequence, position = following, limit
        return None

    def _remember(self, span: Span) -> None:
        self.spans.append(span)
        self.spans.sort(key=lambda found: found.position)
        for sequence, position in ((span.start, span.position), (span.end, span.until)):
            at = bisect_left(self._mark_sequences, sequence)
            if self._mark_sequences[at : at + 1] != [sequence] and sequence < self.end:
                self._mark_sequences.insert(at, sequence)
                self._mark_positions.insert(at, position)

    def locate_position(self, position: int) -> tuple[int, int]:
        """A known place at or before `position`: (sequence, position)."""
        at = max(1, bisect_right(self._mark_positions, position)) - 1
        return self._mark_sequences[at], self._mark_positions[at]

    def locate_time(self, timestamp_ns: int) -> int:
        """The last known place whose record was published before an instant: its sequence, or the first one."""
        was_open = self.file is not None
        at = bisect_left(self._mark_positions, timestamp_ns, key=self._timestamp_at)
        if not was_open:
            self.rest()
        return self._mark_sequences[max(1, at) - 1]

    def first_ns(self) -> int:
        """When the first record was published, on the wall clock; 0 when there is none. Read once."""
        if self._first_ns == 0 and self.end > self.base:
            was_open = self.file is not None
            self._first_ns = self._timestamp_at(SEGMENT_HEADER_BYTES)
            if not was_open:
                self.rest()
        return self._first_ns

    def _timestamp_at(self, position: int) -> int:
        buffer = bytearray(_TIMESTAMP.size)
        self.read_into(memoryview(buffer), position + _TIMESTAMP_AT)
        found: int = _TIMESTAMP.unpack(buffer)[0]
        return found

    def read_into(self, buffer: memoryview, position: int) -> int:
        """Fill `buffer` from `position` up to the end of the records; how many bytes there were."""
        available = min(len(buffer), self.size - position)
        return self.open().read_into(buffer[:available], position) if available > 0 else 0

    def open(self) -> File:
        """The open file; a sealed segment opens when it is first read."""
        if self.file is None:
            self.file = self._files.open(self.path)
        return self.file

    def rest(self) -> None:
        """Let the descriptors go until somebody reads or writes; what was written must be synced if it ever is."""
        if self.file is not None:
            self.file.close()
            self.file = None
        if self._index is not None:
            self._index.close()
            self._index = None

    def sync(self) -> None:
        """Return when data and index are on the disk. Runs in the thread of the group commit."""
        # A topic that is deleted meanwhile closes them on the loop.
        for file in (self.file, self._index):
            if file is not None:
                file.sync()

    def sync_found(self) -> None:
        """As `sync`, for files that an earlier process made."""
        self.open().sync()
        try:
            index = self._files.open(self._stem + ".idx")
        except StorageError:
            index = None
        if index is not None:
            try:
                index.sync()
            finally:
                index.close()
        self.close()

    def cut(self, end: int) -> None:
        """Forget the records from `end` on; the file is as before until `truncate`. Raises `StorageError`."""
        for span in self.spans:
            if span.start <= end <= span.end:
                end = span.start
        sequence, position = self.locate(end)
        while sequence < end:
            run = next(runs(self.open(), sequence, position, self.size), None)
            if run is None:
                raise StorageError(f"{self.path} - has no sound record at {position}")
            if run.end > end:
                position += self._bytes_of(run, end - sequence)
                break
            sequence, position = run.end, run.until
        kept = max(1, bisect_left(self._mark_sequences, end))
        del self._mark_sequences[kept:], self._mark_positions[kept:]
        del self.deferred[bisect_left(self.deferred, end) :]
        self.spans = [span for span in self.spans if span.end < end]
        self.end, self.size = end, position

    def _bytes_of(self, run: Run, count: int) -> int:
        """How many bytes the first `count` records of a run take."""
        buffer = bytearray(run.until - run.position)
        self.open().read_into(memoryview(buffer), run.position)
        at = 0
        for _ in range(count):
            at += 4 + int.from_bytes(buffer[at : at + 4], "big")
        return at

    def truncate(self) -> None:
        """Cut off what a failed write left behind the records."""
        if self.is_created:
            self.open().truncate(self.size)

    def seal(self) -> None:
        """Nothing is added any more: write what recovery needs to know without a walk."""
        self.is_sealed = True
        if not self.is_created:
            return
        entries = [(sequence, DEFERRED, 0) for sequence in self.deferred]
        if self.checked and not self._index_bytes:
            # Found at a start: its checksums stay as they are, and are verified again at the next one.
            return
        if not self.checked:
            self._begin_index()
            entries += [(span.start, DAMAGED, 0) for span in self.spans]
            entries += [(s, p, 0) for s, p in zip(self._mark_sequences, self._mark_positions, strict=True)]
            entries.append((self.end, self.size, 0))
        entries.append((self.size, SEALED, 0))
        self._append_index(entries)

    def take_checksums(self) -> None:
        """Write the index of a segment that was found, in durability `fsync`, with checksums of what is there now."""
        entries = [(sequence, DEFERRED, 0) for sequence in self.deferred]
        entries += [(span.start, DAMAGED, 0) for span in self.spans]
        places = [*zip(self._mark_sequences, self._mark_positions, strict=True), (self.end, self.size)]
        for (_, position), (end, until) in pairwise(places):
            entries.append((end, until, self._checksum(position, until)))
        entries.append((self.size, SEALED, 0))
        self._files.replace(self._stem + ".idx", INDEX_MAGIC + pack(entries), sync=True)
        self.is_sealed = True

    def _checksum(self, position: int, until: int) -> int:
        checksum = 0
        buffer = memoryview(bytearray(min(_PIECE_BYTES, until - position)))
        while position < until:
            count = self.read_into(buffer[: until - position], position)
            if count == 0:
                raise StorageError(f"{self.path} - ended while it was read")
            checksum = crc32(buffer[:count], checksum)
            position += count
        return checksum

    def close(self) -> None:
        """Let all descriptors go."""
        self.rest()

    def delete(self) -> None:
        """Remove the files."""
        was_begun = self.is_created or self.file is not None
        self.close()
        if was_begun:
            self.is_created = True  # until it is gone, also for a second try
            self._files.remove(self.path)
            self._files.remove(self._stem + ".idx")
            self.is_created = False

    def _append_index(self, entries: list[tuple[int, int, int]]) -> None:
        if self._index is None:
            if not self._index_bytes:
                raise StorageError(f"{self._stem}.idx - is not open")
            self._index = self._files.open(self._stem + ".idx")
        data = pack(entries)
        self._index.write(data, self._index_bytes)
        self._index_bytes += len(data)
