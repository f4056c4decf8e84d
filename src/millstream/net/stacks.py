"""Stacks as text: what a thread is doing, and what a coroutine waits in.

`net.cpu_profile`, `net.stall_watch` and `net.stack_dump` take frames from the interpreter and print them with this.
Only places in the code are shown, never values. Compiled functions have no frames: their callers stand for them.
"""

import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Final

DEPTH_MAX: Final = 64

# A coroutine and a generator that is used as one have the same by other names.
_FRAME_AND_AWAITED: Final = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"))

Stack = tuple[CodeType, ...]
"""Functions of a stack, the innermost first."""


def stack_of(frame: FrameType | None) -> Stack:
    """The functions that a frame is in, at most `DEPTH_MAX` of them, without their lines."""
    found: list[CodeType] = []
    while frame is not None and len(found) < DEPTH_MAX:
        found.append(frame.f_code)
        frame = frame.f_back
    return tuple(found)


def collapsed(stack: Stack) -> str:
    """A stack on one line, the outermost function first: what flame graphs are drawn from."""
    return ";".join(place(code).replace(" ", "_").replace(";", "_") for code in reversed(stack))


def place(code: CodeType) -> str:
    """A function with the end of the path of its file."""
    path = "/".join(code.co_filename.replace("\\", "/").split("/")[-3:])
    return f"{path}:{code.co_qualname}"


def thread_frames() -> dict[int, FrameType]:
    """What each thread of this process is doing now, by the thread's number."""
    return sys._current_frames()  # noqa: SLF001 - documented, and the only way


def lines_of(frame: FrameType | None) -> tuple[str, ...]:
    """The frames of a thread with their lines, the innermost first."""
    found: list[str] = []
    while frame is not None and len(found) < DEPTH_MAX:
        found.append(_line(frame))
        frame = frame.f_back
    return tuple(found)


def awaiting(coroutine: Any) -> tuple[str, ...]:
    """Where a coroutine that does not run is, with lines, what it awaits first. Empty for one that has ended.

    It ends where something else is awaited: a future, or the next item of an asynchronous generator.
    """
    return tuple(reversed([_line(frame) for frame in _awaited_frames(coroutine)]))


def _awaited_frames(awaited: Any) -> Iterator[FrameType]:
    for _ in range(DEPTH_MAX):
        for frame_name, awaited_name in _FRAME_AND_AWAITED:
            frame = getattr(awaited, frame_name, None)
            if frame is not None:
                yield frame
                awaited = getattr(awaited, awaited_name, None)
                break
        else:
            return


def _line(frame: FrameType) -> str:
    return f"{place(frame.f_code)}:{frame.f_lineno}"
