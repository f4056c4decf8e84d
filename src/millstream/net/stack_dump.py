"""What every task and every thread of this process is doing right now, as text.

`net.http_debug` shows it for `/debug/pprof/goroutine` and `/debug/pprof/threadcreate`. Tasks at the same place are
counted together, so that a thousand clients of one kind are one entry.
"""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from millstream.net.stacks import awaiting, lines_of, thread_frames

TASKS_MAX: Final = 2_000
THREADS_MAX: Final = 200
NAMES_MAX: Final = 10
NAME_LENGTH_MAX: Final = 100


def tasks_text(loop: asyncio.AbstractEventLoop) -> str:
    """The tasks of a loop, at most `TASKS_MAX`, most frequent place first. Call it in the thread of the loop."""
    tasks = asyncio.all_tasks(loop)
    places: dict[tuple[str, ...], list[str]] = {}
    for task in islice(tasks, TASKS_MAX):
        places.setdefault(awaiting(task.get_coro()), []).append(task.get_name())
    lines = [_heading("tasks", len(tasks), TASKS_MAX)]
    for stack, names in sorted(places.items(), key=lambda entry: -len(entry[1])):
        lines += ["", f"{len(names)} {_listed(names)}", *_indented(stack)]
    return "".join(f"{line}\n" for line in lines)


def threads_text() -> str:
    """The threads that run Python, at most `THREADS_MAX`."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = thread_frames()
    lines = [_heading("threads", len(frames), THREADS_MAX)]
    for ident, frame in islice(frames.items(), THREADS_MAX):
        lines += ["", _shortened(names.get(ident, f"thread {ident}")), *_indented(lines_of(frame))]
    return "".join(f"{line}\n" for line in lines)


def _heading(what: str, count: int, shown_max: int) -> str:
    return f"{what}: {count}" + (f", of which {shown_max} are shown" if count > shown_max else "")


def _listed(names: list[str]) -> str:
    shown = ", ".join(_shortened(name) for name in sorted(names)[:NAMES_MAX])
    return f"{shown}, ..." if len(names) > NAMES_MAX else shown


def _shortened(name: Any) -> str:
    # Names hold what clients have chosen.
    return "".join(char if char.isprintable() else "?" for char in str(name)[:NAME_LENGTH_MAX])


def _indented(stack: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in stack)
