"""One file of a topic's log, and the index beside it."""

from array import array

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.chunk import Chunk
from millstream.storage.contents import SEGMENT_HEADER_BYTES, Contents, NewerFormat, examine
from millstream.storage.resync import Span
from millstream.storage.segment import Segment
from millstream.testing import FaultyFiles

BODY = b"x" * 66  # a record has 100 bytes with it


@pytest.fixture
def files() -> FaultyFiles:
    found = FaultyFiles()
    found.make_directory("d")
    found.sync_directory("")
    return found


def written(files: FaultyFiles, count: int, *, checked: bool = False, base: int = 16) -> Segment:
    segment = Segment(files, "d", base, checked=checked)
    segment.create()
    for number in range(count):
        chunk = Chunk(bytearray(100), base + number, 0)
        chunk.append(bytearray(BODY), 0, len(BODY), 1)
        assert chunk.view is not None
        segment.write(chunk.view, segment.size)
        segment.check(base + number + 1, segment.size + 100, chunk.view)
        segment.mark(base + number, segment.size)
        segment.wrote(base + number + 1, segment.size + 100)
    return segment


def found_again(files: FaultyFiles, base: int = 16) -> Segment:
    segment = Segment(files, "d", base, checked=False)
    found = examine(files, "d", base)
    assert found.surplus == 0
    segment.take(found)
    return segment


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_segment_is_found_again_as_it_was(files: FaultyFiles, checked: bool, sealed: bool) -> None:
    segment = written(files, 5, checked=checked)
    segment.deferred = array("q", [] if not sealed else [17, 19])
    if sealed:
        segment.seal()

    again = found_again(files)

    assert (again.base, again.end, again.size) == (16, 21, SEGMENT_HEADER_BYTES + 500)
    assert (again.checked, again.is_sealed, again.deferred) == (checked, sealed, segment.deferred)
    for sequence in range(16, 21):
        known, position = again.locate(sequence)
        assert known <= sequence
        assert position == SEGMENT_HEADER_BYTES + 100 * (known - 16)


@pytest.mark.parametrize("checked", [False, True])
def test_a_segment_is_cut_at_a_record(files: FaultyFiles, checked: bool) -> None:
    segment = written(files, 5, checked=checked)

    segment.cut(19)
    segment.truncate()

    assert (segment.end, segment.size) == (19, SEGMENT_HEADER_BYTES + 300)
    assert segment.locate(99)[0] < 19
    assert found_again(files).end == 19


def test_a_cut_finds_its_place_without_marks(files: FaultyFiles) -> None:
    written(files, 50)
    files.remove("d/0000000000000010.idx")
    again = found_again(files)

    again.cut(33)

    assert again.size == SEGMENT_HEADER_BYTES + 1700


def damaged(files: FaultyFiles, *places: int) -> Segment:
    """Twenty records with marks at every one, of which some are damaged."""
    segment = written(files, 20)
    data = bytearray(files.read(segment.path))
    for place in places:
        data[SEGMENT_HEADER_BYTES + 100 * place + 20] ^= 1
    files.overwrite(segment.path, bytes(data))
    return segment


def test_a_damaged_place_is_looked_at_once_and_stepped_over_from_then_on(files: FaultyFiles) -> None:
    segment = damaged(files, 5)

    span = segment.damage_at(21, SEGMENT_HEADER_BYTES + 500)

    assert span == Span(21, 22, SEGMENT_HEADER_BYTES + 500, SEGMENT_HEADER_BYTES + 600)
    assert [segment.step_over(sequence) for sequence in (20, 21, 22)] == [20, 22, 22]
    assert segment.stop_behind(16) == (21, SEGMENT_HEADER_BYTES + 500)
    assert segment.stop_behind(22) == (36, SEGMENT_HEADER_BYTES + 2000)
    assert segment.locate(22) == (22, SEGMENT_HEADER_BYTES + 600)


def test_damage_is_found_from_a_place_before_it_and_between_others(files: FaultyFiles) -> None:
    files.remove("d/0000000000000010.idx")
    damaged(files, 3, 9, 15)
    segment = Segment(files, "d", 16, checked=False)
    segment.take(examine(files, "d", 16))
    assert [span.start for span in segment.spans] == [19, 25, 31]
    segment.spans = segment.spans[::2]

    span = segment.damage_at(24, SEGMENT_HEADER_BYTES + 800)

    assert (span is not None, span and span.start) == (True, 25)
    assert [span.start for span in segment.spans] == [19, 25, 31]


def test_where_nothing_is_damaged_nothing_is_found(files: FaultyFiles) -> None:
    segment = written(files, 5)

    assert segment.damage_at(18, SEGMENT_HEADER_BYTES + 200) is None
    assert segment.spans == []


@pytest.mark.parametrize(("end", "kept_end", "kept_spans"), [(20, 20, 0), (21, 21, 0), (22, 21, 0), (24, 24, 1)])
def test_a_cut_ends_no_segment_in_a_damaged_span(files: FaultyFiles, end: int, kept_end: int, kept_spans: int) -> None:
    segment = damaged(files, 5)
    segment.damage_at(21, SEGMENT_HEADER_BYTES + 500)

    segment.cut(end)

    assert (segment.end, segment.size) == (kept_end, SEGMENT_HEADER_BYTES + 100 * (kept_end - 16))
    assert len(segment.spans) == kept_spans


