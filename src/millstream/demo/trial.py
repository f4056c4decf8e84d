"""One run of the demo: visitors come, the stream runs, and at the end the books must balance.

The running system is handed in (`cli.demo` makes it with `millstream.supervisor`); the visitors are a process that this
module owns.  Numbers are collected by `demo.evidence`, compared by `demo.books`, told by `demo.summary`.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from millstream.demo.books import Books
from millstream.demo.evidence import Evidence, LedgerFile, Metrics
from millstream.demo.summary import summary_json, summary_lines
from millstream.supervisor.spawn import spawn

VISITORS_STOP_S: Final = 40.0
_PAUSE_S: Final = 0.3
# Stopped before they had begun, visitors end by the signal itself.
_ENDED_WELL: Final = (0, -signal.SIGTERM)


class Snapshot(Protocol):
    """What all nsqd report at one moment."""

    @property
    def unfinished(self) -> int:
        """Messages on their way."""
        ...

    @property
    def silent(self) -> tuple[str, ...]:
        """The nsqd that did not answer."""
        ...


class Stage(Protocol):
    """The running system, as far as a trial needs it."""

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the user asked to stop."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The statsd sums."""
        ...

    @property
    def restarts(self) -> dict[str, int]:
        """Which process was restarted how often."""
        ...

    async def snapshot(self) -> Snapshot:
        """Asks all nsqd."""
        ...

    def say(self, text: str) -> None:
        """Shows a line to the user."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the trial finds what it drives and what it checks."""

    web_address: str
    nsqd_http_address: str
    data_dir: Path
    archive_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOptions:
    """How long and how hard. `seconds` 0 runs until the user stops it."""

    seconds: float
    rate_per_s: float
    clicks: Path | None
    summary_json: Path | None
    settle_s: float = 45.0
    """How long what is under way may take to arrive, once the visitors have gone."""


@dataclass(slots=True)
class Trial:
    """Run it once."""

    stage: Stage
    places: Places
    options: TrialOptions
    environment: Mapping[str, str]
    ledger: LedgerFile = field(init=False)

    def __post_init__(self) -> None:
        """Names the ledger's file."""
        self.ledger = LedgerFile(self.places.data_dir / "visitors.jsonl")

    def notes(self) -> list[str]:
        """Lines for the live table: what the visitors were told."""
        self.ledger.read()
        return [f"visitors: {self.ledger.answered} events acknowledged by http://{self.places.web_address}/"]

    async def run(self) -> int:
        """Drives visitors, waits until all is quiet, and says whether it adds up: 0 when it does."""
        self._greet()
        visitors = await self._start_visitors()
        try:
            await self._wait(visitors)
            status = await self._stop_visitors(visitors)
        finally:
            if visitors.returncode is None:
                visitors.kill()
                await visitors.wait()
        self.stage.say(f"visitors have gone ({self.ledger.answered} events acknowledged); waiting until all is quiet")
        books = await self._settle(not_answered=status not in _ENDED_WELL)
        for line in summary_lines(books):
            self.stage.say(line)
        if self.options.summary_json is not None:
            self.options.summary_json.write_text(summary_json(books) + "\n", encoding="utf-8")
        return 0 if books.balanced else 1

    def _greet(self) -> None:
        source = f"replaying {self.options.clicks}" if self.options.clicks else "made-up visits"
        nsqd = self.places.nsqd_http_address
        event = '{"o":"+","l":"you","bl":"curl"}'
        lines = (
            "",
            f"the shortener     http://{self.places.web_address}/   ({source}, {self.options.rate_per_s:g} a second)",
            f"its nsqd          http://{nsqd}/stats",
            f"archives          {self.places.archive_dir}",
            f"publish yourself  curl -d '{event}' 'http://{nsqd}/pub?topic=spam_api'",
            "",
        )
        for line in lines:
            self.stage.say(line)

    async def _start_visitors(self) -> asyncio.subprocess.Process:
        clicks = ("--clicks", str(self.options.clicks)) if self.options.clicks else ()
        with (self.places.data_dir / "visitors.log").open("wb") as log:
            return await spawn(
                sys.executable,
                "-m",
                "millstream.demo.visitors",
                f"--address={self.places.web_address}",
                f"--ledger={self.ledger.path}",
                f"--rate={self.options.rate_per_s}",
                *clicks,
                output=log,
                environment=self.environment,
            )

    async def _wait(self, visitors: asyncio.subprocess.Process) -> None:
        gone = asyncio.ensure_future(visitors.wait())
        stopped = asyncio.ensure_future(self.stage.stopping.wait())
        try:
            await asyncio.wait(
                {gone, stopped}, timeout=self.options.seconds or None, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            gone.cancel()
            stopped.cancel()
            await asyncio.gather(gone, stopped, return_exceptions=True)

    async def _stop_visitors(self, visitors: asyncio.subprocess.Process) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(visitors.pid, signal.SIGTERM)
        try:
            status = await asyncio.wait_for(visitors.wait(), VISITORS_STOP_S)
        except TimeoutError:
            return 1
        await asyncio.to_thread(self.ledger.read)
        return status

    async def _settle(self, *, not_answered: bool) -> Books:
        evidence = Evidence(
            ledger=self.ledger,
            spam_database=self.places.data_dir / "services" / "spam" / "spam.db",
            archive_dir=self.places.archive_dir,
            metrics=self.stage.metrics,
        )
        give_up = asyncio.get_running_loop().time() + self.options.settle_s
        while True:
            snapshot = await self.stage.snapshot()
            late = asyncio.get_running_loop().time() > give_up
            if late or not (snapshot.unfinished or snapshot.silent):
                topics, remarks = await asyncio.to_thread(evidence.books)
                # Asked again after the files were read: a message on its way then may have been redelivered since.
                snapshot = await self.stage.snapshot()
                books = Books(
                    topics=topics,
                    unfinished=snapshot.unfinished,
                    silent=snapshot.silent,
                    restarts=self.stage.restarts,
                    remarks=(*remarks, *(("some visitors got no answer; see visitors.log",) if not_answered else ())),
                )
                if late or books.balanced or (not_answered and not books.unfinished):
                    return books
            await asyncio.sleep(_PAUSE_S)
