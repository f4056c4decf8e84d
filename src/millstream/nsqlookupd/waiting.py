"""Lookups that wait: each consumer sleeps here until the producers of its topic differ from those that it knows.

`nsqlookupd.http` lets a request wait, the registry tells of changes. Changes of one turn of the loop are looked at
together, once for each topic; those that only the passing of time makes, a tombstone that ends or an nsqd that stays
silent, are looked at when they are due.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from millstream.nsqlookupd.records import lookup_version
from millstream.nsqlookupd.registry import Registry

WAIT_MS_MAX: Final = 60_000

_NS_PER_S: Final = 1_000_000_000
_SOONEST_S: Final = 0.05


@dataclass(slots=True, eq=False)
class _Waiter:
    known: str
    woken: asyncio.Event


class LookupWaiters:
    """Everybody who waits on one registry, up to a limit. Belongs to the running loop; `close` it before the server."""

    def __init__(self, registry: Registry, *, waiters_max: int) -> None:
        self.refused = 0
        self._registry = registry
        self._waiters_max = waiters_max
        self._waiters: dict[str, set[_Waiter]] = {}
        self._count = 0
        self._dirty: set[str] = set()
        self._is_closed = False
        registry.watch(self._note)

    @property
    def count(self) -> int:
        """How many wait."""
        return self._count

    async def wait(self, topic: str, known: str, wait_ms: int) -> None:
        """Returns when the version of a topic is another than `known`, or after `wait_ms`; at once when all is full."""
        if self._is_closed or self._count >= self._waiters_max:
            self.refused += 1
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait_ms, WAIT_MS_MAX) / 1000
        waiter = _Waiter(known, asyncio.Event())
        self._waiters.setdefault(topic, set()).add(waiter)
        self._count += 1
        try:
            while not waiter.woken.is_set() and self._version(topic) == known:
                left_s = deadline - loop.time()
                if left_s <= 0:
                    return
                due_ns = self._registry.next_change_ns(topic)
                if due_ns is not None:
                    left_s = min(left_s, max(due_ns / _NS_PER_S, _SOONEST_S))
                try:
                    async with asyncio.timeout(left_s):
                        await waiter.woken.wait()
                except TimeoutError:
                    continue
        finally:
            self._count -= 1
            others = self._waiters[topic]
            others.discard(waiter)
            if not others:
                del self._waiters[topic]

    def look_again(self) -> None:
        """Something that concerns every topic has changed."""
        for topic in self._waiters:
            self._note(topic)

    def close(self) -> None:
        """Everybody is answered now, and nobody waits any more."""
        self._is_closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.woken.set()

    def _note(self, topic: str) -> None:
        if topic not in self._waiters:
            return
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._look)
        self._dirty.add(topic)

    def _look(self) -> None:
        for topic in self._dirty & self._waiters.keys():
            version = self._version(topic)
            for waiter in self._waiters[topic]:
                if waiter.known != version:
                    waiter.woken.set()
        self._dirty.clear()

    def _version(self, topic: str) -> str:
        return lookup_version(self._registry.lookup(topic))
