"""`storage.cold`: chunks read back from a segment hold what was written, and damage is told instead of served."""

from typing import Any

from millstream.storage.cold import read_chunk
from millstream.storage.contents import SEGMENT_HEADER_BYTES

KIB = 1024


def filled(small: Any, count: int, size: int) -> Any:
    for number in range(count):
        small.publish(b"%d" % number + bytes(size))
        small.commit()
    return small.log.segments[0]


def test_a_chunk_holds_the_records_from_its_place_on(small: Any) -> None:
    segment = filled(small, 30, KIB)

    chunk = read_chunk(small.log, segment, segment.base, SEGMENT_HEADER_BYTES, segment.base + 2)

    assert chunk is not None
    assert chunk.base == segment.base
    assert chunk.record(segment.base + 2)[34:] == b"2" + bytes(KIB)


def test_a_record_larger_than_a_chunk_is_read_whole(small: Any) -> None:
    small.publish(bytes(700 * KIB))
    small.commit()
    segment = small.log.segments[0]

    chunk = read_chunk(small.log, segment, segment.base, SEGMENT_HEADER_BYTES, segment.base)

    assert chunk is not None
    assert len(chunk.record(segment.base)) == 34 + 700 * KIB


def test_a_damaged_record_is_told_and_not_served(small: Any) -> None:
    segment = filled(small, 30, KIB)
    data = bytearray(small.files.read(segment.path))
    data[SEGMENT_HEADER_BYTES + 20] ^= 1
    small.files.overwrite(segment.path, bytes(data))
    told: list[Any] = []
    small.log.on_damage = told.append

    assert read_chunk(small.log, segment, segment.base, SEGMENT_HEADER_BYTES, segment.base) is None

    assert [damage.kind for damage in told] == ["records"]
    assert small.log.gaps == [(segment.base, segment.base + 1)]
