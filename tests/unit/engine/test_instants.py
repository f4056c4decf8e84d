from millstream.engine.instants import Instants
from millstream.testing import FakeClock


class Jittery(FakeClock):
    """Its readings are never taken at quite the same moment."""

    def wall_ns(self) -> int:
        self.advance(ns=137)
        return super().wall_ns()


def test_an_instant_there_and_back_is_the_same_to_the_nanosecond() -> None:
    clock = Jittery()
    instants = Instants(clock)
    wall_ns = 1_900_000_000_123_456_789

    first = instants.monotonic_ns(wall_ns)
    clock.advance(ms=90_000)

    assert instants.monotonic_ns(wall_ns) == first
    assert instants.wall_ns(first) == wall_ns


def test_a_wall_clock_that_is_set_changes_what_comes_from_then_on() -> None:
    clock = FakeClock()
    instants = Instants(clock)
    due_ns = instants.monotonic_ns(clock.wall_ns() + 500)

    clock.jump_wall(ms=3_600_000)

    assert due_ns == clock.monotonic_ns() + 500
    assert instants.wall_ns(due_ns) == clock.wall_ns() + 500
    assert instants.monotonic_ns(clock.wall_ns()) == clock.monotonic_ns()
