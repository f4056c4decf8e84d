"""Where bytes and instants lie in a log: how much there is from a place on, and which place that much or that old is.

`storage.log` answers the engine's questions with these. Bytes are counted between offsets (`Segment.offset`), so a long
log costs no more than a short one; what lies in a file is known by its marks, one per chunk, and read only where
the exact record is asked for.
"""

from bisect import bisect_left, bisect_right
from typing import Protocol

from millstream.protocol.chunk import Chunk
from millstream.storage.contents import SEGMENT_HEADER_BYTES
from millstream.storage.segment import Segment


class Extended(Protocol):
    """The part of a log that is looked at."""

    segments: list[Segment]
    chunks: list[Chunk]
    next_seq: int

    def find(self, sequence: int) -> Chunk | None:
        """The chunk with a sequence, or the first one behind it."""
        ...


def end_offset(log: Extended) -> int:
    """How many bytes of records the log has had, with what is not written yet."""
    if not log.segments:
        return 0
    last = log.segments[-1]
    newest = log.chunks[-1] if log.chunks else None
    if newest is not None and newest.base >= last.base:
        return last.offset + newest.position + newest.used - SEGMENT_HEADER_BYTES
    return last.offset + last.size - SEGMENT_HEADER_BYTES


def offset_of(log: Extended, sequence: int) -> int:
    """How many bytes lie before a record; of one that is not in memory the bytes before its chunk."""
    at = bisect_right(log.segments, sequence, key=_base) - 1
    if at < 0:
        return log.segments[0].offset if log.segments else 0
    segment = log.segments[at]
    if log.chunks and sequence >= log.chunks[0].base:
        chunk = log.chunks[bisect_right(log.chunks, sequence, key=_first) - 1]
        position = chunk.position + (chunk.locate(sequence) if sequence < chunk.end else chunk.used)
        return segment.offset + position - SEGMENT_HEADER_BYTES
    if sequence >= segment.end:
        return segment.offset + segment.size - SEGMENT_HEADER_BYTES
    return segment.offset + segment.locate(sequence)[1] - SEGMENT_HEADER_BYTES


def sequence_of(log: Extended, offset: int) -> int:
    """The first record that begins at an offset or behind it. Raises `StorageError` when it cannot be read."""
    at = bisect_right(log.segments, offset, key=_offset) - 1
    if at < 0:
        return log.segments[0].base if log.segments else log.next_seq
    segment = log.segments[at]
    end = log.segments[at + 1].base if at + 1 < len(log.segments) else log.next_seq
    position = SEGMENT_HEADER_BYTES + offset - segment.offset
    sequence = segment.locate_position(position)[0]
    while sequence < end:
        chunk = log.find(sequence)
        if chunk is None or chunk.base > sequence:
            return log.next_seq if chunk is None else chunk.base
        found = chunk.first_from(position - chunk.position)
        if found < chunk.end:
            return found
        sequence = chunk.end
    return end


def sequence_since(log: Extended, timestamp_ns: int) -> int:
    """The first record of an instant or later. Raises `StorageError` when it cannot be read."""
    segments = log.segments
    at = bisect_left(segments, timestamp_ns, key=_first_ns) - 1
    sequence = segments[at].locate_time(timestamp_ns) if at >= 0 else (segments[0].base if segments else log.next_seq)
    while True:
        chunk = log.find(sequence)
        if chunk is None:
            return log.next_seq
        found = chunk.first_since(timestamp_ns)
        if found < chunk.end:
            return found
        sequence = chunk.end


def kept_from(segments: list[Segment], floor: int, size_bytes_max: int, since_ns: int) -> int:
    """The base of the oldest file below `floor` that is kept, or `floor`. 0 is no bound."""
    last = bisect_right(segments, floor, key=_base) - 1
    if last <= 0:
        return floor
    first = 0
    if size_bytes_max:
        first = bisect_left(segments, segments[last].offset - size_bytes_max, 0, last, key=_offset)
    if since_ns:
        # A file's newest record is no younger than the first one of the file behind it.
        first = max(first, bisect_left(segments, since_ns, 1, last + 1, key=_first_ns) - 1)
    return segments[first].base if first < last else floor


def _base(segment: Segment) -> int:
    return segment.base


def _offset(segment: Segment) -> int:
    return segment.offset


def _first(chunk: Chunk) -> int:
    return chunk.base


def _first_ns(segment: Segment) -> int:
    # What is in no file yet is younger than all that is.
    return segment.first_ns() or 1 << 63
