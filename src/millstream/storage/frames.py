"""The frames of a channel's stragglers, in files beside its journal: appended, read one by one, let go in whole files.

`storage.progress` appends a frame for every straggler and says in the journal where it lies; nothing of a frame stays
in memory once it is written. A place is an offset in one endless row of bytes, of which each file holds a part; its
name says where that begins: `<channel>.<place in hex>.frames`, with a magic in front. A place is never used twice, so a
frame never changes. A file of which no frame is needed any more is removed, once the journal says so too; what keeps
thin files is moved on by `engine.moving`.

Frames are in their file before the journal speaks of them, and in durability `fsync` on the disk.
"""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from typing import Final

from millstream.base.errors import StorageError
from millstream.protocol import raw
from millstream.protocol.straggler_table import Columns, Row, StragglerTable
from millstream.storage.contents import NewerFormat
from millstream.storage.files import File, FileSystem

_MAGIC: Final = b"MSTRFRM\x01"
_SUFFIX: Final = ".frames"
_DIGITS: Final = 16
_TAIL_BYTES: Final = 1 << 20
_AHEAD_BYTES: Final = 64 << 10
_FEW_FILES: Final = 8
_SIZE_BYTES: Final = 4
_ID_AT: Final = 18
_HEADER_BYTES: Final = 34


class FrameFile:
    """Frames at the places `start` to `end`. `live_bytes` is what of them is still needed."""

    __slots__ = ("end", "file", "is_created", "is_stuck", "live_bytes", "path", "start")

    def __init__(self, path: str, start: int) -> None:
        self.path = path
        self.start = start
        self.end = start
        self.live_bytes = 0
        self.file: File | None = None
        self.is_created = False
        self.is_stuck = False

    def close(self) -> None:
        """Let the descriptor go."""
        if self.file is not None:
            self.file.close()
            self.file = None


