"""Walks the records of a file, and finds where sound ones go on behind a damaged one.

`storage.contents` walks what no index vouches for, `storage.log` a place where a read met something that is no record.
A record carries its sequence as id, so a place where one with a later id begins can be known again: it counts when
the records from there on are sound too, several of them or all up to the end. What lies between is a `Span`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from millstream.protocol import raw
from millstream.protocol.chunk import HEADER_BYTES, scan
from millstream.storage.files import File

RECORD_BYTES_MIN: Final = HEADER_BYTES + 1
# As many in a row are no coincidence, and no body that happens to hold a copy of a record.
_CHAIN: Final = 3
_SCAN_BYTES: Final = 1 << 20
_TYPE_AT: Final = 4
_ID_AT: Final = 18
_BEGINNING: Final = re.compile(rb"\x00\x00[\x00\x01]\x02(?=.{8}\x00\x01[0-9a-f]{16})", re.DOTALL)

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Run:
    """Sound records `start` to `end`, in the bytes from `position` to `until`; some of them are `deferred`."""

    start: int
    end: int
    position: int
    until: int
    deferred: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Span:
    """A damaged part: what were the records `start` to `end`, in the bytes from `position` to `until`."""

    start: int
    end: int
    position: int
    until: int


def runs(file: File, sequence: int, position: int, limit: int) -> Iterator[Run]:
    """The sound records from a place on, up to `limit` or the first that is not."""
    buffer = bytearray(min(_SCAN_BYTES, max(HEADER_BYTES, limit - position)))
    while limit - position >= HEADER_BYTES:
        count = file.read_into(memoryview(buffer)[: limit - position], position)
        used, following, deferred = scan(buffer, 0, count, sequence)
        if following == sequence:
            # What is larger than the buffer need not be read: where it ends, another record or the limit must be.
            if count < HEADER_BYTES or not raw.is_stored(buffer, 0, sequence):
                return
            used = 4 + raw.get32(buffer, 0)
            if used <= count or position + used > limit:
                return
            following, deferred = sequence + 1, [sequence] if buffer[6] else []
        yield Run(sequence, following, position, position + used, deferred)
        sequence, position = following, position + used


def walk(file: File, sequence: int, position: int, limit: int, anchor: int | None = None) -> Iterator[Run | Span]:
    """Everything from a known place on: runs of sound records, and the spans between them.

    It ends where nothing sound follows; with an `anchor`, the sequence known to begin at `limit`, it ends there.
    """
    while True:
        last: Run | None = None
        for run in runs(file, sequence, position, limit):
            if last is not None:
                yield last
            last, sequence, position = run, run.end, run.until
        if position == limit:
            if last is not None:
                yield last
            if anchor is not None and anchor > sequence:
                yield Span(sequence, anchor, limit, limit)
            return
        span = _damage(file, last, (sequence, position), limit, anchor)
        last = _before(last, span)
        if last is not None:
            yield last
        if span is None:
            return
        yield span
        sequence, position = span.end, span.until


def _damage(file: File, last: Run | None, place: Place, limit: int, anchor: int | None) -> Span | None:
    """What is damaged at `place`, where no sound record begins; None when nothing sound follows.

    It may be the size of the record before that leads to this place.
    """
    sequence, position = place
    suspect = _last_of(file, last) if last is not None else None
    found = _next_sound(file, suspect or place, position, limit, anchor)
    if found is None:
        if anchor is None:
            return None
        found = (anchor, limit)
    if suspect is not None and (found[0] <= sequence or found[1] < position):
        return Span(suspect[0], max(suspect[0], found[0]), suspect[1], found[1])
    return Span(sequence, max(sequence, found[0]), position, found[1])


def _before(run: Run | None, span: Span | None) -> Run | None:
    """What of a run lies before a span."""
    if run is None or span is None or span.position >= run.until:
        return run
    if span.start <= run.start:
        return None
    deferred = [sequence for sequence in run.deferred if sequence < span.start]
    return Run(run.start, span.start, run.position, span.position, deferred)


def _last_of(file: File, run: Run) -> Place:
    """Where the last record of a run is."""
    if run.end - run.start == 1:
        return run.start, run.position
    buffer = bytearray(run.until - run.position)
    file.read_into(memoryview(buffer), run.position)
    at = 0
    for _ in range(run.start, run.end - 1):
        at += 4 + raw.get32(buffer, at)
    return run.end - 1, run.position + at


def _next_sound(file: File, place: Place, beyond: int, limit: int, anchor: int | None) -> Place | None:
    """The first place behind the record at `place` where sound records with later ids go on, `beyond` there as well.

    Records in a body, whoever published them, end with it: their ids do not go on where the body ends.
    """
    sequence, position = place
    passed = position
    for at, found in beginnings(file, position + 1, limit):
        lost = found - sequence
        if at < passed or lost < 1 or lost * RECORD_BYTES_MIN > at - position:
            continue
        if anchor is not None and (anchor - found) * RECORD_BYTES_MIN > limit - at:
            continue
        end = found
        passed = at
        for run in runs(file, found, at, limit):
            end, passed = run.end, run.until
            if passed > beyond and end - found >= _CHAIN:
                break
        if passed == limit or (passed > beyond and end - found >= _CHAIN and not _goes_back(file, passed, end)):
            return found, at
    return None


def _goes_back(file: File, position: int, sequence: int) -> bool:
    """Whether the record at a place is an earlier one than it should be."""
    header = bytearray(HEADER_BYTES)
    if file.read_into(memoryview(header), position) < HEADER_BYTES:
        return False
    found = raw.get_id(header, _ID_AT)
    return 0 <= found < sequence and raw.is_stored(header, 0, found)


def beginnings(file: File, position: int, limit: int) -> Iterator[Place]:
    """Where the header of some record lies, from `position` on: (position, the sequence in it)."""
    buffer = bytearray(_SCAN_BYTES + HEADER_BYTES)
    while limit - position >= HEADER_BYTES:
        count = file.read_into(memoryview(buffer)[: limit - position], position)
        for match in _BEGINNING.finditer(buffer, _TYPE_AT, count):
            at = match.start() - _TYPE_AT
            sequence = raw.get_id(buffer, at + _ID_AT)
            if at < _SCAN_BYTES and sequence >= 0 and raw.is_stored(buffer, at, sequence):
                yield position + at, sequence
        position += _SCAN_BYTES
