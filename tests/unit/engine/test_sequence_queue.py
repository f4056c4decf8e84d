import tracemalloc
from collections import deque
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.sequence_queue import SequenceQueue

MANY: Final = 100_000
STEP = st.tuples(st.sampled_from(["append", "extend", "put_first", "popleft", "popleft"]), st.lists(st.integers(0, 99)))


@given(st.lists(STEP, max_size=60))
def test_a_queue_holds_what_a_deque_would(steps: list[tuple[str, list[int]]]) -> None:
    queue, model = SequenceQueue(), deque[int]()
    for what, values in steps:
        if what == "append":
            queue.append(len(values))
            model.append(len(values))
        elif what == "extend":
            queue.extend(values)
            model.extend(values)
        elif what == "put_first":
            queue.put_first(values)
            model.extendleft(reversed(values))
        elif model:
            assert queue.first() == model[0]
            assert queue.popleft() == model.popleft()

        assert (list(queue), len(queue), bool(queue)) == (list(model), len(model), bool(model))


def test_an_empty_queue_has_no_first() -> None:
    queue = SequenceQueue()
    queue.append(1)
    queue.clear()

    with pytest.raises(IndexError):
        queue.first()
    with pytest.raises(IndexError):
        queue.popleft()


def test_what_was_taken_is_let_go_of() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        queue = SequenceQueue()
        for sequence in range(3 * MANY):
            queue.append(sequence)
            if sequence >= MANY:
                assert queue.popleft() == sequence - MANY
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(queue) == MANY
    assert (after - before) / MANY < 24
