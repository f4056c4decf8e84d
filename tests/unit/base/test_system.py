import sys
from pathlib import Path
from typing import assert_type

from millstream.base.clock import Clock
from millstream.base.system import (
    SystemClock,
    command_line,
    environment,
    host_name,
    open_descriptors,
    process_id,
    random_bits,
    random_fraction,
    release_memory,
)


def test_the_system_clock_fits_the_clock_of_the_core() -> None:
    clock: Clock = SystemClock()

    assert_type(clock.wall_ns(), int)
    assert clock.wall_ns() > 1_700_000_000 * 10**9
    assert clock.monotonic_ns() <= clock.monotonic_ns()


def test_random_numbers_stay_in_their_range() -> None:
    assert all(0 <= random_bits(4) < 16 for _ in range(100))
    assert all(0 <= random_fraction() < 1 for _ in range(100))
    assert len({random_bits(64) for _ in range(100)}) == 100


def test_the_host_and_the_process_have_names() -> None:
    assert host_name()
    assert process_id() > 1


def test_the_environment_is_a_copy() -> None:
    taken = environment()

    assert taken == environment()
    assert taken is not environment()


def test_an_open_file_is_a_descriptor_more() -> None:
    before = open_descriptors()
    with Path(__file__).open("rb"):
        assert open_descriptors() == before + 1


def test_free_memory_can_be_given_back_where_the_system_can() -> None:
    assert isinstance(release_memory(), bool)


def test_the_command_line_is_what_was_typed() -> None:
    assert command_line() == sys.orig_argv
