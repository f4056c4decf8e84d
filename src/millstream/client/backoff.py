"""When a reader slows down, and for how long.

The results of handlers come in from `client.reader`; what the reader has to do about each goes back as a value. Backoff
is a counter: every failure that asks for it adds one, every success takes one away, and each of them starts a pause in
which nothing is delivered. The pause over, one message is let through as a probe, and its result decides again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

# Beyond this the pause is far above any maximum; it keeps the power small.
_EXPONENT_MAX: Final = 40


class Strategy(Enum):
    """How the pause grows with the counter."""

    EXPONENTIAL = "exponential"
    FULL_JITTER = "full_jitter"


class Result(Enum):
    """What became of a message, as far as backoff is concerned."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Pause:
    """Set RDY 0 everywhere, and call `Backoff.resume` after `duration_ms`."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Backoff is over: every connection back to its full share."""


class Backoff:
    """The counter and the pause of one reader; knows no clock and no connection."""

    __slots__ = ("_duration_max_ms", "_multiplier_ms", "_random_fraction", "_strategy", "counter", "is_paused")

    def __init__(
        self,
        *,
        multiplier_ms: int,
        duration_max_ms: int,
        strategy: Strategy,
        random_fraction: Callable[[], float],
    ) -> None:
        """`duration_max_ms` 0 switches backoff off; `random_fraction` gives numbers in [0, 1)."""
        self._multiplier_ms = multiplier_ms
        self._duration_max_ms = duration_max_ms
        self._strategy = strategy
        self._random_fraction = random_fraction
        self.counter = 0
        self.is_paused = False

    @property
    def is_active(self) -> bool:
        """True from the first failure until the counter is back at 0."""
        return self.counter > 0

    def take(self, result: Result) -> Pause | Leave | None:
        """Count one result; None means that nothing changes. Results during a pause do not count."""
        if self.is_paused or self._duration_max_ms == 0:
            return None
        if result is Result.SUCCESS and self.counter > 0:
            self.counter -= 1
            if self.counter == 0:
                return Leave()
        elif result is Result.FAILURE and self._duration_ms(self.counter + 1) <= self._duration_max_ms:
            self.counter += 1
        if self.counter == 0:
            return None
        self.is_paused = True
        return Pause(min(self._duration_ms(self.counter), self._duration_max_ms))

    def resume(self) -> None:
        """The pause is over: results count again. The caller lets one message through."""
        self.is_paused = False

    def _duration_ms(self, counter: int) -> int:
        full_ms = self._multiplier_ms << min(counter, _EXPONENT_MAX)
        if self._strategy is Strategy.FULL_JITTER:
            return int(self._random_fraction() * full_ms)
        return full_ms
