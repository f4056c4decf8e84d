"""The reference system as a user starts it: real processes, real requests, and one of them killed under load."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

START_S = 60
END_S = 75

# Restarting each of them takes part of a second; the rest of the run shows that the stream goes on.
KILLED = (
    "nsqlookupd",
    "nsqd.shortener",
    "nsqd.spam",
    "spam.queuereader_spam",
    "spam_metrics.queuereader_spam_metrics",
    "archive.clicks",
    "shortener.web",
)


class Demo:
    """One `millstream demo`, and what it said so far."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.lines: list[str] = []

    @classmethod
    async def start(cls, folder: Path, *, seconds: int) -> "Demo":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "millstream.cli.main",
            "demo",
            f"--seconds={seconds}",
            "--rate=40",
            "--ports=auto",
            f"--data-dir={folder}",
            f"--summary-json={folder / 'summary.json'}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process, folder)

    async def until(self, pattern: str) -> re.Match[str]:
        """The next line that matches, within a bounded time."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            while line := await self.process.stdout.readline():
                self.lines.append(line.decode())
                if found := re.search(pattern, self.lines[-1]):
                    return found
        raise AssertionError(f"{pattern} was never said:\n{self.said}")

    async def end(self) -> int:
        """Its exit status, once it ended by itself."""
        assert self.process.stdout is not None
        async with asyncio.timeout(END_S):
            while line := await self.process.stdout.readline():
                self.lines.append(line.decode())
            return await self.process.wait()

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def pids(self) -> dict[str, int]:
        (file,) = self.folder.glob("run-*/processes.json")
        return dict(json.loads(file.read_text()))

    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "summary.json").read_text()))


async def _ended(demo: Demo) -> None:
    if demo.process.returncode is None:
        # Twice: the second one kills what it supervises.
        demo.process.send_signal(signal.SIGTERM)
        demo.process.send_signal(signal.SIGTERM)
        await demo.end()


@pytest.mark.timeout(250)
@pytest.mark.shows("program millstream", beyond="runs a system of services on this machine, and the reference system")
async def test_every_event_of_the_demo_is_counted_and_archived(
    tmp_path: Path, is_running: Callable[[int], bool]
) -> None:
    demo = await Demo.start(tmp_path, seconds=4)
    try:
        await demo.until(r"visitors: [1-9]")
        pids = demo.pids()
        status = await demo.end()
    finally:
        await _ended(demo)

    assert status == 0, demo.said
    summary = demo.summary()
    assert summary["restarts"] == {}
    for topic in summary["topics"].values():
        assert 0 < topic["published"] == topic["counted"]["found"] == topic["archived"]["found"]
        assert topic["counted"]["duplicates"] == topic["archived"]["duplicates"] == 0
    assert not any(map(is_running, pids.values()))


@pytest.mark.timeout(250)
@pytest.mark.parametrize("name", KILLED)
async def test_nothing_is_lost_when_a_process_is_killed(tmp_path: Path, name: str) -> None:
    demo = await Demo.start(tmp_path, seconds=6)
    try:
        await demo.until(r"visitors: [1-9]")
        os.kill(demo.pids()[name], signal.SIGKILL)
        await demo.until(rf"{re.escape(name)} +! killed by SIGKILL; restart 1 in")
        await demo.until(rf"{re.escape(name)} +> started")
        status = await demo.end()
    finally:
        await _ended(demo)

    assert status == 0, demo.said
    summary = demo.summary()
    assert summary["restarts"] == {name: 1}
    assert summary["unfinished"] == 0
    for topic in summary["topics"].values():
        assert 0 < topic["published"] == topic["counted"]["found"] == topic["archived"]["found"]
        assert topic["counted"]["missing"] == topic["archived"]["missing"] == 0


@pytest.mark.timeout(250)
async def test_ctrl_c_stops_the_demo_in_order_and_still_checks_the_books(
    tmp_path: Path, is_running: Callable[[int], bool]
) -> None:
    demo = await Demo.start(tmp_path, seconds=0)
    try:
        await demo.until(r"visitors: [1-9]")
        pids = demo.pids()
        demo.process.send_signal(signal.SIGINT)
        status = await demo.end()
    finally:
        await _ended(demo)

    assert status == 0, demo.said
    assert demo.summary()["ok"]
    assert not any(map(is_running, pids.values()))
