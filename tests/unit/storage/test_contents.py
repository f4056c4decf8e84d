"""What is found in the files of a segment, each way that they can be spoilt; nothing is changed by looking."""

from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.chunk import Chunk
from millstream.storage.contents import (
    BEHIND,
    FOREIGN,
    INTACT,
    MISSING,
    SEGMENT_HEADER_BYTES,
    UNSOUND,
    Contents,
    NewerFormat,
    check_version,
    examine,
)
from millstream.storage.resync import Span
from millstream.storage.segment import Segment
from millstream.testing import FaultyFiles

BASE = 1000
SEG, IDX = "d/00000000000003e8.seg", "d/00000000000003e8.idx"
BODY = b"x" * 66  # a record has 100 bytes with it


class Files(FaultyFiles):
    """Ten records, two in each commit; every fifth is deferred."""

    def __init__(self) -> None:
        super().__init__()
        self.make_directory("d")

    def spoil(self, path: str, at: int, change: int = 1) -> None:
        data = bytearray(self.read(path))
        data[at] ^= change
        self.overwrite(path, bytes(data))


def written(*, checked: bool, sealed: bool, count: int = 10, base: int = BASE) -> tuple[Files, Segment]:
    files = Files()
    segment = Segment(files, "d", base, checked=checked)
    segment.create()
    for first in range(base, base + count, 2):
        chunk = Chunk(bytearray(200), first, 0)
        for sequence in (first, first + 1):
            if sequence % 5:
                chunk.append(bytearray(BODY), 0, len(BODY), 1)
            else:
                chunk.append_deferred(bytearray(BODY), 0, len(BODY) - 8, 1, 7)
                segment.deferred.append(sequence)
        assert chunk.view is not None
        segment.write(chunk.view, segment.size)
        segment.check(first + 2, segment.size + 200, chunk.view)
        segment.mark(first, segment.size)
        segment.wrote(first + 2, segment.size + 200)
    if sealed:
        segment.seal()
    segment.close()
    return files, segment


def look(files: Files, **how: Any) -> Contents:
    before = {name: files.read(f"d/{name}") for name in files.names("d")}
    found = examine(files, "d", BASE, **how)
    assert {name: files.read(f"d/{name}") for name in files.names("d")} == before
    assert files.open_count == 0
    return found


def at(place: int) -> int:
    """Where the record of this place begins."""
    return SEGMENT_HEADER_BYTES + 100 * place


ways = pytest.mark.parametrize(("checked", "sealed"), [(False, False), (False, True), (True, False), (True, True)])


@ways
def test_an_intact_segment(checked: bool, sealed: bool) -> None:
    files, segment = written(checked=checked, sealed=sealed)

    for thorough in (False, True):
        found = look(files, thorough=thorough)

        assert (found.end, found.size, found.count, found.surplus) == (BASE + 10, at(10), 10, 0)
        assert (found.is_checked, found.is_sealed) == (checked, sealed)
        assert (found.deferred, found.spans, found.header) == (list(segment.deferred), [], "")
        # Only the index of an unfinished segment without checksums need not be there.
        assert found.index == (INTACT if checked or sealed else MISSING)


@ways
def test_a_file_that_ends_within_its_header_has_never_held_a_record(checked: bool, sealed: bool) -> None:
    files, _ = written(checked=checked, sealed=sealed)
    files.overwrite(SEG, files.read(SEG)[:63])

    found = look(files)

    assert (found.is_empty, found.surplus) == (True, 0)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_header_alone_holds_no_record_whatever_it_says(damaged: bool) -> None:
    files, _ = written(checked=True, sealed=False)
    files.overwrite(SEG, bytes(64) if damaged else files.read(SEG)[:64])

    found = look(files)

    assert (found.is_empty, found.surplus, found.header, found.is_index_damaged) == (True, 0, "", False)


@ways
def test_a_damaged_header_is_told_and_the_records_are_there(checked: bool, sealed: bool) -> None:
    files, segment = written(checked=checked, sealed=sealed)
    files.overwrite(SEG, bytes(20) + files.read(SEG)[20:])

    found = look(files)

    assert found.header == "has no sound header"
    assert (found.end, found.count, found.deferred) == (BASE + 10, 10, list(segment.deferred))
    assert found.is_checked == checked


