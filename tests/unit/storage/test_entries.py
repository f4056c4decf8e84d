"""Entries of a journal: each comes back as it was, and nothing that is none is taken for one."""

from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.straggler_table import Columns, Row
from millstream.storage import entries
from millstream.storage.batches import pack_batch
from millstream.storage.entries import ProgressState, read_batches, replay
from millstream.testing import FaultyFiles

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
ROWS = st.lists(
    st.builds(Row, INT64, INT64, st.integers(0, 65535), INT64, st.integers(0, (1 << 32) - 1)),
    unique_by=lambda row: row[0],
)


def columns_of(rows: list[Row]) -> Columns:
    columns = Columns()
    for row in rows:
        columns.append(row)
    return columns


@given(ROWS)
def test_stragglers_come_back_by_sequence(rows: list[Row]) -> None:
    columns = columns_of(rows)
    state = ProgressState()

    assert replay(entries.stragglers(columns), state)

    assert [row for block in state.stragglers.blocks for row in block.rows()] == sorted(rows)
    assert list(columns.rows()) == rows


def test_columns_are_big_endian_on_every_machine() -> None:
    found = entries.stragglers(columns_of([Row(1, 2, 3, 4, 5), Row(6, 7, 8, 9, 10)]))

    numbers = [(1, 8), (6, 8), (2, 8), (7, 8), (3, 2), (8, 2), (4, 8), (9, 8), (5, 4), (10, 4)]
    assert found == b"S\0\0\0\2" + b"".join(number.to_bytes(size, "big") for number, size in numbers)


def test_what_happened_to_stragglers_is_applied_in_order() -> None:
    state = ProgressState()
    rows = [Row(sequence, 50, 1, sequence * 100, 100) for sequence in range(4)]
    noted = [
        entries.stragglers(columns_of(rows)),
        entries.update(1, 60, 2),
        entries.moved(2, 900),
        entries.done(3),
        entries.stragglers(columns_of([Row(3, 70, 0, 1_000, 40)])),
        entries.done(0),
        entries.update(77, 1, 1),
        entries.moved(77, 1),
        entries.done(77),
    ]

    assert replay(b"".join(noted), state)

    found = [row for block in state.stragglers.blocks for row in block.rows()]
    assert found == [Row(1, 60, 2, 100, 100), Row(2, 50, 1, 900, 100), Row(3, 70, 0, 1_000, 40)]


@given(st.binary(max_size=80))
def test_any_bytes_are_entries_or_refused(data: bytes) -> None:
    assert replay(data, ProgressState()) in {True, False}


def test_an_entry_of_no_known_kind_and_one_cut_short_are_refused() -> None:
    whole = entries.stragglers(columns_of([Row(1, 2, 3, 4, 5)]))

    assert not replay(b"?", ProgressState())
    assert not any(replay(whole[:size], ProgressState()) for size in range(1, len(whole)))


@given(st.lists(st.integers(0, 3_000_000), max_size=6), st.integers(0, 40))
def test_batches_of_any_size_are_read_up_to_the_first_that_is_not_whole(sizes: list[int], cut: int) -> None:
    files = FaultyFiles()
    files.make_directory("d")
    contents = [bytes([at]) * size for at, size in enumerate(sizes)]
    data = b"head" + b"".join(pack_batch(content) for content in contents)
    files.overwrite("d/f", data[: max(4, len(data) - cut)])

    found = list(read_batches(files.open("d/f"), 4, files.open("d/f").size()))

    whole, at = [], 4
    for content in contents:
        at += 8 + len(content)
        if at <= max(4, len(data) - cut):
            whole.append((content, at))
    assert found == whole
