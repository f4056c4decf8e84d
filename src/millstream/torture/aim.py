"""Chooses the moment of a kill, and strikes: at random, behind an OK or an operator's answer, at a change of a file.

`torture.piece` asks for one kill per start of nsqd, under load or during recovery. Publishers and operators report
their answers, so that the kill can follow in the same turn of the loop; files are watched by a thread.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Final

from millstream.torture.victim import Victim
from millstream.torture.watch import Change, Watch

_LOAD_MIN_S: Final = 0.03
_LONG_TIMES: Final = 8
_OKS_MAX: Final = 60
_ANSWERS_MAX: Final = 3
_LATE_MAX_S: Final = 0.004
_RECOVERY_GUESS_S: Final = 0.3


class Aim(Enum):
    """What a kill aims at; the value is its name in reports."""

    RANDOM = "at random"
    OK = "behind an OK"
    ANSWER = "behind an operator's answer"
    NEW_SEGMENT = "at a new segment"
    SEGMENT_GONE = "at the end of a segment"
    JOURNAL_WRITTEN = "at a write to a journal"
    JOURNAL_REPLACED = "at the rewrite of a journal"
    JOURNAL_SHRUNK = "at the rewrite of a grown journal"
    RECOVERY = "during recovery"
    RECOVERY_WRITE = "at a write of recovery"


_UNDER_LOAD: Final[Sequence[tuple[Aim, float]]] = (
    (Aim.RANDOM, 0.21),
    (Aim.OK, 0.15),
    (Aim.ANSWER, 0.26),
    (Aim.NEW_SEGMENT, 0.10),
    (Aim.SEGMENT_GONE, 0.08),
    (Aim.JOURNAL_WRITTEN, 0.07),
    (Aim.JOURNAL_REPLACED, 0.05),
    (Aim.JOURNAL_SHRUNK, 0.08),
)
_CHANGES: Final = {
    Aim.NEW_SEGMENT: Change.NEW_SEGMENT,
    Aim.SEGMENT_GONE: Change.SEGMENT_GONE,
    Aim.JOURNAL_WRITTEN: Change.JOURNAL_WRITTEN,
    Aim.JOURNAL_REPLACED: Change.JOURNAL_REPLACED,
    Aim.JOURNAL_SHRUNK: Change.JOURNAL_SHRUNK,
    Aim.RECOVERY_WRITE: Change.ANY,
}


class Killer:
    """Kills one victim, again and again."""

    def __init__(self, victim: Victim, chance: random.Random, *, seconds_max: float) -> None:
        self._victim = victim
        self._chance = chance
        self._seconds_max = seconds_max
        self._oks_left = 0
        self._answers_left = 0
        self._struck = asyncio.Event()
        self._is_hurried = False
        self._loop = asyncio.get_running_loop()

    def hurry(self) -> None:
        """From now on every kill comes at once, also the one that is waited for."""
        self._is_hurried = True
        self._struck.set()

    def acknowledged(self) -> None:
        """A publisher read an OK, and has written it down."""
        if self._oks_left:
            self._oks_left -= 1
            if not self._oks_left:
                self._strike()

    def answered(self) -> None:
        """An operator read an answer, and has written it down."""
        if self._answers_left:
            self._answers_left -= 1
            if not self._answers_left:
                self._strike()

    async def kill_under_load(self) -> Aim:
        """Kill within the time of a round: what was hit; what was aimed at may not have come in time."""
        aims, weights = zip(*_UNDER_LOAD, strict=True)
        aim: Aim = self._chance.choices(aims, weights)[0]
        within_s = self._chance.uniform(_LOAD_MIN_S, max(_LOAD_MIN_S, self._seconds_max))
        if aim is Aim.JOURNAL_SHRUNK:
            # It takes more than a moment until a journal has grown so far that it is rewritten.
            return await self._kill_at(aim, _LONG_TIMES * self._seconds_max)
        if aim is Aim.RANDOM:
            return await self._kill_after(within_s, aim)
        # The first of its kind is most often one of the first milliseconds of load.
        await self._pass(within_s * self._chance.random() / 2)
        return await self._kill_at(aim, within_s)

    async def kill_in_recovery(self, recovery_s: float | None) -> Aim:
        """Kill while nsqd starts, which took about `recovery_s` so far."""
        expected_s = recovery_s or _RECOVERY_GUESS_S
        if self._chance.random() < 0.5:
            return await self._kill_at(Aim.RECOVERY_WRITE, 2 * expected_s, late_or=Aim.RECOVERY)
        # A program is loaded before it recovers anything: most kills are for the second half.
        low_s = self._chance.choice((0.0, 0.6, 0.6, 0.6)) * expected_s
        return await self._kill_after(self._chance.uniform(low_s, 1.15 * expected_s), Aim.RECOVERY)

    async def _kill_after(self, seconds: float, aim: Aim) -> Aim:
        await self._pass(seconds)
        self._strike()
        return aim

    async def _pass(self, seconds: float) -> bool:
        """Let time pass; False when somebody struck meanwhile, or must hurry."""
        if not self._is_hurried:
            self._struck.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._struck.wait()
        except TimeoutError:
            return True
        return False

    async def _kill_at(self, aim: Aim, within_s: float, *, late_or: Aim = Aim.RANDOM) -> Aim:
        change = _CHANGES.get(aim)
        # At once, or just behind it: what follows a change is worth a hit as well.
        late_s = self._chance.choice((0.0, 0.0, self._chance.random() * _LATE_MAX_S))
        strike = partial(self._strike_from_thread, late_s)
        watch = Watch(self._victim.data_path, change, strike) if change is not None else None
        if aim is Aim.OK:
            self._oks_left = self._chance.randint(1, _OKS_MAX)
        if aim is Aim.ANSWER:
            self._answers_left = self._chance.randint(1, _ANSWERS_MAX)
        async with asyncio.TaskGroup() as group:
            if watch is not None:
                group.create_task(asyncio.to_thread(watch.run))
            try:
                if await self._pass(within_s) or self._is_hurried:
                    aim = late_or
            finally:
                self._oks_left = self._answers_left = 0
                self._victim.kill_now()
                if watch is not None:
                    watch.stop()
        return aim

    def _strike(self) -> None:
        self._victim.kill_now()
        self._struck.set()

    def _strike_from_thread(self, late_s: float) -> None:
        if late_s:
            time.sleep(late_s)
        self._victim.kill_now()
        self._loop.call_soon_threadsafe(self._struck.set)