@pytest.mark.parametrize("data", [bytes(1000), b"\xff" * 1000])
def test_with_neither_header_nor_record_there_is_nothing_to_serve(data: bytes) -> None:
    files = Files()
    files.overwrite(SEG, data)

    with pytest.raises(StorageError, match="no sound header"):
        look(files)


def test_the_header_of_another_segment_is_not_believed() -> None:
    files, _ = written(checked=False, sealed=False, base=BASE + 2)
    files.rename("d/00000000000003ea.seg", SEG)

    with pytest.raises(StorageError, match="it is that of segment 00000000000003ea"):
        look(files)


def test_a_newer_version_is_refused() -> None:
    files, _ = written(checked=False, sealed=True)
    check_version(files, "d", BASE)
    check_version(files, "d", BASE + 1)
    data = files.read(SEG)
    files.overwrite(SEG, data[:7] + b"\x02" + data[8:])

    for refuse in (examine, check_version):
        with pytest.raises(NewerFormat, match="format 2, this one reads up to 1"):
            refuse(files, "d", BASE)


def test_without_checksums_a_finished_segment_is_believed_and_a_thorough_look_finds_the_damage() -> None:
    files, _ = written(checked=False, sealed=True)
    files.spoil(SEG, at(3) + 20)

    assert look(files).spans == []
    assert look(files, thorough=True).spans == [Span(BASE + 3, BASE + 4, at(3), at(4))]


def test_without_checksums_an_unfinished_segment_is_walked_and_its_damage_is_found() -> None:
    files, _ = written(checked=False, sealed=False)
    files.spoil(SEG, at(5) + 20)

    found = look(files)

    assert found.spans == [Span(BASE + 5, BASE + 6, at(5), at(6))]
    assert (found.end, found.count, found.deferred) == (BASE + 10, 9, [BASE])
    assert (BASE + 6, at(6)) in found.marks


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("byte", [0, 9, 20, 40, 99])
def test_a_checksum_finds_any_changed_byte_and_costs_its_commit(sealed: bool, byte: int) -> None:
    files, _ = written(checked=True, sealed=sealed)
    files.spoil(SEG, at(5) + byte)

    found = look(files)

    assert found.spans == [Span(BASE + 4, BASE + 6, at(4), at(6))]
    assert (found.end, found.count, found.is_sealed, found.deferred) == (BASE + 10, 8, sealed, [BASE])


def test_commits_that_are_damaged_in_a_row_are_one_span() -> None:
    files, _ = written(checked=True, sealed=True)
    for place in (2, 5, 6):
        files.spoil(SEG, at(place) + 50)

    assert look(files).spans == [Span(BASE + 2, BASE + 8, at(2), at(8))]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_last_commit_that_does_not_verify_is_the_torn_end(sealed: bool) -> None:
    files, _ = written(checked=True, sealed=sealed)
    files.spoil(SEG, at(8) + 50)

    found = look(files)

    assert (found.end, found.size, found.surplus) == (BASE + 8, at(8), 200)
    assert (found.spans, found.known_end, found.is_sealed) == ([], BASE + 10, False)


def test_what_has_no_checksum_yet_was_not_acknowledged() -> None:
    files, _ = written(checked=True, sealed=False)
    files.overwrite(IDX, files.read(IDX)[: 8 + 3 * 24 + 5])

    found = look(files)

    assert (found.end, found.surplus, found.index) == (BASE + 6, 400, INTACT)


@pytest.mark.parametrize("checked", [False, True])
def test_a_missing_index_costs_a_walk(checked: bool) -> None:
    files, segment = written(checked=checked, sealed=True)
    files.remove(IDX)

    found = look(files)

    assert (found.end, found.count, found.index) == (BASE + 10, 10, MISSING)
    assert (found.deferred, found.is_sealed) == (list(segment.deferred), False)


