from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.gaps import add_hole, gaps_between, is_dropped, passed_by, runs, stop_of_count, stop_of_gap
from millstream.protocol.chunks import BufferPool, ChunkQueue, Cursor


@dataclass
class Line:
    visible_seq: int
    cursor: Cursor = field(default_factory=lambda: Cursor(0))
    log: ChunkQueue = field(default_factory=lambda: ChunkQueue(BufferPool(), 0))
    holes: list[tuple[int, int]] = field(default_factory=list)


def line(visible_seq: int, deferred: list[int], *holes: tuple[int, int], at: int = 0) -> Line:
    found = Line(visible_seq, Cursor(at))
    found.log.deferred = deferred
    for start, end in holes:
        add_hole(found, start, end)
    return found


def test_holes_that_touch_become_one() -> None:
    found = line(10, [], (2, 4), (4, 6), (5, 5), (8, 9))

    assert found.holes == [(2, 6), (8, 9)]


@pytest.mark.parametrize(
    ("added", "holes"),
    [
        ((0, 2), [(0, 2), (10, 20), (30, 40)]),
        ((22, 25), [(10, 20), (22, 25), (30, 40)]),
        ((5, 12), [(5, 20), (30, 40)]),
        ((20, 30), [(10, 40)]),
        ((0, 50), [(0, 50)]),
        ((12, 15), [(10, 20), (30, 40)]),
        ((45, 45), [(10, 20), (30, 40)]),
    ],
)
def test_a_hole_finds_its_place_among_others(added: tuple[int, int], holes: list[tuple[int, int]]) -> None:
    found = line(50, [], (10, 20), (30, 40), added)

    assert found.holes == holes


def test_a_hole_in_front_of_or_between_others_keeps_them_in_order() -> None:
    found = line(30, [], (20, 22), (2, 4), (10, 12), (4, 5), (11, 21), (1, 1))

    assert found.holes == [(2, 5), (10, 22)]


def test_deferred_records_and_holes_count_once() -> None:
    found = line(10, [1, 3, 12], (2, 5), (9, 20))

    assert passed_by(found) == 5


@pytest.mark.parametrize(("at", "stop"), [(0, 0), (1, 5), (2, 5), (6, 6), (9, 10)])
def test_a_gap_ends_before_the_next_message(at: int, stop: int) -> None:
    found = line(10, [1, 4], (2, 4), (9, 20), at=at)

    assert stop_of_gap(found) == stop


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.sets(st.integers(0, 40)),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=4),
)
def test_gaps_are_what_is_none_to_deliver(
    at: int, visible_seq: int, deferred: set[int], holes: list[tuple[int, int]]
) -> None:
    visible_seq = max(at, visible_seq)
    found = line(visible_seq, sorted(deferred), *[(start, start + size) for start, size in holes], at=at)

    dropped = {sequence for start, size in holes for sequence in range(start, start + size)}
    gaps = [sequence for sequence in range(at, visible_seq) if sequence in dropped or sequence in deferred]

    assert passed_by(found) == len(gaps)
    assert all(is_dropped(found, sequence) is (sequence in dropped) for sequence in range(45))
    assert all(low < high for low, high in found.holes)
    assert all(first[1] < second[0] for first, second in pairwise(found.holes))
    messages = [sequence for sequence in range(at, visible_seq) if sequence not in gaps]
    assert [sequence for low, high in runs(found, 60) for sequence in range(low, high)] == messages
    assert gaps_between(found, at, visible_seq) == len(gaps)
    for count in range(1, len(messages) + 1):
        assert stop_of_count(found, count) == messages[count - 1] + 1
    assert stop_of_count(found, len(messages) + 1) == visible_seq
    assert stop_of_gap(found) == next((s for s in range(at, visible_seq) if s not in gaps), visible_seq)
