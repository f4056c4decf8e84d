"""Which core the brokers run on and which the loads, so that neither takes the other's time.

`broker` starts its processes inside `pinned`, because threads keep what their process was born with; `load` moves
itself. With a single core, or where the system cannot pin, everything stays where it is.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """One core for the brokers and one for the loads; None: anywhere."""

    broker: int | None = None
    load: int | None = None

    @property
    def are_apart(self) -> bool:
        """Whether a load may spin without taking the broker's time."""
        return self.broker is not None and self.broker != self.load


def choose_cores() -> Cores:
    """The first two cores that this process may use."""
    usable = sorted(usable_cores())
    if len(usable) < 2:
        return Cores()
    return Cores(broker=usable[0], load=usable[1])


def usable_cores() -> set[int]:
    """The cores that this process may use; empty where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return set()
    return os.sched_getaffinity(0)


def move_to(core: int | None) -> None:
    """Run this process on one core from now on."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Start processes on one core: they inherit it."""
    if core is None:
        yield
        return
    before = usable_cores()
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
