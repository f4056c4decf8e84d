"""Reads chunks back from a segment, in the form that they had in memory; what is damaged is found on the way.

`storage.log` asks when a cursor or somebody else wants records that are no longer in memory.
"""

from bisect import insort
from collections.abc import Callable
from typing import Final, Protocol

from millstream.base.errors import StorageError
from millstream.protocol import raw
from millstream.protocol.chunk import HEADER_BYTES, Chunk
from millstream.protocol.chunks import BufferPool
from millstream.storage.damage import Damage
from millstream.storage.files import FileSystem
from millstream.storage.recovery import Recovered, keep_span
from millstream.storage.segment import Segment

_COLD_BYTES: Final = 256 << 10


class ColdLog(Protocol):
    """The log, as far as reading back concerns it."""

    files: FileSystem
    pool: BufferPool
    gaps: list[tuple[int, int]]
    recovered: Recovered
    on_damage: Callable[[Damage], None]


def read_chunk(log: ColdLog, segment: Segment, base: int, position: int, sequence: int) -> Chunk | None:
    """Read on from a place until `sequence` is there; None when something damaged was found on the way."""
    end_max, end_at = segment.stop_behind(base)
    size_bytes = _COLD_BYTES
    while True:
        buffer = log.pool.take(size_bytes)
        chunk = Chunk(buffer, base, position)
        count = segment.read_into(memoryview(buffer), position)
        chunk.adopt(count, end_max, end_at - position)
        if chunk.end > sequence:
            return chunk
        if chunk.end > base:
            base, position, size_bytes = chunk.end, position + chunk.used, _COLD_BYTES
            log.pool.give(chunk.let_go())
            continue
        # Not bounded by the size of bodies that is allowed now: it may have been larger once.
        needed = 4 + raw.get32(buffer, 0)
        log.pool.give(chunk.let_go())
        is_too_large = needed + HEADER_BYTES > size_bytes
        if not is_too_large or not _leads_on(segment, base, position, needed):
            _note_damage(log, segment, base, position)
            return None
        size_bytes = needed + HEADER_BYTES


def _leads_on(segment: Segment, base: int, position: int, needed: int) -> bool:
    """Whether the next record, or the end, is where the size of a large one says: only then is it believed."""
    following = bytearray(HEADER_BYTES)
    end_max, end_at = segment.stop_behind(base)
    if position + needed == end_at:
        return base + 1 == end_max
    count = segment.read_into(memoryview(following), position + needed)
    return count == HEADER_BYTES and raw.is_stored(following, 0, base + 1)


def _note_damage(log: ColdLog, segment: Segment, base: int, position: int) -> None:
    """Something that a start believed is no record: set it aside, and step over it from now on."""
    span = segment.damage_at(base, position)
    if span is None:
        raise StorageError(f"{segment.path} - has no sound record at {position}")
    insort(log.gaps, (span.start, span.end))
    log.on_damage(keep_span(log.files, segment, span, log.recovered.names))
