"""A clock that is told the time."""

import pytest

from millstream.base.clock import Clock
from millstream.base.errors import UsageError
from millstream.testing import FakeClock


def test_time_stands_still_until_it_is_told_to_pass() -> None:
    clock: Clock = FakeClock(wall_ns=5, monotonic_ns=7)

    assert (clock.wall_ns(), clock.monotonic_ns()) == (5, 7)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (5, 7)


def test_both_readings_move_together() -> None:
    clock = FakeClock(wall_ns=0, monotonic_ns=100)

    clock.advance(ms=2, ns=3)

    assert (clock.wall_ns(), clock.monotonic_ns()) == (2_000_003, 2_000_103)


def test_a_jump_of_the_wall_clock_leaves_the_monotonic_reading() -> None:
    clock = FakeClock(wall_ns=10_000_000, monotonic_ns=1)

    clock.jump_wall(ms=-4)

    assert (clock.wall_ns(), clock.monotonic_ns()) == (6_000_000, 1)


def test_time_does_not_run_backwards() -> None:
    clock = FakeClock(monotonic_ns=1)

    with pytest.raises(UsageError):
        clock.advance(ms=-1)

    assert clock.monotonic_ns() == 1
