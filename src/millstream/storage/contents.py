"""What the files of one segment hold, found without changing anything: records, damage, and what the index is worth.

`storage.recovery` makes segments of it at a start, `storage.inspection` reports it. A finished segment is believed what
its index says; the last one is walked. In durability `fsync` every byte is compared with the checksums of the index.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct
from typing import Final
from zlib import crc32

from millstream.base.errors import StorageError
from millstream.storage.files import File, FileSystem
from millstream.storage.index import DAMAGED, DEFERRED, SEALED, Entry, read_index
from millstream.storage.resync import RECORD_BYTES_MIN, Place, Run, Span, runs, walk

SEGMENT_HEADER_BYTES: Final = 64
FORMAT_VERSION: Final = 1
CHECKED: Final = 1
FIRST: Final = 2
_MAGIC = b"MSTRLOG"
_HEADER = Struct(">8sQI")
_CRC = Struct(">I")
_SCAN_BYTES: Final = 1 << 20

INTACT: Final = ""
MISSING: Final = "is missing"
UNSOUND: Final = "is damaged"
FOREIGN: Final = "belongs to another segment"
BEHIND: Final = "is older than its segment"


class NewerFormat(StorageError):
    """The data path was written by a later version; nothing in it was touched."""


@dataclass(slots=True)
class Contents:
    """The records `base` to `end` lie in the first `size` bytes of a file that has `file_size`.

    `marks` are places known without a walk, the first of them the first record. `known_end` is how far the index knew
    of records. `header` says why the header is not sound, `index` what is wrong with the index, both empty when nothing
    is.
    """

    base: int
    end: int
    size: int = SEGMENT_HEADER_BYTES
    file_size: int = 0
    known_end: int = 0
    is_checked: bool = False
    is_first: bool = False
    is_sealed: bool = False
    header: str = ""
    index: str = INTACT
    deferred: list[int] = field(default_factory=list)
    marks: list[Place] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    @property
    def surplus(self) -> int:
        """Bytes behind the last record."""
        return max(0, self.file_size - self.size)

    @property
    def is_empty(self) -> bool:
        """Whether there is no record."""
        return self.end == self.base

    @property
    def is_index_damaged(self) -> bool:
        """Whether the index is of no use, and that is worth telling: without checksums it costs a walk at most."""
        return not self.is_empty and self.index in (
            {FOREIGN, BEHIND, MISSING, UNSOUND} if self.is_checked else {FOREIGN, BEHIND}
        )

    @property
    def count(self) -> int:
        """Records that can be served."""
        return self.end - self.base - sum(span.end - span.start for span in self.spans)

    def take(self, part: Run | Span) -> None:
        """The next part of a walk."""
        if isinstance(part, Run):
            self.mark(part.start, part.position)
            self.deferred += part.deferred
        else:
            self.mark(part.start, part.position)
            self.spans.append(part)
            self.mark(part.end, part.until)
        self.end, self.size = part.end, part.until

    def mark(self, sequence: int, position: int) -> None:
        """A place is known; called in order."""
        if position > self.marks[-1][1] and sequence > self.marks[-1][0]:
            self.marks.append((sequence, position))


def header_bytes(base: int, *, is_checked: bool, is_first: bool) -> bytes:
    """The 64 bytes that a segment begins with."""
    flags = CHECKED * is_checked + FIRST * is_first
    header = _HEADER.pack(_MAGIC + bytes([FORMAT_VERSION]), base, flags)
    return (header + _CRC.pack(crc32(header))).ljust(SEGMENT_HEADER_BYTES, b"\0")


def stem_of(directory: str, base: int) -> str:
    """What the names of a segment's files begin with."""
    return f"{directory}/{base:016x}"


def check_version(files: FileSystem, directory: str, base: int) -> None:
    """Raise `NewerFormat` for a segment of a later version, and nothing else."""
    path = stem_of(directory, base) + ".seg"
    try:
        file = files.open(path)
    except StorageError:
        return
    try:
        buffer = bytearray(SEGMENT_HEADER_BYTES)
        file.read_into(memoryview(buffer), 0)
        _refuse_newer(path, buffer)
    except NewerFormat:
        raise
    except StorageError:
        return
    finally:
        file.close()


def _refuse_newer(path: str, header: bytearray) -> None:
    if header.startswith(_MAGIC) and header[7] > FORMAT_VERSION:
        raise NewerFormat(
            f"{path} - was written by a newer version (format {header[7]}, this one reads up to {FORMAT_VERSION}); "
            "start that version, or give this one another --data-path"
        )


