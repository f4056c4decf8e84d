"""What holds the event loop up: where its thread is when it has not come round for a while.

`net.http_debug` runs one for `/debug/pprof/block`. A thread asks the loop for a sign of life over and over, and looks
at its stack when none comes in time. What holds the interpreter as well (compiled code) is seen late, by its caller.
"""

import asyncio
import threading
from collections import Counter
from typing import Final

from millstream.base.clock import Clock
from millstream.net.stacks import Stack, collapsed, stack_of, thread_frames

STACKS_MAX: Final = 1_000

_PAUSE_S: Final = 0.005
_OTHERS: Final = "(others)"
_NS_PER_S: Final = 1_000_000_000
_NS_PER_US: Final = 1_000


class StallWatch:
    """Watches the loop that `thread_id` runs. `run` in another thread; `stop` from any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int, clock: Clock, *, threshold_ns: int) -> None:
        self.stalls = 0
        self._loop = loop
        self._thread_id = thread_id
        self._clock = clock
        self._threshold_s = threshold_ns / _NS_PER_S
        self._stopped = threading.Event()
        self._blocked_ns: Counter[Stack] = Counter()
        self._others_ns = 0

    def run(self) -> None:
        """Watch until stopped."""
        while not self._stopped.wait(_PAUSE_S):
            came_round = threading.Event()
            begun_ns = self._clock.monotonic_ns()
            try:
                self._loop.call_soon_threadsafe(came_round.set)
            except RuntimeError:
                # The loop was closed under us.
                return
            if came_round.wait(self._threshold_s):
                continue
            stack = stack_of(thread_frames().get(self._thread_id))
            while not came_round.wait(_PAUSE_S) and not self._stopped.is_set():
                pass
            self._note(stack, self._clock.monotonic_ns() - begun_ns)

    def stop(self) -> None:
        """Have `run` return soon, with what it saw so far."""
        self._stopped.set()

    def text(self) -> str:
        """One line for each stack, outermost function first, with the microseconds that it held the loop up."""
        found = [f"{collapsed(stack)} {ns // _NS_PER_US}" for stack, ns in self._blocked_ns.most_common()]
        if self._others_ns:
            found.append(f"{_OTHERS} {self._others_ns // _NS_PER_US}")
        return "".join(f"{line}\n" for line in found)

    def _note(self, stack: Stack, blocked_ns: int) -> None:
        self.stalls += 1
        if stack in self._blocked_ns or len(self._blocked_ns) < STACKS_MAX:
            self._blocked_ns[stack] += blocked_ns
        else:
            self._others_ns += blocked_ns
