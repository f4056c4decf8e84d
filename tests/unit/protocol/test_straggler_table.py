"""Rows by sequence: the table does what a dict does, in a fraction of its memory."""

import tracemalloc
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.straggler_table import SEQUENCE_END, Columns, Row, StragglerTable

MANY: Final = 100_000
ORIGIN: Final = 1 << 61


def row(sequence: int, *, due_ns: int = 7, attempts: int = 1, place: int = 0, size: int = 40) -> Row:
    return Row(sequence, due_ns, attempts, place, size)


def filled(*sequences: int) -> StragglerTable:
    table = StragglerTable()
    for sequence in sequences:
        table.put(row(sequence, place=sequence * 100))
    return table


def rows_of(table: StragglerTable) -> list[Row]:
    return [found for block in table.blocks for found in block.rows()]


def columns_of(*rows: Row) -> Columns:
    columns = Columns()
    for each in rows:
        columns.append(each)
    return columns


Steps = list[tuple[str, int, int]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "remove", "change", "put_all"]), st.integers(0, 60), st.integers(1, 99)
    ),
    max_size=120,
)


@given(STEPS, st.integers(2, 9))
def test_a_table_holds_what_a_dict_would(steps: Steps, block_rows: int) -> None:
    table, model = StragglerTable(block_rows), dict[int, Row]()
    for what, sequence, value in steps:
        if what == "put":
            model[sequence] = row(sequence, due_ns=value)
            table.put(model[sequence])
        elif what == "remove":
            assert table.remove(sequence) == model.pop(sequence, None)
        elif what == "change":
            is_here = table.change(sequence, due_ns=value, attempts=value + 1, place=value + 2)
            assert is_here == (sequence in model)
            if is_here:
                model[sequence] = row(sequence, due_ns=value, attempts=value + 1, place=value + 2)
        else:
            some = [row(sequence + at * 3, due_ns=value) for at in range(value % 12)]
            table.put_all(columns_of(*some))
            model |= {each.sequence: each for each in some}

        assert len(table) == len(model)
        assert rows_of(table) == [model[key] for key in sorted(model)]
        assert all(len(block) <= block_rows for block in table.blocks)
    for sequence in range(-1, 100):
        assert table.get(sequence) == model.get(sequence)
        assert (sequence in table) == (sequence in model)


def test_rows_that_come_in_any_order_at_once_are_sorted_and_the_last_of_a_sequence_counts() -> None:
    table = filled(5)

    table.put_all(columns_of(row(9), row(5, due_ns=50), row(7), row(9, due_ns=90)))

    assert [(found.sequence, found.due_ns) for found in rows_of(table)] == [(5, 50), (7, 7), (9, 90)]


def test_a_row_takes_a_few_dozen_bytes() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        table = StragglerTable()
        for at in range(MANY):
            table.put(row(ORIGIN + at, due_ns=ORIGIN + at, place=at * 240, size=240))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(table) == MANY
    assert (after - before) / MANY < 36


def test_blocks_that_have_become_small_are_joined() -> None:
    table = filled(*range(10_000))
    blocks = len(table.blocks)

    for sequence in range(10_000):
        if sequence % 50:
            table.remove(sequence)

    assert [found.sequence for found in rows_of(table)] == list(range(0, 10_000, 50))
    assert len(table.blocks) <= blocks // 4


def test_rows_are_found_by_where_their_frames_lie_a_few_blocks_at_a_time() -> None:
    table = filled(*range(5_000))
    found, sequence, rounds = [], 0, 0
    while sequence != SEQUENCE_END:
        part, sequence = table.rows_between(100_000, 350_000, sequence, 2)
        found += part
        rounds += 1

    assert [each.sequence for each in found] == list(range(1_000, 3_500))
    assert rounds > 1
    assert StragglerTable().rows_between(0, 10, 0, 2) == ([], SEQUENCE_END)


def test_a_cleared_table_is_empty() -> None:
    table = filled(1, 2, 3)

    table.clear()

    assert (len(table), 2 in table, table.blocks) == (0, False, [])


@given(st.sets(st.integers(0, 200)), st.integers(0, 210))
def test_sequences_come_in_order_from_any_place_on(sequences: set[int], start: int) -> None:
    table = StragglerTable(block_rows_max=4)
    for sequence in sequences:
        table.put(Row(sequence, 0, 1, sequence, 1))

    assert list(table.sequences_from(start)) == sorted(found for found in sequences if found >= start)
