"""What stands in a channel's journal: entries that begin with a letter, in batches with a checksum.

`storage.progress` writes what this makes, and a start reads it back here, batch by batch.

Entries, big-endian: `P` floor, cursor, scanned · `F` finished from, to · `A` sequence, attempts · `R` a count, and so
many spans that are delivered once more, from, to · `S` a count, and so many stragglers as columns: sequences, due
times, attempts, places, sizes · `U` sequence, due, attempts of a straggler · `M` sequence, place: its frame was moved ·
`V` sequence, times that it was redriven · `D` sequence: it is finished. `due` is an instant on the wall clock in ns, 0
for "at once". A batch is its size (4 bytes), its CRC-32 (4) and entries; one that is torn, or does not verify, ends the
journal.
"""

import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final
from zlib import crc32

from millstream.protocol.straggler_table import Columns, StragglerTable
from millstream.storage.batches import HEAD
from millstream.storage.damage import Damage
from millstream.storage.files import File

_POSITION = Struct(">cqqq")
_FINISHED = Struct(">cqq")
_ATTEMPTS = Struct(">cqH")
_REPLAYS = Struct(">cI")
_SPAN = Struct(">qq")
_STRAGGLERS = Struct(">cI")
_UPDATE = Struct(">cqqH")
_MOVED = Struct(">cqq")
_REDRIVEN = Struct(">cqI")
_DONE = Struct(">cq")
_READ_BYTES: Final = 1 << 20
_IS_LITTLE: Final = sys.byteorder == "little"


@dataclass(slots=True)
class ProgressState:
    """What the journal says. `is_known` is False when there was none."""

    is_known: bool = False
    is_damaged: bool = False
    floor: int = 0
    cursor: int = 0
    scanned: int = 0
    finished: list[tuple[int, int]] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    replays: list[tuple[int, int]] = field(default_factory=list)
    stragglers: StragglerTable = field(default_factory=StragglerTable)
    redriven: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)

    def tell(self, damage: Damage) -> None:
        """Something of the journal is damaged."""
        self.damage.append(damage)
        self.notes.append(damage.text)

    def go_back_to(self, floor: int) -> None:
        """Begin at `floor` again. What is known to be finished is kept, and what left the log is not taken from it."""
        self.is_known = True
        self.floor = self.cursor = self.scanned = floor
        self.finished += [(sequence, sequence + 1) for sequence in self.stragglers.sequences_from(floor)]


def position(floor: int, cursor: int, scanned: int) -> bytes:
    """How far the channel has come."""
    return _POSITION.pack(b"P", floor, cursor, scanned)


def finished(start: int, end: int) -> bytes:
    """A run finished beyond the floor."""
    return _FINISHED.pack(b"F", start, end)


def attempts_of(sequence: int, attempts: int) -> bytes:
    """How often an unfinished message was tried."""
    return _ATTEMPTS.pack(b"A", sequence, attempts)


def replays(spans: Sequence[tuple[int, int]]) -> bytes:
    """Spans of the log that are still to be delivered once more, in place of those noted before."""
    return _REPLAYS.pack(b"R", len(spans)) + b"".join(_SPAN.pack(start, end) for start, end in spans)


def stragglers(columns: Columns) -> bytes:
    """Messages outside the log."""
    parts = [_STRAGGLERS.pack(b"S", len(columns))]
    for column in (columns.sequences, columns.dues, columns.attempts, columns.places, columns.sizes):
        if _IS_LITTLE:
            column = column[:]  # noqa: PLW2901  (a copy to turn round)
            column.byteswap()
        parts.append(column.tobytes())
    return b"".join(parts)


def update(sequence: int, due_ns: int, attempts: int) -> bytes:
    """A straggler was tried again or got another instant."""
    return _UPDATE.pack(b"U", sequence, due_ns, attempts)


def moved(sequence: int, place: int) -> bytes:
    """The frame of a straggler lies somewhere else."""
    return _MOVED.pack(b"M", sequence, place)


def redriven(sequence: int, count: int) -> bytes:
    """A straggler came back from the dead-letter topic, this time included so often."""
    return _REDRIVEN.pack(b"V", sequence, count)


