"""Lets time pass in the engine: timeouts and deferred messages, twenty times a second; and sees how late it comes.

Every fifth time it has the host look at the disk, and every twentieth try again what had trouble.

`nsqd.service` starts it with the daemon and stops it before the broker is closed. What comes due is marked for the
turn, which deals it.
"""

import asyncio
from typing import Final

from millstream.nsqd.host import Host

TICK_S: Final = 0.05
DISK_TICKS: Final = 5
RETRY_TICKS: Final = 20


class Ticker:
    """Ticks the broker of a host until stopped."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._ticks = 0

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + TICK_S
        self._timer = loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        host = self._host
        host.loop_lag_s.add(max(0.0, asyncio.get_running_loop().time() - self._due_s))
        for topic, channel in host.broker.tick(host.clock.monotonic_ns()):
            host.turn.mark(topic, channel)
        host.limits.tick()
        self._ticks += 1
        if self._ticks % DISK_TICKS == 0:
            host.look_after_disk(retries=self._ticks % RETRY_TICKS == 0)
        self.start()

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
