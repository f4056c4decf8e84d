import asyncio
import threading

from millstream.net.stack_dump import NAMES_MAX, TASKS_MAX, tasks_text, threads_text


async def wait_for(event: asyncio.Event) -> None:
    await event.wait()


async def test_tasks_at_one_place_are_counted_together() -> None:
    event = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(NAMES_MAX + 2):
            group.create_task(wait_for(event), name=f"reader {number:02}\n\x1b[31m" + "x" * 200)
        await asyncio.sleep(0)
        dump = tasks_text(asyncio.get_running_loop())
        event.set()

    heading, _, first, *places = dump.splitlines()
    assert heading == f"tasks: {NAMES_MAX + 3}"
    assert first.startswith(f"{NAMES_MAX + 2} reader 00??[31mxxx")
    assert first.endswith("x, ...")
    assert len(first) < 1_200
    assert places[0].startswith("    ")
    assert "asyncio/locks.py:Event.wait:" in places[0]
    assert "test_stack_dump.py:wait_for:" in places[1]
    assert places[2] == ""
    assert dump.isascii()


async def test_of_very_many_tasks_some_are_left_out() -> None:
    event = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS_MAX + 10):
            group.create_task(wait_for(event))
        await asyncio.sleep(0)
        dump = tasks_text(asyncio.get_running_loop())
        event.set()

    assert dump.startswith(f"tasks: {TASKS_MAX + 11}, of which {TASKS_MAX} are shown\n")
    assert len(dump) < 10_000


def test_threads_have_their_names_and_places() -> None:
    started, ended = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        ended.wait()

    thread = threading.Thread(target=work, name="a worker")
    thread.start()
    started.wait()
    dump = threads_text()
    ended.set()
    thread.join()

    blocks = dump.split("\n\n")
    assert any(block.startswith("a worker\n") and "test_stack_dump.py" in block for block in blocks)
    assert any("test_threads_have_their_names_and_places" in block for block in blocks)
