import asyncio
import inspect
import threading
from collections.abc import Generator
from types import FrameType, coroutine
from typing import Any

from millstream.net.stacks import DEPTH_MAX, awaiting, collapsed, lines_of, place, stack_of, thread_frames


def here() -> FrameType:
    frame = inspect.currentframe()
    assert frame is not None
    return frame


def deep(depth: int) -> FrameType:
    return deep(depth - 1) if depth else here()


def test_a_stack_names_functions_from_the_inside_out() -> None:
    stack = stack_of(here())

    assert [code.co_name for code in stack[:2]] == ["here", "test_a_stack_names_functions_from_the_inside_out"]
    assert collapsed(stack).endswith("net/test_stacks.py:here")
    assert stack_of(None) == lines_of(None) == ()


def test_a_stack_without_end_is_cut() -> None:
    assert len(stack_of(deep(500))) == len(lines_of(deep(500))) == DEPTH_MAX


def test_lines_say_where_in_a_function() -> None:
    frame = here()

    assert lines_of(frame)[0] == f"unit/net/test_stacks.py:here:{frame.f_lineno}"


def test_a_name_does_not_break_the_line_of_a_flame_graph() -> None:
    odd: dict[str, FrameType] = {}
    exec(compile("import sys\ndef f(): return sys._getframe()\nframe = f()", "a; b/c d.py", "exec"), odd)

    assert place(odd["frame"].f_code) == "a; b/c d.py:f"
    assert collapsed(stack_of(odd["frame"])[:1]) == "a__b/c_d.py:f"


@coroutine
def old_style(gate: asyncio.Event) -> Generator[Any, None, None]:
    yield from gate.wait().__await__()


async def test_what_a_coroutine_awaits_is_followed() -> None:
    gate = asyncio.Event()

    async def inner() -> None:
        await old_style(gate)

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)

    places = [line.rsplit(":", 2)[1].rpartition(".")[2] for line in awaiting(task.get_coro())]
    assert places[-3:] == ["old_style", "inner", "outer"]
    gate.set()
    await task
    assert awaiting(task.get_coro()) == ()


def test_what_is_no_coroutine_is_nowhere() -> None:
    assert awaiting(object()) == ()


def test_every_thread_has_its_frame() -> None:
    stack = stack_of(thread_frames()[threading.get_ident()])

    assert "test_every_thread_has_its_frame" in [code.co_name for code in stack]
