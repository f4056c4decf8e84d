"""Keeps one process of the plan running: start, output, restart, stop.

The process is started in its own process group, so that a Ctrl-C in the terminal reaches the supervisor alone and a
stop reaches everything the process started.  Its lines go to `supervisor.console`.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final

from millstream.supervisor.console import Console
from millstream.supervisor.plan import ProcessPlan
from millstream.supervisor.restart import RestartCounter, RestartPolicy
from millstream.supervisor.spawn import spawn

LINE_BYTES_MAX: Final = 16 * 1024
# Longer than a reader takes to finish what it has in hand.
STOP_GRACE_S: Final = 15.0
_READ_BYTES: Final = 64 * 1024
_DRAIN_S: Final = 1.0
_REASON_CHARACTERS: Final = 300


class SupervisedProcess:
    """One process and its restarts.

    `start` begins a task that this object owns; `stop` ends the process and awaits the task. `started` is called with
    every new process id.
    """

    def __init__(
        self,
        plan: ProcessPlan,
        console: Console,
        *,
        policy: RestartPolicy,
        started: Callable[["SupervisedProcess"], None],
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        """Nothing runs before `start`."""
        self.plan = plan
        self.pid: int | None = None
        self.restarts = RestartCounter(policy)
        self._console = console
        self._started = started
        self._stop_grace_s = stop_grace_s
        self._last_line = ""
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    def start(self) -> None:
        """Starts the process and keeps it running until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._keep_running(), name=self.plan.name)

    async def stop(self) -> None:
        """Asks the group to end, kills it when it does not in time, and waits. Safe to call twice."""
        self._stopping.set()
        if self._task is None:
            return
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self._task}, timeout=self._stop_grace_s)
        if not done:
            self._console.alarm(self.plan.name, f"did not stop within {self._stop_grace_s:g} s, killed")
            self.kill()
        task, self._task = self._task, None
        await task

    def kill(self) -> None:
        """Kills the group at once; the task ends by itself."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            reason = await self._run_once()
            if self._stopping.is_set():
                return
            delay_ms = self.restarts.exited(round((loop.time() - began) * 1000))
            self._console.alarm(self.plan.name, f"{reason}; restart {self.restarts.total} in {delay_ms} ms")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_ms / 1000)

    async def _run_once(self) -> str:
        try:
            process = await spawn(
                *self.plan.argv,
                output=asyncio.subprocess.PIPE,
                environment=self.plan.environment,
                folder=self.plan.cwd,
            )
        except OSError as error:
            return f"cannot be started - {error}"
        self._process, self.pid = process, process.pid
        self._started(self)
        if self._stopping.is_set():
            # The stop came while the process was being made, when there was nobody to signal.
            self._signal(signal.SIGTERM)
        reader = asyncio.ensure_future(self._copy_output(process))
        try:
            status = await process.wait()
            # What the process started must not outlive it, nor hold its output open.
            self._signal(signal.SIGKILL)
            await asyncio.wait({reader}, timeout=_DRAIN_S)
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            self._process, self.pid = None, None
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        # What it said last is most often why.
        return f"exited with status {status} ({self._last_line[:_REASON_CHARACTERS]})"

    async def _copy_output(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        rest = b""
        while chunk := await process.stdout.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._write(line)
            if len(rest) > LINE_BYTES_MAX:
                self._write(rest)
                rest = b""
        if rest:
            self._write(rest)

    def _write(self, line: bytes) -> None:
        self._last_line = line[:LINE_BYTES_MAX].decode("utf-8", "replace").rstrip("\r")
        self._console.line(self.plan.name, self._last_line)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # The leader's id is the group's; the group may be gone already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
