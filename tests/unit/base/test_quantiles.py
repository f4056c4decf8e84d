"""`base.quantiles`: values stay within what is promised, in little memory."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import UsageError
from millstream.base.quantiles import Sketch, quantiles

FRACTIONS = (0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
ORDERS = {
    "ascending": list(range(20_000)),
    "descending": list(range(20_000, 0, -1)),
    "random": random.Random(1).sample(range(10**9), 20_000),
    "heavy tail": [int(random.Random(place).paretovariate(1.1) * 1_000) for place in range(20_000)],
    "few values": [place % 7 for place in range(20_000)],
    "from both ends": [place if place % 2 else 10**9 - place for place in range(20_000)],
}


def sketch_of(values: Sequence[int]) -> Sketch:
    made = Sketch()
    for value in values:
        made.add(value)
    return made


def exact(values: Sequence[int], fraction: float) -> int:
    """By nearest rank."""
    rank = -int(-round(fraction * len(values), 6) // 1)
    return sorted(values)[max(rank, 1) - 1]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.shows(
    "nsqd: end-to-end latency: percentiles over a window", better="within one percent of the value, not of the rank"
)
def test_a_quantile_is_within_a_hundredth_of_its_value(order: str) -> None:
    values = ORDERS[order]

    found = quantiles([sketch_of(values)], FRACTIONS)

    assert found == pytest.approx([exact(values, fraction) for fraction in FRACTIONS], rel=1 / 128)
    assert (found[0], found[-1]) == (min(values), max(values))


@pytest.mark.parametrize("order", ORDERS)
def test_memory_follows_the_range_and_not_the_number_of_values(order: str) -> None:
    values = ORDERS[order]

    sketch = sketch_of(values)

    assert len(sketch.counts) <= 64 * max(values).bit_length()
    assert sketch.count == len(values)


@pytest.mark.parametrize(("fraction", "value"), [(0, 1), (0.05, 1), (0.5, 10), (0.51, 11), (0.95, 19), (1.0, 20)])
def test_small_values_are_exact(fraction: float, value: int) -> None:
    assert quantiles([sketch_of(range(20, 0, -1))], [fraction]) == [value]


def test_one_value_is_every_quantile() -> None:
    assert quantiles([sketch_of([123_456_789])], FRACTIONS) == [123_456_789] * len(FRACTIONS)


def test_an_empty_sketch_changes_nothing() -> None:
    one = sketch_of([5, 6, 7])

    assert quantiles([one, Sketch()], [0.5]) == quantiles([one], [0.5]) == [6]
    assert quantiles([], [0.5, 0.9]) == quantiles([Sketch()], [0.5, 0.9]) == [0, 0]


def test_a_cleared_sketch_begins_anew() -> None:
    sketch = sketch_of(range(2_000))
    sketch.clear()
    assert (sketch.count, len(sketch.counts), quantiles([sketch], [0.5])) == (0, 0, [0])

    sketch.add(3)

    assert quantiles([sketch], FRACTIONS) == [3] * len(FRACTIONS)


VALUES = st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300), max_size=50)


@given(st.lists(VALUES, max_size=4))
def test_several_sketches_answer_as_one(parts: list[list[int]]) -> None:
    everything = [value for part in parts for value in part]

    found = quantiles([sketch_of(part) for part in parts], FRACTIONS)

    assert found == quantiles([sketch_of(everything)], FRACTIONS)
    if everything:
        assert found == pytest.approx([exact(everything, fraction) for fraction in FRACTIONS], rel=1 / 128)


@pytest.mark.parametrize("value", [-1, -1000, -(2**63)])
def test_a_negative_value_is_refused(value: int) -> None:
    sketch = Sketch()

    with pytest.raises(UsageError, match="value"):
        sketch.add(value)

    assert (sketch.count, sketch.counts) == (0, {})


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_a_fraction_of_no_use_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="fraction"):
        quantiles([], [fraction])