@ways
@pytest.mark.parametrize("other", [BASE - 40, BASE + 40])
def test_the_index_of_another_segment_is_not_believed(checked: bool, sealed: bool, other: int) -> None:
    if not checked and not sealed:
        return  # It has none.
    files, segment = written(checked=checked, sealed=sealed)
    others, _ = written(checked=checked, sealed=sealed, base=other)
    files.overwrite(IDX, others.read(f"d/{other:016x}.idx"))

    found = look(files)

    assert (found.index, found.end, found.count) == (FOREIGN, BASE + 10, 10)
    assert (found.deferred, found.known_end) == (list(segment.deferred), 0)


@pytest.mark.parametrize("entry", range(4))
def test_a_damaged_entry_costs_only_its_checksum(entry: int) -> None:
    files, segment = written(checked=True, sealed=True)
    files.spoil(IDX, 8 + 24 * entry + 3)

    found = look(files)

    assert (found.index, found.end, found.count, found.spans) == (UNSOUND, BASE + 10, 10, [])
    assert found.deferred == list(segment.deferred)


def test_behind_a_damaged_entry_records_that_lead_nowhere_are_damaged() -> None:
    files, _ = written(checked=True, sealed=True)
    files.spoil(IDX, 8 + 24 * 1 + 3)
    files.spoil(SEG, at(3) + 20)

    assert look(files).spans == [Span(BASE + 2, BASE + 6, at(2), at(6))]


def test_a_damaged_deferred_entry_does_not_hide_a_deferred_record() -> None:
    files, segment = written(checked=True, sealed=True)
    files.spoil(IDX, 8 + 24 * 5)

    assert look(files).deferred == list(segment.deferred)


def test_a_damaged_seal_costs_a_walk() -> None:
    files, segment = written(checked=False, sealed=True)
    files.spoil(IDX, len(files.read(IDX)) - 1)

    found = look(files)

    assert (found.index, found.end, found.deferred) == (UNSOUND, BASE + 10, list(segment.deferred))


def behind(*, checked: bool) -> Files:
    """Ten records, and the index from when they were six."""
    files, _ = written(checked=checked, sealed=True)
    older, _ = written(checked=checked, sealed=True, count=6)
    files.overwrite(IDX, older.read(IDX))
    return files


def test_an_index_from_earlier_is_mended_where_the_next_segment_shows_it() -> None:
    found = look(behind(checked=False), next_base=BASE + 10)

    assert (found.index, found.end, found.count, found.is_sealed) == (BEHIND, BASE + 10, 10, False)
    assert found.deferred == [BASE, BASE + 5]


@pytest.mark.parametrize("next_base", [None, BASE + 6, BASE + 12])
def test_what_lies_behind_a_seal_was_refused(next_base: int | None) -> None:
    found = look(behind(checked=False), next_base=next_base)

    assert (found.end, found.surplus, found.is_sealed) == (BASE + 6, 400, True)


def test_with_checksums_nothing_counts_that_has_none() -> None:
    found = look(behind(checked=True), next_base=BASE + 10)

    assert (found.end, found.surplus) == (BASE + 6, 400)


@ways
def test_a_file_that_is_shorter_than_its_index_ends_with_its_last_whole_record(checked: bool, sealed: bool) -> None:
    files, _ = written(checked=checked, sealed=sealed)
    files.overwrite(SEG, files.read(SEG)[: at(6) + 50])

    found = look(files)

    assert (found.end, found.size, found.surplus) == (BASE + 6, at(6), 50)


def test_what_an_earlier_start_found_damaged_stays_so() -> None:
    for checked in (False, True):
        files, _ = written(checked=checked, sealed=True)
        files.spoil(SEG, at(3) + 20)
        files.remove(IDX)
        segment = Segment(files, "d", BASE, checked=False)
        segment.take(look(files))

        if checked:
            segment.take_checksums()
        else:
            segment.seal()
        segment.close()

        again = look(files)
        assert (again.index, again.is_sealed) == (INTACT, True)
        assert again.spans == [Span(BASE + 3, BASE + 4, at(3), at(4))]
