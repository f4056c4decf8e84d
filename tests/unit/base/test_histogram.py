"""`base.histogram`: values fall into the bucket whose bound is not below them."""

import pytest

from millstream.base.errors import UsageError
from millstream.base.histogram import SECONDS, Histogram


def test_a_value_counts_for_every_bound_from_its_own_on() -> None:
    histogram = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.0, 1.5, 4.0, 9.0):
        histogram.add(value)

    assert histogram.cumulative() == [(1.0, 2), (2.0, 3), (4.0, 4)]
    assert (histogram.count, histogram.total, histogram.counts) == (5, 16.0, [2, 1, 1, 1])


def test_a_new_one_is_empty() -> None:
    assert Histogram().cumulative() == [(bound, 0) for bound in SECONDS]


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0)])
def test_bounds_of_no_use_are_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="bounds"):
        Histogram(bounds)
