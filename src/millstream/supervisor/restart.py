"""When a process that exited by itself is started again: pure, told the time it lived, answers with a delay."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """A growing delay that starts over once a process has lived for `stable_ms`."""

    first_ms: int = 200
    factor: int = 2
    max_ms: int = 10_000
    stable_ms: int = 5_000

    def delay_ms(self, restarts_in_a_row: int) -> int:
        """How long to wait before start number `restarts_in_a_row` + 1 (0 for the first restart)."""
        # The exponent is bounded before the power is taken: a process may fail for days.
        return min(self.max_ms, self.first_ms * int(self.factor ** min(restarts_in_a_row, 30)))


class RestartCounter:
    """Counts one process's exits in a row, and all of them."""

    __slots__ = ("_in_a_row", "_policy", "total")

    def __init__(self, policy: RestartPolicy) -> None:
        """Starts with no exit seen."""
        self._policy = policy
        self._in_a_row = 0
        self.total = 0

    def exited(self, lived_ms: int) -> int:
        """Notes an unexpected exit after `lived_ms`, and says how many milliseconds to wait before the next start."""
        if lived_ms >= self._policy.stable_ms:
            self._in_a_row = 0
        delay_ms = self._policy.delay_ms(self._in_a_row)
        self._in_a_row += 1
        self.total += 1
        return delay_ms
