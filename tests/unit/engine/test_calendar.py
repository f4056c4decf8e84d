"""Messages by when they are due: the calendar does what a sorted list does."""

from array import array
from bisect import insort
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.calendar import Calendar

START: Final = -(1 << 62)


def entries_of(found: Calendar) -> list[tuple[int, int]]:
    return list(found.behind(START, 0))


ENTRY = st.tuples(st.integers(0, 12), st.integers(0, 30))
STEPS = st.lists(st.tuples(st.sampled_from(["add", "add", "add", "remove", "take"]), ENTRY), max_size=120)


@given(STEPS, st.integers(2, 9))
def test_a_calendar_holds_what_a_sorted_list_would(steps: list[tuple[str, tuple[int, int]]], block: int) -> None:
    found, model = Calendar(block), list[tuple[int, int]]()
    for what, entry in steps:
        if what == "add" and entry not in model:
            found.add(*entry)
            insort(model, entry)
        elif what == "remove":
            assert found.remove(*entry) == (entry in model)
            model = [each for each in model if each != entry]
        elif what == "take":
            due = [sequence for due_ns, sequence in model if due_ns <= entry[0]]
            assert list(found.take_due(entry[0])) == due
            model = model[len(due) :]

        assert entries_of(found) == model
        assert len(found) == len(model)
        assert found.first_due_ns == (model[0][0] if model else None)
    for due_ns in range(13):
        for sequence in range(0, 31, 6):
            assert found.has(due_ns, sequence) == ((due_ns, sequence) in model)
            assert list(found.behind(due_ns, sequence)) == [each for each in model if each > (due_ns, sequence)]


@given(st.lists(st.lists(st.integers(0, 1 << 40) | st.integers(0, 3), max_size=300), max_size=12))
def test_many_are_entered_at_once_as_one_by_one(parts: list[list[int]]) -> None:
    found, sequence, columns, expected = Calendar(), 0, [], []
    for dues in parts:
        columns.append((array("q", dues), array("q", range(sequence, sequence + len(dues)))))
        expected += list(zip(dues, range(sequence, sequence + len(dues)), strict=True))
        sequence += len(dues)

    found.fill(columns)

    assert entries_of(found) == sorted(expected)
    assert len(found) == len(expected)


@given(
    st.lists(
        st.lists(st.integers(0, 5), max_size=12) | st.lists(st.integers(0, 99), max_size=12).map(sorted), max_size=9
    ),
    st.integers(2, 9),
)
def test_more_are_entered_at_once_as_one_by_one(parts: list[list[int]], block: int) -> None:
    found, model, sequence = Calendar(block), list[tuple[int, int]](), 0
    for dues in parts:
        sequences = range(sequence, sequence + len(dues))
        found.add_all(array("q", dues), array("q", sequences))
        model = sorted([*model, *zip(dues, sequences, strict=True)])
        sequence += len(dues)

        assert entries_of(found) == model
        assert len(found) == len(model)
        if model and found.remove(*model[len(model) // 2]):
            del model[len(model) // 2]
    assert list(found.take_due(3)) == [sequence for due_ns, sequence in model if due_ns <= 3]


def test_a_cleared_calendar_is_empty() -> None:
    found = Calendar()
    found.add(1, 2)

    found.clear()

    assert (len(found), found.first_due_ns, entries_of(found)) == (0, None, [])