def examine(
    files: FileSystem, directory: str, base: int, *, next_base: int | None = None, thorough: bool = False
) -> Contents:
    """Learn what is in a segment; `next_base` is where the next one begins. With `thorough` no index is just believed.

    Raises `StorageError` when it cannot be read, or holds nothing that could be served, `NewerFormat` for a later
    version's.
    """
    stem = stem_of(directory, base)
    # Before the segment: what is added to both meanwhile is in the segment first.
    entries = read_index(files, stem + ".idx")
    file = files.open(stem + ".seg")
    try:
        found = Contents(base, base, file_size=file.size(), marks=[(base, SEGMENT_HEADER_BYTES)])
        if found.file_size < SEGMENT_HEADER_BYTES:
            # Made, and killed before its header was written: it has never held a record.
            found.size = found.file_size
            return found
        _read_header(file, stem + ".seg", entries, found)
        if found.file_size == SEGMENT_HEADER_BYTES:
            found.header = ""  # Of whatever it was damaged, no record was.
            return found
        _Examination(file, found, entries, next_base, thorough=thorough).run()
    finally:
        file.close()
    if found.header and found.count == 0:
        raise StorageError(f"{stem}.seg - {found.header}")
    return found


def _read_header(file: File, path: str, entries: list[Entry | None] | None, found: Contents) -> None:
    buffer = bytearray(SEGMENT_HEADER_BYTES)
    file.read_into(memoryview(buffer), 0)
    _refuse_newer(path, buffer)
    magic, base, flags = _HEADER.unpack_from(buffer)
    is_sound = crc32(bytes(buffer[: _HEADER.size])) == _CRC.unpack_from(buffer, _HEADER.size)[0]
    if is_sound and magic.startswith(_MAGIC):
        if base != found.base:
            raise StorageError(f"{path} - has no sound header: it is that of segment {base:016x}")
        found.is_checked, found.is_first = bool(flags & CHECKED), bool(flags & FIRST)
        return
    found.header = "has no sound header"
    found.is_checked = any(entry is not None and entry.position > 0 and entry.checksum for entry in entries or ())


