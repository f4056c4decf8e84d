"""`torture.aim` on a victim that is no nsqd: what matters here is when it is hit."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.torture.aim import Aim, Killer
from millstream.torture.victim import Victim

SLEEPER = (sys.executable, "-c", "import time; time.sleep(1000)")
IN_RECOVERY = (Aim.RECOVERY, Aim.RECOVERY_WRITE)
UNDER_LOAD = [aim for aim in Aim if aim not in IN_RECOVERY]


class Chosen(random.Random):
    """Chance that chooses one aim, aims at once, and waits as long as it may."""

    def __init__(self, aim: Aim) -> None:
        super().__init__(1)
        self._aim = aim

    def choices(self, population: Sequence[Any], *_args: Any, **_options: Any) -> list[Any]:
        assert self._aim in population
        return [self._aim]

    def random(self) -> float:
        return 0.0 if self._aim is not Aim.RECOVERY else 0.9

    def uniform(self, a: float, b: float) -> float:
        del a
        return b


@pytest.fixture
async def victim(tmp_path: Path) -> AsyncIterator[Victim]:
    one = Victim(SLEEPER, tmp_path, SystemClock(), tcp_port=1, http_port=2)
    await one.spawn()
    yield one
    await one.end()


def grow(journal: Path) -> None:
    journal.write_bytes(bytes(20_000))


def shrink(journal: Path) -> None:
    journal.with_name("new").touch()
    journal.with_name("new").replace(journal)


def happening(aim: Aim, killer: Killer, data_path: Path) -> Callable[[int], object]:
    """What the aim waits for, for the n-th time."""
    journal = data_path / "c.channel"
    match aim:
        case Aim.OK:
            return lambda _: killer.acknowledged()
        case Aim.ANSWER:
            return lambda _: killer.answered()
        case Aim.NEW_SEGMENT:
            return lambda number: (data_path / f"{number:016x}.seg").touch()
        case Aim.SEGMENT_GONE:
            return lambda number: (data_path / f"{number:016x}.seg").unlink(missing_ok=True)
        case Aim.JOURNAL_WRITTEN:
            return lambda number: journal.write_bytes(bytes(number))
        case Aim.JOURNAL_SHRUNK:
            return lambda number: grow(journal) if number % 2 else shrink(journal)
        case Aim.JOURNAL_REPLACED:
            return lambda _: shrink(journal)
        case _:
            return lambda _: None


@pytest.mark.parametrize("aim", UNDER_LOAD)
async def test_a_kill_strikes_when_it_happens(victim: Victim, aim: Aim) -> None:
    is_random = aim is Aim.RANDOM
    killer = Killer(victim, Chosen(aim), seconds_max=0.05 if is_random else 3_600)
    (victim.data_path / "c.channel").touch()
    if aim is Aim.SEGMENT_GONE:
        for number in range(1, 2_000):
            (victim.data_path / f"{number:016x}.seg").touch()
    happens = happening(aim, killer, victim.data_path)
    happens(0)  # before anybody waits for it

    task = asyncio.ensure_future(killer.kill_under_load())
    number = 0
    while not (await asyncio.wait({task}, timeout=0.002))[0]:
        number += 1
        happens(number)

    assert task.result() is aim
    await victim.gone()


@pytest.mark.parametrize("aim", [aim for aim in UNDER_LOAD if aim is not Aim.RANDOM])
async def test_what_does_not_come_in_time_is_a_kill_at_random(victim: Victim, aim: Aim) -> None:
    killer = Killer(victim, Chosen(aim), seconds_max=0.05)

    assert await killer.kill_under_load() is Aim.RANDOM
    await victim.gone()


@pytest.mark.parametrize("expected_s", [None, 0.02])
async def test_recovery_is_killed_while_it_lasts(victim: Victim, expected_s: float | None) -> None:
    killer = Killer(victim, Chosen(Aim.RECOVERY), seconds_max=1)

    assert await killer.kill_in_recovery(expected_s) is Aim.RECOVERY
    await victim.gone()


@pytest.mark.parametrize("aim", UNDER_LOAD)
async def test_whoever_must_hurry_waits_for_nothing(victim: Victim, aim: Aim) -> None:
    killer = Killer(victim, Chosen(aim), seconds_max=3_600)
    task = asyncio.ensure_future(killer.kill_under_load())
    await asyncio.sleep(0)

    killer.hurry()

    assert await task is Aim.RANDOM
    await victim.gone()
    assert await killer.kill_in_recovery(3_600) is Aim.RECOVERY


async def test_recovery_is_killed_when_it_writes(victim: Victim) -> None:
    killer = Killer(victim, Chosen(Aim.RECOVERY_WRITE), seconds_max=1)
    task = asyncio.ensure_future(killer.kill_in_recovery(3_600))
    number = 0
    while not (await asyncio.wait({task}, timeout=0.002))[0]:
        number += 1
        (victim.data_path / f"{number}").touch()

    assert task.result() is Aim.RECOVERY_WRITE
    await victim.gone()


async def test_a_recovery_that_writes_nothing_is_killed_all_the_same(victim: Victim) -> None:
    killer = Killer(victim, Chosen(Aim.RECOVERY_WRITE), seconds_max=1)

    assert await killer.kill_in_recovery(0.02) is Aim.RECOVERY
    await victim.gone()
