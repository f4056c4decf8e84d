import asyncio
import os
import signal

import pytest

from millstream.net.runner import loop_factory, run, stop_event


def test_the_status_of_the_main_coroutine_is_returned() -> None:
    async def main() -> int:
        await asyncio.sleep(0)
        return 3

    assert run(main) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_stop_event(number: signal.Signals) -> None:
    async def main() -> int:
        stopped = stop_event()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(20):
            await stopped.wait()
        return 0

    assert run(main) == 0


def test_what_the_main_coroutine_leaves_running_is_cancelled() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")

    async def main() -> int:
        task = asyncio.get_running_loop().create_task(forever())
        await asyncio.sleep(0)
        assert not task.done()
        return 0

    assert run(main) == 0
    assert ended == ["forever"]


def test_the_environment_asks_for_the_loop_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_LOOP", "asyncio")

    assert loop_factory() is asyncio.new_event_loop


def test_uvloop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")
    monkeypatch.delenv("MILLSTREAM_LOOP", raising=False)

    assert loop_factory() is uvloop.new_event_loop