class Frames:
    """The frames of one channel. `stem` is the directory and the channel's name; sizes in bytes."""

    def __init__(self, files: FileSystem, stem: str, *, sync: bool, file_bytes_max: int) -> None:
        self._files = files
        self._stem = stem
        self._sync = sync
        self._file_bytes_max = file_bytes_max
        self._parts: list[FrameFile] = []
        self._starts: list[int] = []
        self._growing: FrameFile | None = None
        self._reading: FrameFile | None = None
        self._dead: list[FrameFile] = []
        self._thin: FrameFile | None = None
        self._tail = bytearray()
        self._written = 0
        self._end = 0
        self._write_at_bytes = _TAIL_BYTES
        self._has_new_names = False
        self._kept_bytes = 0
        self._live_bytes = 0
        self._ahead = b""
        self._ahead_at = 0
        self._read_to = 0

    # ------------------------------------------------------------------------------------------------------- appending

    def append(self, frame: bytes) -> int:
        """Add a frame: its place. It is in memory until the next `write`, or until that is too much."""
        part = self._growing
        if part is None or part.end - part.start >= self._file_bytes_max:
            part = FrameFile(f"{self._stem}.{self._end:0{_DIGITS}x}{_SUFFIX}", self._end)
            self._parts.append(part)
            self._starts.append(self._end)
            self._growing = part
        place = self._end
        self._tail += frame
        self._end = part.end = place + len(frame)
        self._kept_bytes += len(frame)
        self._count(part, len(frame))
        if len(self._tail) >= self._write_at_bytes:
            # When it cannot be written now, memory holds it, and the next write of the journal says why.
            self._write_at_bytes = len(self._tail) + _TAIL_BYTES
            with suppress(StorageError):
                self.write()
        return place

    def append_all(self, frames: list[bytes]) -> list[int]:
        """Add frames: the place of each."""
        part = self._growing
        size_bytes = sum(map(len, frames))
        if part is None or part.end - part.start + size_bytes > self._file_bytes_max or not frames:
            return [self.append(frame) for frame in frames]
        first = self.append(b"".join(frames))
        return list(accumulate(map(len, frames[:-1]), initial=first))

    def write(self) -> None:
        """Bring everything to the files, and in durability `fsync` to the disk.

        Raises `StorageError`; nothing is lost then, and the next call writes all of it again: a second sync alone would
        succeed, and say nothing of what the first could not bring to the disk.
        """
        if not self._tail:
            return
        touched = [part for part in self._parts if part.end > self._written]
        try:
            for part in touched:
                self._write_part(part)
            if self._sync:
                for part in touched:
                    self._open(part).sync()
                if self._has_new_names:
                    self._files.sync_directory(self._stem.rpartition("/")[0])
        except StorageError:
            for part in touched:
                if part.start >= self._written:
                    part.is_created = False  # its header is owed to the disk like the rest
            raise
        self._has_new_names = False
        self._written = self._end
        self._tail = bytearray()
        self._write_at_bytes = _TAIL_BYTES
        for part in touched:
            if part is not self._growing and part is not self._reading:
                part.close()

    def _write_part(self, part: FrameFile) -> None:
        if not part.is_created:
            part.close()
            self._has_new_names = True
            part.file = self._files.open(part.path, create=True)
            part.file.truncate(0)
            part.file.write(_MAGIC, 0)
            part.is_created = True
        start = max(part.start, self._written)
        data = self._tail[start - self._written : part.end - self._written]
        self._open(part).write(data, len(_MAGIC) + start - part.start)

    def _open(self, part: FrameFile) -> File:
        if part.file is None:
            part.file = self._files.open(part.path)
        return part.file

    # --------------------------------------------------------------------------------------------------------- reading

    def read(self, sequence: int, place: int, size: int) -> bytes | None:
        """The frame of a sequence; None when something else lies at its place. Raises `StorageError`."""
        frame = self._bytes_at(place, size)
        if len(frame) < max(size, _HEADER_BYTES) or raw.get32(frame, 0) != size - _SIZE_BYTES:
            return None
        return frame if frame[_ID_AT:_HEADER_BYTES] == b"%016x" % sequence else None

    def _bytes_at(self, place: int, size: int) -> bytes:
        if place >= self._written:
            at = place - self._written
            return bytes(self._tail[at : at + size])
        at = place - self._ahead_at
        if 0 <= at <= len(self._ahead) - size:
            self._read_to = place + size
            return self._ahead[at : at + size]
        part = self._part_of(place)
        if part is None:
            return b""
        # What was deferred for the same time was mostly published together: whoever reads on gets more at once.
        is_next = 0 <= place - self._read_to <= _AHEAD_BYTES
        wanted = min(max(size, _AHEAD_BYTES), min(part.end, self._written) - place) if is_next else size
        if part is not self._reading:
            if self._reading is not None and self._reading is not self._growing:
                self._reading.close()
            self._reading = part
        buffer = bytearray(wanted)
        count = self._open(part).read_into(memoryview(buffer), len(_MAGIC) + place - part.start)
        found = bytes(buffer[:count])
        self._read_to = place + size
        if is_next:
            self._ahead, self._ahead_at = found, place
        return found[:size]

    def _part_of(self, place: int) -> FrameFile | None:
        number = bisect_right(self._starts, place) - 1
        if number < 0 or place >= self._parts[number].end:
            return None
        return self._parts[number]

    # ------------------------------------------------------------------------------------------------- letting go of it

    def free(self, place: int, size: int) -> None:
        """A frame is not needed any more."""
        part = self._part_of(place)
        if part is not None:
            self._count(part, -size)

    def keep(self, place: int, size: int) -> None:
        """A frame that was freed is needed after all. Its file is there until the journal was written."""
        part = self._part_of(place)
        if part is not None:
            self._count(part, size)

    def _count(self, part: FrameFile, live_bytes: int) -> None:
        part.live_bytes += live_bytes
        self._live_bytes += live_bytes

    def clear(self) -> None:
        """No frame is needed any more."""
        for part in self._parts:
            self._count(part, -part.live_bytes)
        self._tail = bytearray()
        self._written = self._end
        self._growing = None
        self._ahead = b""

    def note_dead(self) -> None:
        """The journal was written: files without a frame that it speaks of may go, once it is durable."""
        self._dead = [part for part in self._parts if not part.live_bytes and part.end <= self._written]

    def remove_dead(self, *, is_last: bool = False) -> None:
        """The journal is as durable as it has to be: remove such files. One that grows is kept for more, to a point."""
        for part in self._dead:
            if part.live_bytes or part.end > self._written:
                continue
            if part is self._growing:
                if not is_last and (part.end - part.start) * 2 < self._file_bytes_max:
                    continue
                self._growing = None
            part.close()
            with suppress(StorageError):  # one that stays is found again, and removed, at the next start
                self._files.remove(part.path)
            number = bisect_right(self._starts, part.start) - 1
            del self._parts[number], self._starts[number]
            self._kept_bytes -= part.end - part.start
        self._dead = []
        if not self._live_bytes:
            self.rest()

    @property
    def thin(self) -> tuple[int, int] | None:
        """The places of a file that is to be emptied by moving what it still has; None when all is well.

        That is so when more is kept that nobody needs than what is needed and one file's worth, or when many small
        files have come together.
        """
        part = self._thin
        if part is None or not part.live_bytes or part.is_stuck:
            self._thin = part = self._thinnest()
        return None if part is None else (part.start, part.end)

    def _thinnest(self) -> FrameFile | None:
        is_wasteful = self._kept_bytes > 2 * self._live_bytes + self._file_bytes_max
        if not is_wasteful and len(self._parts) <= _FEW_FILES + 2 * self._kept_bytes // self._file_bytes_max:
            return None
        found = [part for part in self._parts if part is not self._growing and part.live_bytes and not part.is_stuck]
        return min(found, key=lambda part: part.live_bytes, default=None)

    def leave(self) -> None:
        """The thin file cannot be emptied: let it be until the next start."""
        if self._thin is not None:
            self._thin.is_stuck = True

    # -------------------------------------------------------------------------------------------------- start and stop

    def find(self, names: list[str]) -> list[str]:
        """Take up the files that an earlier process left; `names` is what the directory has. Returns notes.

        Raises `StorageError` when one cannot be read, and `NewerFormat`. In durability `fsync` what is found is on the
        disk afterwards.
        """
        notes: list[str] = []
        directory, _, channel = self._stem.rpartition("/")
        for name in names:
            owner, start = owner_of(name)
            if owner != channel:
                continue
            part = FrameFile(f"{directory}/{name}", start)
            file = self._open(part)
            try:
                header = bytearray(len(_MAGIC))
                count = file.read_into(memoryview(header), 0)
                if header.startswith(_MAGIC[:-1]) and header[-1] > _MAGIC[-1]:
                    raise NewerFormat(f"{part.path} - was written by a newer version; start that version")
                part.end = start + max(0, file.size() - len(_MAGIC))
                if self._sync:
                    file.sync()
            finally:
                part.close()
            if count == len(_MAGIC) and header != _MAGIC:
                self._files.rename(part.path, part.path + ".bad")
                notes.append(f"{part.path} - has no sound header; it was set aside as .bad")
                continue
            if part.end == start:
                with suppress(StorageError):  # or else it is begun anew, under its name
                    self._files.remove(part.path)
                continue
            part.is_created = True
            self._parts.append(part)
            self._starts.append(start)
            self._kept_bytes += part.end - start
            self._end = max(self._end, part.end)
        self._written = self._read_to = self._end
        return notes

    def set_aside_unnamed(self) -> list[str]:
        """The journal is damaged: files that it names nothing of are kept under another name. Returns notes."""
        notes: list[str] = []
        for part in [found for found in self._parts if not found.live_bytes]:
            part.close()
            self._files.rename(part.path, part.path + ".bad")
            notes.append(f"{part.path} - no sound entry of the journal names it; it was set aside as .bad")
            number = self._parts.index(part)
            del self._parts[number], self._starts[number]
            self._kept_bytes -= part.end - part.start
        return notes

    def count_live(self, table: StragglerTable) -> list[int]:
        """Learn from the journal's table which frames are needed; the sequences of those that are not there."""
        missing: list[int] = []
        for block in table.blocks:
            missing += self._count_block(block)
        # Places that the journal knows and no file has must not be given out again.
        self._written = self._end = max([self._end, *(max(block.places) + 1 for block in table.blocks)])
        return missing

    def _count_block(self, block: Columns) -> list[int]:
        first, last = self._part_of(min(block.places)), self._part_of(max(block.places))
        if first is not None and first is last and max(block.places) + max(block.sizes) <= first.end:
            self._count(first, sum(block.sizes))
            return []
        missing: list[int] = []
        for row in block.rows():
            part = self._part_of(row.place)
            if part is None or row.place + row.size > part.end:
                missing.append(row.sequence)
            else:
                self._count(part, row.size)
        return missing

    def rest(self) -> None:
        """Let descriptors go until there is more to do."""
        for part in (self._growing, self._reading):
            if part is not None:
                part.close()
        self._reading = None
        self._ahead = b""

    def delete(self) -> None:
        """Remove all files. Raises `StorageError`."""
        self.clear()
        for part in self._parts:
            part.close()
            if part.is_created:
                self._files.remove(part.path)
        self._parts.clear()
        self._starts.clear()


