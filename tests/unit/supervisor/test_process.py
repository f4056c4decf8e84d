import asyncio
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from millstream.supervisor.console import Console
from millstream.supervisor.plan import ProcessPlan, Stage
from millstream.supervisor.process import LINE_BYTES_MAX, STOP_GRACE_S, SupervisedProcess
from millstream.supervisor.restart import RestartPolicy

FAST = RestartPolicy(first_ms=1, max_ms=10)
DEADLINE_S = 20


class Watch:
    """A console whose lines can be waited for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = asyncio.Event()
        self.console = Console(io.StringIO())
        self.console.redirect(self._take)

    def _take(self, line: str) -> None:
        self.lines.append(line)
        self._changed.set()

    async def until(self, text: str, *, times: int = 1) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while sum(text in line for line in self.lines) < times:
                self._changed.clear()
                await self._changed.wait()


def _process(
    watch: Watch, code: str, *, started: list[int | None] | None = None, stop_grace_s: float = STOP_GRACE_S
) -> SupervisedProcess:
    pids = started if started is not None else []
    plan = ProcessPlan(
        name="it",
        stage=Stage.WORKERS,
        argv=(sys.executable, "-u", "-c", code),
        cwd=Path.cwd(),
        environment=dict(os.environ),
    )
    return SupervisedProcess(
        plan, watch.console, policy=FAST, started=lambda one: pids.append(one.pid), stop_grace_s=stop_grace_s
    )


async def test_what_a_process_says_gets_into_the_log() -> None:
    watch = Watch()
    process = _process(watch, "import sys, time; print('out'); print('err', file=sys.stderr); time.sleep(60)")

    process.start()
    await watch.until("| out")
    await watch.until("| err")
    await process.stop()

    assert process.pid is None
    assert process.restarts.total == 0


async def test_a_process_that_exits_is_said_loudly_and_started_again() -> None:
    watch, pids = Watch(), list[int | None]()
    process = _process(watch, "print('why'); raise SystemExit(3)", started=pids)

    process.start()
    await watch.until("! exited with status 3 (why); restart", times=3)
    await process.stop()

    assert process.restarts.total >= 3
    assert len(set(pids)) >= 3


async def test_a_killed_process_is_named_by_its_signal() -> None:
    watch = Watch()
    process = _process(watch, "import os; os.kill(os.getpid(), 9)")

    process.start()
    await watch.until("! killed by SIGKILL; restart 1")
    await process.stop()


async def test_a_program_that_is_not_there_is_tried_again() -> None:
    watch = Watch()
    plan = ProcessPlan(name="it", stage=Stage.WEB, argv=("/no/such/program",), cwd=Path.cwd(), environment={})
    process = SupervisedProcess(plan, watch.console, policy=FAST, started=lambda _: None)

    process.start()
    await watch.until("cannot be started", times=2)
    await process.stop()


async def test_a_stop_reaches_what_the_process_started(is_running: Callable[[int], bool]) -> None:
    watch = Watch()
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    process = _process(watch, code + "print('child', p.pid); p.wait()")

    process.start()
    await watch.until("| child")
    child = int(next(line for line in watch.lines if "child" in line).split()[-1])
    await process.stop()

    async with asyncio.timeout(DEADLINE_S):
        while is_running(child):  # noqa: ASYNC110 - nobody's child any more: only its state tells
            await asyncio.sleep(0.01)


async def test_a_process_that_ignores_the_stop_is_killed() -> None:
    watch = Watch()
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    process = _process(watch, code, stop_grace_s=0.05)

    process.start()
    await watch.until("| deaf")
    await process.stop()

    assert any("did not stop within" in line for line in watch.lines)


async def test_a_line_without_end_is_cut() -> None:
    watch = Watch()
    process = _process(watch, "import sys, time; sys.stdout.write('x' * 200_000 + '\\nend\\n'); time.sleep(60)")

    process.start()
    await watch.until("| end")
    await process.stop()

    assert max(len(line) for line in watch.lines) <= LINE_BYTES_MAX + 100
