"""Runs the main coroutine of a process on the best event loop there is, and turns signals into an event.

`cli` calls `run` once, with the coroutine that `service` makes; that one waits for `stop_event`. uvloop is used where
it is installed; `MILLSTREAM_LOOP=asyncio` asks for Python's own loop.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from millstream.base.system import environment

_LOOP_VARIABLE: Final = "MILLSTREAM_LOOP"

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Runs `main()` to its end and returns its exit status.

    What is left when it ends (tasks, asynchronous generators, threads of the default executor) is cancelled or waited
    for. A SIGINT that `main` does not handle cancels it and is raised as KeyboardInterrupt.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main())


def loop_factory() -> LoopFactory:
    """The maker of the event loop that this process is to use."""
    if environment().get(_LOOP_VARIABLE, "") == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415 - it may be missing, and costs start-up time where it is not wanted
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def on_signal(number: signal.Signals, action: Callable[[], None]) -> None:
    """Have `action` called on the running loop, for as long as that lives, when the process gets this signal."""
    asyncio.get_running_loop().add_signal_handler(number, action)


def stop_event() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set from now on, for as long as the running loop lives."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    return event
