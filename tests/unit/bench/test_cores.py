"""Cores are two when there are two; what is started inside `pinned` stays there."""

import os
import subprocess
import sys

import pytest

from millstream.bench.cores import Cores, choose_cores, move_to, pinned, usable_cores

SHOW = "import os; print(sorted(os.sched_getaffinity(0)))"

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin")


def test_broker_and_load_get_a_core_each_where_there_are_two() -> None:
    cores = choose_cores()

    assert cores.are_apart == (len(usable_cores()) > 1)


def test_one_core_is_shared_without_pinning() -> None:
    assert not Cores().are_apart
    assert not Cores(broker=0, load=0).are_apart


def test_a_process_started_inside_is_pinned_and_this_one_is_not() -> None:
    before = usable_cores()
    core = min(before)

    with pinned(core):
        done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == f"[{core}]"
    assert usable_cores() == before


def test_without_a_core_nothing_moves() -> None:
    before = usable_cores()

    move_to(None)
    with pinned(None):
        assert usable_cores() == before
