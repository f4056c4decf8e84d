"""Brings a planned system up, keeps it up, and takes it down.

Start order is the plan's stages, each awaited until ready; stop order is the reverse, so that nobody writes to a daemon
that is gone.  `run` is what the commands call: it also listens to the signals.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from millstream.net.http_client import HttpClient
from millstream.supervisor.console import Console
from millstream.supervisor.errors import StartFailed
from millstream.supervisor.plan import Plan, Stage
from millstream.supervisor.process import SupervisedProcess
from millstream.supervisor.readiness import wait_until_ready
from millstream.supervisor.restart import RestartPolicy
from millstream.supervisor.stats import Snapshot, take_snapshot
from millstream.supervisor.statsd import StatsdListener

PROCESSES_FILE: Final = "processes.json"
_READY_AGAIN_S: Final = 30.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class System:
    """A running system; made by `run`, and handed to its body."""

    def __init__(self, plan: Plan, console: Console, statsd: StatsdListener, client: HttpClient) -> None:
        """Nothing runs before `start`."""
        self.plan = plan
        self.console = console
        self.metrics = statsd.metrics
        self.stopping = asyncio.Event()
        self._client = client
        self._settled: set[str] = set()
        self._preparing: set[asyncio.Task[None]] = set()
        self._processes = [
            SupervisedProcess(entry, console, policy=RestartPolicy(), started=self._process_started)
            for entry in plan.processes
        ]

    @property
    def restarts(self) -> dict[str, int]:
        """Process name to how often it was restarted, for those that were."""
        return {one.plan.name: one.restarts.total for one in self._processes if one.restarts.total}

    def say(self, text: str) -> None:
        """Shows a line of the body's own."""
        self.console.text(text)

    async def snapshot(self) -> Snapshot:
        """What every nsqd reports now."""
        return await take_snapshot(self._client, self.plan.nsqd_http_addresses)

    async def start(self, *, timeout_ms: int) -> None:
        """Starts all stages. Raises StartFailed when one is not ready within `timeout_ms`; call `stop` then too."""
        for stage in Stage:
            members = [one for one in self._processes if one.plan.stage is stage]
            for one in members:
                one.start()
            await self._await_stage(members, timeout_ms)
            if self.stopping.is_set():
                return
            late = ", ".join(one.plan.name for one in members if one.plan.name not in self._settled)
            if late:
                raise StartFailed(f"{late}: not ready within {timeout_ms} ms; what it said last is in the log")

    async def stop(self) -> None:
        """Stops stage by stage, web apps first, daemons last. Safe to call twice."""
        for task in list(self._preparing):
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)
        for stage in reversed(Stage):
            await asyncio.gather(*(one.stop() for one in self._processes if one.plan.stage is stage))

    def kill(self) -> None:
        """Kills every process group at once."""
        for one in self._processes:
            one.kill()

    async def _await_stage(self, members: list[SupervisedProcess], timeout_ms: int) -> None:
        async with asyncio.TaskGroup() as group:
            # A user who stops during the start is not kept waiting for it.
            stopping = group.create_task(self.stopping.wait())
            pending = {group.create_task(self._ready(one)) for one in members}
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    while pending and not stopping.done():
                        await asyncio.wait({*pending, stopping}, return_when=asyncio.FIRST_COMPLETED)
                        pending = {task for task in pending if not task.done()}
            except TimeoutError:
                pass  # The caller names those that are late.
            for task in (*pending, stopping):
                task.cancel()

    async def _ready(self, one: SupervisedProcess) -> None:
        await wait_until_ready(self._client, one.plan)
        self._settled.add(one.plan.name)

    def _process_started(self, one: SupervisedProcess) -> None:
        self.console.notice(one.plan.name, f"started, process {one.pid}")
        self._write_processes()
        if one.plan.name in self._settled and one.plan.prepare_urls:
            # After a restart: the topics and channels are in the daemon's metadata, unless that was lost.
            task = asyncio.get_running_loop().create_task(self._prepare_again(one))
            self._preparing.add(task)
            task.add_done_callback(self._preparing.discard)

    async def _prepare_again(self, one: SupervisedProcess) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait_until_ready(self._client, one.plan), _READY_AGAIN_S)

    def _write_processes(self) -> None:
        pids = {one.plan.name: one.pid for one in self._processes if one.pid is not None}
        path = self.plan.data_dir / PROCESSES_FILE
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(pids, indent=1), encoding="utf-8")
        partial.replace(path)


Body = Callable[[System], Awaitable[int]]


async def run(plan: Plan, console: Console, *, start_timeout_ms: int, body: Body) -> int:
    """Runs the system around `body` and returns its status. Raises StartFailed and PortTaken with everything stopped.

    The first SIGINT or SIGTERM sets `System.stopping`, which the body watches; the second kills all processes.
    """
    statsd = await StatsdListener.open(plan.statsd_port)
    client = HttpClient()
    system = System(plan, console, statsd, client)
    try:
        with contextlib.ExitStack() as signals:
            _watch_signals(system, signals)
            async with _up(system, start_timeout_ms):
                if system.stopping.is_set():
                    return 130
                return await body(system)
    finally:
        statsd.close()
        await client.close()


@contextlib.asynccontextmanager
async def _up(system: System, timeout_ms: int) -> AsyncIterator[None]:
    try:
        await system.start(timeout_ms=timeout_ms)
        yield
    finally:
        await system.stop()


async def until_stopped(system: System) -> int:
    """The body of `millstream up`: waits for Ctrl-C."""
    await system.stopping.wait()
    return 0


def say_where(plan: Plan, body: Body) -> Body:
    """`body`, after a list of the addresses to try."""

    async def announced(system: System) -> int:
        for name, address in plan.web_addresses.items():
            system.say(f"{name:<18}http://{address}/")
        for name, address in plan.nsqd_http_addresses.items():
            system.say(f"nsqd {name:<13}http://{address}/stats")
        system.say(f"nsqlookupd        http://{plan.lookupd_http_address}/nodes")
        system.say(f"data and log      {plan.data_dir}; Ctrl-C stops all")
        return await body(system)

    return announced


def _watch_signals(system: System, stack: contextlib.ExitStack) -> None:
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if system.stopping.is_set():
            system.console.alarm("millstream", "killing everything")
            system.kill()
            return
        system.console.notice("millstream", "stopping: web apps, then readers, then daemons; again kills")
        system.stopping.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
        stack.callback(loop.remove_signal_handler, number)