def look_at_frames(files: FileSystem, stem: str, table: StragglerTable) -> Iterator[tuple[Row, bytes]]:
    """The rows of a journal's table with their frames, without changing anything; what cannot be used is left out.

    Raises `StorageError`.
    """
    directory, _, channel = stem.rpartition("/")
    found = [(start, name) for name in files.names(directory) for owner, start in (owner_of(name),) if owner == channel]
    for block in table.blocks:
        for row in block.rows():
            start, name = max((part for part in found if part[0] <= row.place), default=(0, ""))
            if not name:
                continue
            file = files.open(f"{directory}/{name}")
            try:
                frame = bytearray(row.size)
                count = file.read_into(memoryview(frame), len(_MAGIC) + row.place - start)
            finally:
                file.close()
            if count == row.size >= _HEADER_BYTES and raw.get_id(frame, _ID_AT) == row.sequence:
                yield row, bytes(frame)


def owner_of(name: str) -> tuple[str, int]:
    """The channel whose frames a file of this name holds, and the first place; an empty name for any other file."""
    stem, dot, digits = name.removesuffix(_SUFFIX).rpartition(".")
    is_one = name.endswith(_SUFFIX) and dot and len(digits) == _DIGITS and all(c in "0123456789abcdef" for c in digits)
    return (stem, int(digits, 16)) if is_one else ("", 0)
