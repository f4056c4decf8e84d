"""`torture.pulse`: what the answers of an nsqd prove of its journals."""

import asyncio
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.base.units import Address
from millstream.net.http_client import HttpClient
from millstream.nsqd.turn import SAVE_DELAY_S
from millstream.testing.clock import FakeClock
from millstream.torture.pulse import SAVED_WITHIN_NS, Pulse

MS = 1_000_000
DEADLINE_S = 20


@pytest.fixture
async def pulse() -> Pulse:
    """A pulse that asks nobody: a test says what was answered."""
    return Pulse(HttpClient(), Address("127.0.0.1", 1), FakeClock())


@pytest.mark.parametrize(
    ("beats_ms", "saved_until_ms"),
    [
        ([], 0),
        ([(100, 101)], 0),
        ([(100, 101), (105, 106), (110, 111), (122, 123)], 0),  # nobody knows that the round which saves is over
        ([(100, 101), (105, 106), (110, 111), (121, 123), (127, 128)], 100),
        ([(100, 101), (105, 106), (110, 111), (120, 123), (127, 128)], 0),  # asked for before the save was due
        ([(100, 101), (105, 106), (110, 111), (115, 116), (122, 123), (127, 128)], 100),
        ([(100, 101), (105, 106), (110, 111), (115, 116), (126, 127), (131, 132)], 105),
        # Nsqd was away, and nobody knows what it had read before.
        ([(100, 101), (105, 106), (110, 111), (115, 300), (305, 306), (311, 312)], 100),
        ([(100, 101), (105, 106), (110, 300), (305, 306), (311, 312)], 0),
    ],
)
async def test_five_answers_show_that_a_journal_is_written(
    pulse: Pulse, beats_ms: list[tuple[int, int]], saved_until_ms: int
) -> None:
    for asked_ms, answered_ms in beats_ms:
        pulse.note(asked_ms * MS, answered_ms * MS)

    assert pulse.saved_until_ns() == saved_until_ms * MS


def test_a_save_is_over_by_the_time_that_is_waited_for_it() -> None:
    assert SAVE_DELAY_S * 1e9 + MS < SAVED_WITHIN_NS  # timers of event loops count whole milliseconds


async def test_a_pulse_is_taken_until_nsqd_is_gone(served: Any) -> None:
    clock = SystemClock()
    pulse = Pulse(served.client, served.http, clock)
    began_ns = clock.monotonic_ns()

    taking = asyncio.ensure_future(pulse.run())
    await served.until(lambda: pulse.saved_until_ns() > began_ns)

    assert pulse.saved_until_ns() < clock.monotonic_ns() - SAVED_WITHIN_NS
    await served.nsqd.stop()
    async with asyncio.timeout(DEADLINE_S):
        await taking
