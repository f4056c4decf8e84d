"""What the core knows about time: two readings, asked of whoever was handed in.

`base.system.SystemClock` is the real one; `millstream.testing` has one that only moves when told.
"""

from typing import Protocol


class Clock(Protocol):
    """Both readings are integers in nanoseconds."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may jump either way when the host's clock is set."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back. Deadlines are kept on this one."""
        ...
