"""Quantiles of a stream in little memory, each within one percent of the value.

`engine.latency` adds a value per finished message and keeps two sketches per channel; `nsqd.stats` asks for quantiles
of several sketches together. A sketch counts values in buckets that grow with them. Unlike a summary of ranks (GK, or
the targeted quantiles of NSQ) it costs the same in whatever order values come, and several merge without a loss.
"""

from collections.abc import Iterable, Sequence

from millstream.base.errors import UsageError

# 64 buckets per power of two: a bucket's middle is at most 1/128 away from what lies in it.
_BITS = 6
_EXACT_BELOW = 2 << _BITS


class Sketch:
    """Counts integers from 0 on. `count` is how many were added, `lowest` and `highest` are kept as they are.

    Memory is at most 64 counters per power of two that the values cover.
    """

    __slots__ = ("count", "counts", "highest", "lowest")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.lowest = 0
        self.highest = 0

    def add(self, value: int) -> None:
        """Take one value, at constant cost. Raises UsageError when it is below 0."""
        if value < 0:
            raise UsageError(f"value is {value}: use 0 or more")
        shift = value.bit_length() - _BITS - 1
        bucket = value if shift <= 0 else (shift << _BITS) + (value >> shift)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        if value > self.highest:
            self.highest = value
        if value < self.lowest or self.count == 0:
            self.lowest = value
        self.count += 1

    def clear(self) -> None:
        """Forget everything."""
        self.counts.clear()
        self.count = self.lowest = self.highest = 0


def quantiles(sketches: Iterable[Sketch], fractions: Sequence[float]) -> list[int]:
    """For each fraction the value that this part of everything in the sketches does not exceed; 0 when they are empty.

    Raises UsageError unless 0 <= fraction <= 1.
    """
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise UsageError(f"fraction is {fraction}: use 0 to 1")
    filled = [sketch for sketch in sketches if sketch.count]
    if not filled:
        return [0] * len(fractions)
    counts: dict[int, int] = {}
    for sketch in filled:
        for bucket, count in sketch.counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
    total = sum(sketch.count for sketch in filled)
    lowest = min(sketch.lowest for sketch in filled)
    highest = max(sketch.highest for sketch in filled)
    # Nearest rank: ceil(fraction * n), without a float's error making 0.95 * 20 into 19.000000000000004.
    ranks = {fraction: max(1, -int(-round(fraction * total, 6) // 1)) for fraction in fractions}
    found: dict[int, int] = {1: lowest, total: highest}
    wanted = sorted(set(ranks.values()) - found.keys(), reverse=True)
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        while wanted and wanted[-1] <= passed:
            found[wanted.pop()] = min(max(_middle(bucket), lowest), highest)
    return [found[ranks[fraction]] for fraction in fractions]


def _middle(bucket: int) -> int:
    if bucket < _EXACT_BELOW:
        return bucket
    shift = (bucket >> _BITS) - 1
    lead = bucket % (1 << _BITS) + (1 << _BITS)
    return (lead << shift) + (1 << (shift - 1))