def test_a_cut_that_cannot_be_found_is_an_error(files: FaultyFiles) -> None:
    segment = damaged(files, 5)
    segment.take(Contents(16, 36, size=SEGMENT_HEADER_BYTES + 2000, marks=[(16, SEGMENT_HEADER_BYTES)]))

    with pytest.raises(StorageError, match="no sound record"):
        segment.cut(30)


def test_checksums_can_be_taken_anew(files: FaultyFiles) -> None:
    written(files, 20, checked=True)
    files.remove("d/0000000000000010.idx")
    segment = Segment(files, "d", 16, checked=False)
    segment.take(examine(files, "d", 16))

    segment.take_checksums()

    found = examine(files, "d", 16)
    assert (found.is_checked, found.is_sealed, found.index, found.count) == (True, True, "", 20)
    data = bytearray(files.read(segment.path))
    data[-1] ^= 1
    files.overwrite(segment.path, bytes(data))
    assert examine(files, "d", 16).count < 20


@pytest.mark.parametrize("is_first", [False, True])
def test_a_segment_says_whether_it_was_the_first_of_its_log(files: FaultyFiles, is_first: bool) -> None:
    segment = Segment(files, "d", 16, checked=False)
    segment.is_first = is_first
    segment.create()

    assert examine(files, "d", 16).is_first == is_first


def test_no_more_is_read_than_was_written(files: FaultyFiles) -> None:
    segment = written(files, 2)
    segment.write(memoryview(b"does not count"), segment.size)
    buffer = bytearray(1000)

    assert segment.read_into(memoryview(buffer), SEGMENT_HEADER_BYTES + 100) == 100
    assert segment.read_into(memoryview(buffer), SEGMENT_HEADER_BYTES + 200) == 0


@pytest.mark.parametrize("after", range(3))
def test_a_segment_that_could_not_be_made_can_be_made_again_or_removed(files: FaultyFiles, after: int) -> None:
    for again in (True, False):
        segment = Segment(files, "d", 16, checked=True)
        files.fail("write", after=after)
        try:
            segment.create()
        except StorageError:
            assert not segment.is_created
        files.heal()
        if again:
            segment.create()
            assert found_again(files).checked
        segment.delete()
        assert files.names("d") == []


def test_a_resting_segment_opens_when_it_is_read(files: FaultyFiles) -> None:
    segment = written(files, 1)
    segment.close()
    assert files.open_count == 0

    assert segment.read_into(memoryview(bytearray(100)), SEGMENT_HEADER_BYTES) == 100
    assert files.open_count == 1


def test_a_sync_brings_data_and_index_to_the_disk(files: FaultyFiles) -> None:
    segment = written(files, 3, checked=True)
    segment.sync()
    files.sync_directory("d")

    assert found_again(files.crash(power_loss=True)).end == 19


def test_a_newer_format_says_so(files: FaultyFiles) -> None:
    segment = written(files, 1)
    data = files.read(segment.path)
    files.overwrite(segment.path, data[:7] + b"\x09" + data[8:])

    with pytest.raises(NewerFormat, match="format 9, this one reads up to 1"):
        examine(files, "d", 16)


def test_a_segment_under_the_name_of_another_is_not_sound(files: FaultyFiles) -> None:
    segment = written(files, 1)
    files.rename(segment.path, "d/0000000000000011.seg")

    with pytest.raises(StorageError, match="no sound header"):
        examine(files, "d", 17)


def test_a_failed_seal_is_repaired_by_a_walk(files: FaultyFiles) -> None:
    segment = written(files, 4)
    files.fail("write", keep_part=True)

    with pytest.raises(StorageError):
        segment.seal()

    assert found_again(files).end == 20


def test_places_are_known_by_position_and_by_instant_without_a_walk(files: FaultyFiles) -> None:
    segment = Segment(files, "d", 16, checked=False)
    segment.create()
    for number in range(5):
        chunk = Chunk(bytearray(100), 16 + number, 0)
        chunk.append(bytearray(BODY), 0, len(BODY), 1_000 * (number + 1))
        assert chunk.view is not None
        segment.write(chunk.view, segment.size)
        segment.mark(16 + number, segment.size)
        segment.wrote(17 + number, segment.size + 100)
    segment.close()

    assert segment.first_ns() == 1_000
    assert [segment.locate_time(ns) for ns in (0, 1_000, 1_001, 3_500, 9_000)] == [16, 16, 16, 18, 20]
    assert segment.locate_position(SEGMENT_HEADER_BYTES + 250) == (18, SEGMENT_HEADER_BYTES + 200)
    assert segment.locate_position(0) == (16, SEGMENT_HEADER_BYTES)
    assert files.open_count == 0


def test_a_segment_without_records_has_no_instant(files: FaultyFiles) -> None:
    segment = Segment(files, "d", 16, checked=False)

    assert segment.first_ns() == 0