def done(sequence: int) -> bytes:
    """A straggler is finished."""
    return _DONE.pack(b"D", sequence)


def read_batches(file: File, start: int, size: int) -> Iterator[tuple[bytes, int]]:
    """The sound batches from offset `start` to `size`: the entries of each, and the offset behind it."""
    buffer, buffer_at = b"", start
    at = start
    while size - at >= HEAD.size:
        if buffer_at + len(buffer) - at < HEAD.size:
            buffer, buffer_at = _read(file, at, min(_READ_BYTES, size - at)), at
            if len(buffer) < HEAD.size:
                return
        length, checksum = HEAD.unpack_from(buffer, at - buffer_at)
        following = at + HEAD.size + length
        if following > size:
            return
        if following > buffer_at + len(buffer):
            buffer, buffer_at = _read(file, at, min(max(_READ_BYTES, following - at), size - at)), at
        entries = buffer[at + HEAD.size - buffer_at : following - buffer_at]
        if len(entries) < length or crc32(entries) != checksum:
            return
        yield entries, following
        at = following


def _read(file: File, at: int, size: int) -> bytes:
    data = bytearray(size)
    return bytes(data[: file.read_into(memoryview(data), at)])


def replay(entries: bytes, state: ProgressState) -> bool:
    """Apply one batch; False when it is not one: then nothing that follows can be trusted."""
    at = 0
    try:
        while at < len(entries):
            at = _replay_entry(entries, at, state)
    except (struct.error, ValueError):
        return False
    return True


def _replay_entry(entries: bytes, at: int, state: ProgressState) -> int:
    """Apply the entry at `at`; where the next one begins."""
    kind = entries[at : at + 1]
    if kind == b"P":
        _, state.floor, state.cursor, state.scanned = _POSITION.unpack_from(entries, at)
        state.is_known = True
        if state.finished and state.finished[0][1] <= state.floor:
            state.finished = [span for span in state.finished if span[1] > state.floor]
        return at + _POSITION.size
    if kind == b"F":
        _, start, end = _FINISHED.unpack_from(entries, at)
        state.finished.append((start, end))
        return at + _FINISHED.size
    if kind == b"A":
        _, sequence, attempts = _ATTEMPTS.unpack_from(entries, at)
        state.attempts[sequence] = attempts
        return at + _ATTEMPTS.size
    if kind == b"R":
        count: int = _REPLAYS.unpack_from(entries, at)[1]
        at += _REPLAYS.size
        if at + count * _SPAN.size > len(entries):
            raise ValueError("the entry is cut short")
        state.replays = [_SPAN.unpack_from(entries, at + number * _SPAN.size) for number in range(count)]
        return at + count * _SPAN.size
    if kind == b"S":
        _, count = _STRAGGLERS.unpack_from(entries, at)
        columns, following = _columns(entries, at + _STRAGGLERS.size, count)
        state.stragglers.put_all(columns)
        return following
    if kind == b"U":
        _, sequence, due_ns, attempts = _UPDATE.unpack_from(entries, at)
        state.stragglers.change(sequence, due_ns=due_ns, attempts=attempts)
        return at + _UPDATE.size
    if kind == b"M":
        _, sequence, place = _MOVED.unpack_from(entries, at)
        state.stragglers.change(sequence, place=place)
        return at + _MOVED.size
    if kind == b"V":
        _, sequence, times = _REDRIVEN.unpack_from(entries, at)
        state.redriven[sequence] = times
        return at + _REDRIVEN.size
    if kind == b"D":
        _, sequence = _DONE.unpack_from(entries, at)
        state.stragglers.remove(sequence)
        state.redriven.pop(sequence, None)
        return at + _DONE.size
    raise ValueError("the entry is of no known kind")


def _columns(entries: bytes, at: int, count: int) -> tuple[Columns, int]:
    columns = Columns()
    for column in (columns.sequences, columns.dues, columns.attempts, columns.places, columns.sizes):
        following = at + count * column.itemsize
        if following > len(entries):
            raise ValueError("the entry is cut short")
        column.frombytes(entries[at:following])
        if _IS_LITTLE:
            column.byteswap()
        at = following
    return columns, at
