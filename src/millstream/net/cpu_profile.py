"""Where the CPU time of this process goes: a look at the stack of the main thread for every ten milliseconds of it.

`net.http_debug` runs one at a time for `/debug/pprof/profile`. A timer of the system counts CPU time, not the clock's,
and sends a signal: so a daemon that waits is not looked at. A thread that looks at another one cannot do this: it gets
its turn when the event loop goes to wait, and sees nothing but that.
"""

import signal
from collections import Counter
from types import FrameType
from typing import Final

from millstream.base.errors import MillstreamError
from millstream.net.stacks import Stack, collapsed, stack_of

INTERVAL_MS: Final = 10
STACKS_MAX: Final = 10_000

_OTHERS: Final = "(others)"


class ProfileUnavailable(MillstreamError):
    """This process cannot be profiled: its event loop is not in the main thread, or the system has no such timer."""


class CpuProfile:
    """One profile: `start` it, let time pass, `stop` it, read `text`. Only one may run in a process."""

    def __init__(self) -> None:
        self.samples = 0
        self._counts: Counter[Stack] = Counter()
        self._others = 0

    def start(self) -> None:
        """Look at the main thread from now on. Raises ProfileUnavailable."""
        try:
            if any(signal.getitimer(signal.ITIMER_PROF)):
                raise ProfileUnavailable("this process is being profiled already")
            signal.signal(signal.SIGPROF, self._look)
            # System calls that the signal interrupts go on by themselves.
            signal.siginterrupt(signal.SIGPROF, False)
        except (ValueError, AttributeError) as error:
            raise ProfileUnavailable(str(error)) from error
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_MS / 1000, INTERVAL_MS / 1000)

    def stop(self) -> None:
        """Look no more."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        # Not the system's default: a signal that is on its way would end the process.
        signal.signal(signal.SIGPROF, _come_too_late)

    def text(self) -> str:
        """One line for each stack, outermost function first, with how often it was seen; the most frequent first."""
        found = [f"{collapsed(stack)} {count}" for stack, count in self._counts.most_common()]
        if self._others:
            found.append(f"{_OTHERS} {self._others}")
        return "".join(f"{line}\n" for line in found)

    def _look(self, _number: int, frame: FrameType | None) -> None:
        self.samples += 1
        stack = stack_of(frame)
        if stack in self._counts or len(self._counts) < STACKS_MAX:
            self._counts[stack] += 1
        else:
            self._others += 1


def _come_too_late(_number: int, _frame: FrameType | None) -> None:
    """The profile that asked for this signal is over."""
