import asyncio
import threading
import time
from typing import Final

import pytest

from millstream.base.system import SystemClock
from millstream.net.stall_watch import StallWatch

DEADLINE_S: Final = 60


def hold_up() -> None:
    """Keep the loop from coming round."""
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        sum(range(1_000))


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_what_holds_the_loop_up_is_named() -> None:
    loop = asyncio.get_running_loop()
    watch = StallWatch(loop, threading.get_ident(), SystemClock(), threshold_ns=2_000_000)
    watching = loop.run_in_executor(None, watch.run)
    try:
        async with asyncio.timeout(DEADLINE_S):
            while "test_stall_watch.py:hold_up" not in watch.text():
                hold_up()
                await asyncio.sleep(0.01)
    finally:
        watch.stop()
        await watching

    held = [line for line in watch.text().splitlines() if "hold_up" in line]
    assert all(int(line.rpartition(" ")[2]) >= 2_000 for line in held)
    assert watch.stalls >= len(held)


async def test_a_loop_that_comes_round_is_not_named() -> None:
    loop = asyncio.get_running_loop()
    watch = StallWatch(loop, threading.get_ident(), SystemClock(), threshold_ns=60 * 10**9)
    watching = loop.run_in_executor(None, watch.run)
    for _ in range(10):
        await asyncio.sleep(0.01)
    watch.stop()
    await watching

    assert (watch.stalls, watch.text()) == (0, "")


def test_a_loop_that_was_closed_ends_the_watch() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    watch = StallWatch(loop, threading.get_ident(), SystemClock(), threshold_ns=10**9)

    watch.run()

    assert watch.stalls == 0
