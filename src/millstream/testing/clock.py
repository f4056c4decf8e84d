"""A clock that stands still until a test moves it: hand it to whatever asks for a `base.clock.Clock`."""

from typing import Final

from millstream.base.errors import UsageError

_NS_PER_MS: Final = 1_000_000
_WALL_START_NS: Final = 1_700_000_000_000_000_000
_MONOTONIC_START_NS: Final = 1_000_000_000_000


class FakeClock:
    """Both readings move together with `advance`; the wall clock alone jumps with `jump_wall`."""

    def __init__(self, *, wall_ns: int = _WALL_START_NS, monotonic_ns: int = _MONOTONIC_START_NS) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        return self._monotonic_ns

    def advance(self, *, ms: int = 0, ns: int = 0) -> None:
        """Let time pass. Raises `UsageError` when it would run backwards."""
        passed_ns = ms * _NS_PER_MS + ns
        if passed_ns < 0:
            raise UsageError(f"time does not run backwards ({passed_ns} ns); jump_wall sets the wall clock back")
        self._wall_ns += passed_ns
        self._monotonic_ns += passed_ns

    def jump_wall(self, *, ms: int) -> None:
        """Set the host's clock forth or, with a negative value, back: what the monotonic reading does not see."""
        self._wall_ns += ms * _NS_PER_MS
