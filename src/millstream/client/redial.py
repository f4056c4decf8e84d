"""When an address that could not be reached, or was lost, is dialled again.

Each failure makes the delay longer, up to a maximum; chance spreads it, so that the clients of a broker that comes back
do not arrive all at once. A connection that held out longer than the delay before it starts the row anew.
"""

from collections.abc import Callable
from typing import Final

_JITTER: Final = 0.3


class Redial:
    """The delays of one address; knows no clock."""

    __slots__ = ("_delay_max_ms", "_delay_ms", "_delay_min_ms", "_random_fraction")

    def __init__(self, *, delay_min_ms: int, delay_max_ms: int, random_fraction: Callable[[], float]) -> None:
        """`random_fraction` gives numbers in [0, 1)."""
        self._delay_min_ms = delay_min_ms
        self._delay_max_ms = max(delay_min_ms, delay_max_ms)
        self._delay_ms = delay_min_ms
        self._random_fraction = random_fraction

    def reset(self) -> None:
        """The address works: start again with the shortest delay."""
        self._delay_ms = self._delay_min_ms

    def next_delay_ms(self, *, connected_ms: int = 0) -> int:
        """Wait this long before the next attempt; `connected_ms` is how long the last connection held out."""
        if connected_ms > self._delay_ms:
            self._delay_ms = self._delay_min_ms
        delay_ms = self._delay_ms
        self._delay_ms = min(delay_ms * 2, self._delay_max_ms)
        return int(delay_ms * (1 - _JITTER * self._random_fraction()))