class _Examination:
    """One look at a segment whose header was read."""

    def __init__(
        self,
        file: File,
        found: Contents,
        entries: list[Entry | None] | None,
        next_base: int | None,
        *,
        thorough: bool,
    ) -> None:
        self._file = file
        self._found = found
        self._entries = entries
        self._next_base = next_base
        self._thorough = thorough

    def run(self) -> None:
        found = self._found
        if self._entries is None:
            found.index = MISSING
        elif found.is_checked:
            if self._take_checked(self._entries):
                return
        elif self._take_sealed(self._entries):
            if self._thorough or found.header:
                self._walk_between_marks()
            return
        self._walk(found.base, SEGMENT_HEADER_BYTES, found.file_size)

    def _walk(self, sequence: int, position: int, limit: int) -> None:
        for part in walk(self._file, sequence, position, limit):
            self._found.take(part)

    # ------------------------------------------------------------------------------------------- without checksums

    def _take_sealed(self, entries: list[Entry | None]) -> bool:
        """Believe the index of a finished segment, if it can be the index of this one."""
        found = self._found
        seal = entries[-1] if entries else None
        if seal is None or seal.position != SEALED:
            # Not finished, or torn: there is nothing wrong with being walked.
            found.index = UNSOUND if entries else INTACT
            return False
        if None in entries or seal.sequence > found.file_size:
            found.index = UNSOUND if None in entries else INTACT
            return False
        places = [(entry.sequence, entry.position) for entry in entries if entry is not None and entry.position > 0]
        if not _is_possible(places, found.base, seal.sequence):
            found.index = FOREIGN
            return False
        found.marks = places[:-1]
        found.end, found.size = places[-1]
        found.known_end, found.is_sealed = found.end, True
        damaged = _damaged_in(entries)
        found.spans = [
            Span(place[0], following[0], place[1], following[1])
            for place, following in pairwise(places)
            if place[0] in damaged
        ]
        self._take_deferred(entries)
        return self._take_what_an_old_index_lacks()

    def _take_what_an_old_index_lacks(self) -> bool:
        """What lies behind the seal was refused, and a failing disk kept it from being cut off.

        It cannot have been refused when the next segment begins just where it ends.
        """
        found = self._found
        if not found.surplus or self._next_base is None or self._next_base <= found.end:
            return True
        parts = list(runs(self._file, found.end, found.size, found.file_size))
        if parts and parts[-1].until == found.file_size and parts[-1].end == self._next_base:
            found.index, found.is_sealed = BEHIND, False
            for part in parts:
                found.take(part)
        return True

    def _take_deferred(self, entries: list[Entry | None]) -> None:
        found = self._found
        found.deferred = sorted(
            entry.sequence
            for entry in entries
            if entry is not None
            and entry.position == DEFERRED
            and not any(span.start <= entry.sequence < span.end for span in found.spans)
        )

    def _walk_between_marks(self) -> None:
        """Look at what was believed: from each mark a walk has to lead to the next."""
        believed = self._found
        places = [*believed.marks, (believed.end, believed.size)]
        known = {span.position for span in believed.spans}
        for (sequence, position), (following, limit) in pairwise(places):
            if position in known:
                continue
            for part in walk(self._file, sequence, position, limit, following):
                if isinstance(part, Span):
                    believed.spans.append(part)
        believed.spans.sort(key=lambda span: span.position)

    # ---------------------------------------------------------------------------------------------- with checksums

    def _take_checked(self, entries: list[Entry | None]) -> bool:
        """Take what its checksum vouches for; False when the index is that of another segment.

        A part that does not verify is damaged when one behind it does, else it is the torn end. Behind a damaged entry
        nobody knows where the next part begins: there the records themselves have to lead to where it ends.
        """
        found = self._found
        place = found.base, SEGMENT_HEADER_BYTES
        pending: list[Span] = []
        is_certain, misfits = True, 0
        damaged = _damaged_in(entries)
        last = entries[-1] if entries else None
        if last is not None and last.position == SEALED and last.sequence <= found.file_size:
            # What an index says of more was refused, and a failing disk kept it from being cut off.
            entries = [entry for entry in entries if entry is None or entry.position <= last.sequence]
        if None in entries and any(entry is not None for entry in entries[entries.index(None) :]):
            # Bad ones at its end alone are what a loss of power leaves.
            found.index = UNSOUND
        for entry in entries:
            if entry is None:
                is_certain = False
            elif entry.position > 0:
                if not _follows(place, (entry.sequence, entry.position)):
                    is_certain, misfits = False, misfits + 1
                    continue
                found.known_end = entry.sequence
                if entry.position > found.file_size:
                    break
                is_sound = self._verify(place, entry) if is_certain else self._leads_to(place, entry)
                if is_sound and place[0] not in damaged:
                    self._accept(pending, place, entry)
                else:
                    pending.append(Span(place[0], entry.sequence, place[1], entry.position))
                place, is_certain = (entry.sequence, entry.position), True
        if found.is_empty and misfits:
            found.index, found.known_end = FOREIGN, 0
            return False
        found.is_sealed = last is not None and last.position == SEALED and last.sequence == found.size
        if found.is_sealed and found.index == INTACT:
            self._take_deferred(entries)
        else:
            self._walk_for_deferred()
        return True

    def _accept(self, pending: list[Span], place: Place, entry: Entry) -> None:
        found = self._found
        for span in pending:
            found.mark(span.start, span.position)
            if found.spans and found.spans[-1].until == span.position:
                found.spans[-1] = Span(found.spans[-1].start, span.end, found.spans[-1].position, span.until)
            else:
                found.spans.append(span)
        pending.clear()
        found.mark(*place)
        found.end, found.size = entry.sequence, entry.position

    def _verify(self, place: Place, entry: Entry) -> bool:
        """Compare the bytes from `place` to what the entry says."""
        checksum, at = 0, place[1]
        buffer = memoryview(bytearray(min(_SCAN_BYTES, entry.position - at)))
        while at < entry.position:
            count = self._file.read_into(buffer[: entry.position - at], at)
            if count == 0:
                return False
            checksum = crc32(buffer[:count], checksum)
            at += count
        return checksum == entry.checksum

    def _leads_to(self, place: Place, entry: Entry) -> bool:
        end = place
        for run in runs(self._file, *place, entry.position):
            end = run.end, run.until
        return end == (entry.sequence, entry.position)

    def _walk_for_deferred(self) -> None:
        """Nothing says which records are deferred, but they themselves."""
        found = self._found
        position, sequence = SEGMENT_HEADER_BYTES, found.base
        for span in [*found.spans, Span(found.end, found.end, found.size, found.size)]:
            for run in runs(self._file, sequence, position, span.position):
                found.deferred += run.deferred
            sequence, position = span.end, span.until


def _damaged_in(entries: list[Entry | None]) -> set[int]:
    """Where damaged spans begin, by what was found earlier."""
    return {entry.sequence for entry in entries if entry is not None and entry.position == DAMAGED}


def _follows(place: Place, following: Place) -> bool:
    """Whether as many records as one place is ahead of another find room between them."""
    records = following[0] - place[0]
    return 0 < records * RECORD_BYTES_MIN <= following[1] - place[1]


def _is_possible(places: list[Place], base: int, size: int) -> bool:
    """Whether the places of a finished segment's index can be those of this segment."""
    if not places or places[0] != (base, SEGMENT_HEADER_BYTES) or places[-1][1] != size:
        return False
    return all(_follows(place, following) for place, following in pairwise(places))
