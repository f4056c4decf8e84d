"""The nsqd under torture: a command line that is started on one data path again and again, and killed with `kill -9`.

What it says goes to a file beside its data path, which is read for signs of a mistake when the piece is over. Each
start is in a process group of its own: a Ctrl-C at the terminal does not reach it, a kill reaches all of a wrapper.
"""

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError
from millstream.base.units import Address
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.supervisor.spawn import spawn

START_TIMEOUT_S: Final = 60.0
LOOPBACK: Final = "127.0.0.1"

_POLL_S: Final = 0.004
_SAID_LINES: Final = 5
_LOG_PART_BYTES: Final = 32 << 10
_LINES_MAX: Final = 20
_STATUS_OK: Final = 200
_MISTAKE: Final = re.compile(
    rb"Traceback|Fatal error|Unhandled|exception was never retrieved|Task was destroyed|^panic: |^fatal error: ",
    re.MULTILINE,
)


class NsqdFailed(MillstreamError):
    """Nsqd could not be started, or ended without being told to. Says what it said last."""


class Victim:
    """One data path and the processes on it, one after the other. Call `end` when it is over.

    From `killed_ns` on, by the monotonic clock, the last process did nothing more; 0 until it is killed.
    """

    def __init__(self, command: Sequence[str], folder: Path, clock: Clock, *, tcp_port: int, http_port: int) -> None:
        """`folder` gets the data path and the log; it must exist."""
        self.data_path = folder / "data"
        self.log_path = folder / "nsqd.log"
        self.tcp = Address(LOOPBACK, tcp_port)
        self.http = Address(LOOPBACK, http_port)
        self._command = [
            *command,
            f"--data-path={self.data_path}",
            f"--tcp-address={self.tcp}",
            f"--http-address={self.http}",
        ]
        self._process: asyncio.subprocess.Process | None = None
        self.killed_ns = 0
        self._clock = clock
        self._is_killed = False
        self._log_start = 0
        self.data_path.mkdir()

    async def spawn(self) -> None:
        """Start a process, and do not wait for it. Raises NsqdFailed when there is no such program."""
        self._is_killed = False
        self.killed_ns = 0
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._process = await spawn(*self._command, output=log)
            except OSError as error:
                raise NsqdFailed(f"{self._command[0]} cannot be started - {error.strerror or error}") from error

    async def start(self) -> float:
        """Start a process and wait until it answers `/ping`: the seconds that took. Raises NsqdFailed."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await self.spawn()
        async with HttpClient(request_timeout_ms=round(START_TIMEOUT_S * 1000)) as client:
            while not await self._answers(client):
                if not self.is_running:
                    raise NsqdFailed(f"nsqd did not start, and said: {self._said()}")
                if loop.time() > began_s + START_TIMEOUT_S:
                    self.kill_now()
                    raise NsqdFailed(f"nsqd did not answer within {START_TIMEOUT_S:g} s, and said: {self._said()}")
                await asyncio.sleep(_POLL_S)
        return loop.time() - began_s

    async def _answers(self, client: HttpClient) -> bool:
        try:
            return (await client.get(f"http://{self.http}/ping")).status == _STATUS_OK
        except HttpFailed:
            return False

    def kill_now(self) -> None:
        """Send the `kill -9`, and do not wait. May be called from any thread, and twice."""
        process = self._process
        if process is not None and process.returncode is None:
            self._is_killed = True
            # The leader's id is the group's.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            self.killed_ns = self.killed_ns or self._clock.monotonic_ns()

    async def exited(self) -> None:
        """Wait until the process is gone, however that comes."""
        if self._process is not None:
            await self._process.wait()

    async def gone(self) -> None:
        """Wait until the process is gone. Raises NsqdFailed when it was not by our kill."""
        process, self._process = self._process, None
        if process is None:
            return
        status = await process.wait()
        if not self._is_killed or status != -signal.SIGKILL:
            raise NsqdFailed(f"nsqd ended by itself with status {status}, and said: {self._said()}")

    @property
    def is_running(self) -> bool:
        """Whether there is a process, as far as is known."""
        return self._process is not None and self._process.returncode is None

    def check_running(self) -> None:
        """Raise NsqdFailed when the process has ended by itself."""
        if not self.is_running:
            raise NsqdFailed(f"nsqd ended by itself, and said: {self._said()}")

    async def end(self) -> None:
        """Kill whatever is there."""
        self.kill_now()
        with suppress(NsqdFailed):
            await self.gone()

    def mistakes(self) -> list[str]:
        """Lines of the log that speak of a mistake in the daemon, the first few."""
        found: list[str] = []
        if self.log_path.exists():
            with self.log_path.open("rb") as lines:
                for line in lines:
                    if _MISTAKE.search(line):
                        found.append(line.decode("utf-8", "replace").strip()[:300])
                        if len(found) == _LINES_MAX:
                            break
        return found

    def _said(self) -> str:
        """What the last process said first, which may be followed by pages of usage, and what it said last."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            head = log.read(_LOG_PART_BYTES)
            log.seek(max(log.tell(), self.log_path.stat().st_size - _LOG_PART_BYTES))
            tail = log.read()
        lines = [line.strip() for line in (head + tail).decode("utf-8", "replace").split("\n") if line.strip()]
        shown = lines if len(lines) <= _SAID_LINES else [lines[0], "...", *lines[1 - _SAID_LINES :]]
        return " | ".join(shown) or "nothing"
