"""A histogram of durations in fixed buckets, as Prometheus reads it: cheap to add to, never forgetting.

The sync thread's rounds and the loop's lag are counted in one each; `nsqd.metrics` writes them out.
"""

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from millstream.base.errors import UsageError

# From well below a fast disk's sync to well above what anybody waits for.
SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """`counts[i]` is how many values are at most `bounds[i]` and above the bound before; the last is all beyond."""

    __slots__ = ("bounds", "count", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        if not bounds or any(low >= high for low, high in itertools.pairwise(bounds)):
            raise UsageError(f"bounds are {tuple(bounds)}: give at least one, ascending")
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.count = 0
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.count += 1
        self.total += value

    def cumulative(self) -> list[tuple[float, int]]:
        """For each bound, how many values are at most that."""
        found: list[tuple[float, int]] = []
        passed = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            passed += count
            found.append((bound, passed))
        return found
