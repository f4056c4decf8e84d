"""From the wall clock, which deferred messages are published and journaled with, to the monotonic one, and back.

A channel waits on the monotonic clock, so that a wall clock that is set back delays nothing. Both clocks are read when
somebody asks, but never at quite the same moment: the distance between them is remembered, so that the same instant
always comes out to the nanosecond, until the wall clock is really set.
"""

from typing import Final

from millstream.base.clock import Clock

_SET_NS: Final = 1_000_000_000


class Instants:
    """Translates instants, all in ns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._distance_ns = clock.wall_ns() - clock.monotonic_ns()

    @property
    def distance_ns(self) -> int:
        """How far the wall clock is ahead of the monotonic one; less than a second's change is none."""
        distance_ns = self._clock.wall_ns() - self._clock.monotonic_ns()
        if abs(distance_ns - self._distance_ns) > _SET_NS:
            self._distance_ns = distance_ns
        return self._distance_ns

    def monotonic_ns(self, wall_ns: int) -> int:
        """An instant of the wall clock on the monotonic one."""
        return wall_ns - self.distance_ns

    def wall_ns(self, monotonic_ns: int) -> int:
        """An instant of the monotonic clock on the wall clock."""
        return monotonic_ns + self.distance_ns
