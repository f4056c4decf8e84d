import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import UsageError
from millstream.base.stats import Quantiles


def test_no_values_have_quantile_zero() -> None:
    quantiles = Quantiles()

    assert (quantiles.quantile(0.5), quantiles.mean(), quantiles.count) == (0.0, 0.0, 0)


def test_quantiles_are_nearest_ranks() -> None:
    quantiles = Quantiles()
    for value in range(20, 0, -1):
        quantiles.add(value)

    assert [quantiles.quantile(fraction) for fraction in (0, 0.05, 0.5, 0.95, 0.951, 1)] == [1, 1, 10, 19, 20, 20]


def test_old_values_are_forgotten_by_quantiles_but_not_by_the_sums() -> None:
    quantiles = Quantiles(size=3)
    for value in (1000, 1, 2, 3):
        quantiles.add(value)

    assert quantiles.quantile(1) == 3
    assert (quantiles.count, quantiles.total, quantiles.mean()) == (4, 1006, 251.5)


def test_cleared_quantiles_start_anew() -> None:
    quantiles = Quantiles(size=2)
    for value in (1, 2, 3):
        quantiles.add(value)

    quantiles.clear()
    quantiles.add(7)

    assert (quantiles.quantile(0), quantiles.quantile(1), quantiles.count, quantiles.total) == (7, 7, 1, 7)


@given(st.lists(st.integers(-1000, 1000), max_size=40), st.integers(1, 10), st.floats(0, 1))
def test_a_quantile_is_one_of_the_latest_values(values: list[int], size: int, fraction: float) -> None:
    quantiles = Quantiles(size)
    for value in values:
        quantiles.add(value)

    assert quantiles.quantile(fraction) in (values[-size:] or [0])


def test_sizes_and_fractions_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UsageError):
        Quantiles(0)
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError):
            Quantiles().quantile(fraction)
