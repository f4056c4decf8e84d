"""Quantiles of the latest values of a series: latencies, batch sizes, whatever a part measures about itself.

Values come from the part that measures; the readers are its `stats()` records and through them HTTP and statsd.
"""

from millstream.base.errors import UsageError


class Quantiles:
    """Keeps the latest `size` values in a ring, so that memory is fixed and old load is forgotten.

    `count` and `total` run over every value ever added; the quantiles over those kept.
    """

    __slots__ = ("_next", "_size", "_values", "count", "total")

    def __init__(self, size: int = 1024) -> None:
        if size < 1:
            raise UsageError(f"size is {size}: keep at least one value")
        self._size = size
        self._values: list[float] = []
        self._next = 0
        self.count = 0
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value, at constant cost."""
        self.count += 1
        self.total += value
        if len(self._values) < self._size:
            self._values.append(value)
            return
        self._values[self._next] = value
        self._next = (self._next + 1) % self._size

    def quantile(self, fraction: float) -> float:
        """Return the smallest kept value that at least `fraction` of those kept do not exceed; 0 when there is none.

        Sorts what is kept: for `stats()`, not for the data path. Raises UsageError unless 0 <= fraction <= 1.
        """
        if not 0 <= fraction <= 1:
            raise UsageError(f"fraction is {fraction}: use 0 to 1")
        if not self._values:
            return 0.0
        ordered = sorted(self._values)
        # Nearest rank: ceil(fraction * n), without a float's error making 0.95 * 20 into 19.000000000000004.
        rank = -int(-round(fraction * len(ordered), 9) // 1)
        return ordered[max(rank, 1) - 1]

    def mean(self) -> float:
        """Return the mean of every value ever added; 0 when there is none."""
        return self.total / self.count if self.count else 0.0

    def clear(self) -> None:
        """Forget every value and both sums."""
        self._values.clear()
        self._next = self.count = 0
        self.total = 0.0
