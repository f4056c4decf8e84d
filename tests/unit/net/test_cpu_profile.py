"""Only CPU time counts: tests burn it until it was seen, however long that takes."""

import signal
import threading
import time
from typing import Final

import pytest

from millstream.net.cpu_profile import CpuProfile, ProfileUnavailable

DEADLINE_S: Final = 60


def burn(profile: CpuProfile, samples: int) -> int:
    end = time.monotonic() + DEADLINE_S
    total = 0
    while profile.samples < samples:
        assert time.monotonic() < end, "nothing was seen"
        total += sum(range(1_000))
    return total


def test_what_uses_the_cpu_is_seen_and_what_waits_is_not() -> None:
    profile = CpuProfile()
    profile.start()
    try:
        burn(profile, 5)
        before = profile.samples
        with pytest.raises(ProfileUnavailable, match="already"):
            CpuProfile().start()
    finally:
        profile.stop()

    lines = profile.text().splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == profile.samples >= before
    assert any("test_cpu_profile.py:burn" in line for line in lines)


def test_a_signal_that_comes_too_late_does_no_harm() -> None:
    profile = CpuProfile()
    profile.start()
    profile.stop()
    seen = profile.samples

    signal.raise_signal(signal.SIGPROF)

    assert profile.samples == seen
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_outside_of_the_main_thread_there_is_none() -> None:
    caught: list[str] = []

    def attempt() -> None:
        try:
            CpuProfile().start()
        except ProfileUnavailable as error:
            caught.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(DEADLINE_S)

    assert len(caught) == 1
    assert "main thread" in caught[0]


def test_nothing_seen_is_no_text() -> None:
    assert CpuProfile().text() == ""
