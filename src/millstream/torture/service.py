"""Runs a torture piece by piece, each on a data path of its own, and says what it comes to.

`cli.torture` calls `serve` with the options of the process. A data path is removed with its piece, unless that failed:
then it is kept, and the verdict says where, and how to repeat the piece.
"""

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError, OptionError
from millstream.base.system import SystemClock, random_bits
from millstream.net.runner import on_signal
from millstream.supervisor.ports import auto_ports
from millstream.torture.options import TortureOptions
from millstream.torture.piece import Piece
from millstream.torture.progress import Progress
from millstream.torture.verdict import PieceVerdict, Verdict, judge
from millstream.torture.victim import Victim

EXIT_INTERRUPTED: Final = 130

_SEED_BITS: Final = 32


class Torture:
    """One run. `run` it once; `verdict` has what is known so far."""

    def __init__(self, options: TortureOptions, progress: Progress, clock: Clock) -> None:
        self.verdict = Verdict(options.seed or 1 + random_bits(_SEED_BITS))
        self._options = options
        self._progress = progress
        self._clock = clock
        self._kills_before = 0
        self._current: Piece | None = None
        self.is_stopped = False

    def stop(self) -> None:
        """Begin no more pieces; the one under way kills no more, and is judged all the same."""
        self.is_stopped = True
        if self._current is not None:
            self._current.stop()

    async def run(self) -> None:
        """All pieces.

        Raises OptionError when there is no place for data paths, and PortTaken.
        """
        options = self._options
        shown = (
            f"{' '.join(options.command(0))!r}" if options.nsqd_command else f"nsqd --durability={options.durability}"
        )
        self._progress.line(f"millstream torture: {options.kills} kills of {shown}, --seed={self.verdict.seed}")
        folder = self._make_folder()
        try:
            number = 0
            left = options.kills
            while left and not self.is_stopped:
                kills = min(left, options.kills_per_piece)
                await self._piece(number, kills, folder)
                left -= kills
                number += 1
        finally:
            if not any(folder.iterdir()):
                folder.rmdir()

    def _make_folder(self) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix="millstream-torture-", dir=self._options.work_dir or None))
        except OSError as error:
            raise OptionError(f"work_dir {self._options.work_dir!r} cannot be used - {error.strerror}") from error

    async def _piece(self, number: int, kills: int, folder: Path) -> None:
        options = self._options
        place = folder / f"piece-{number + 1}"
        place.mkdir()
        ports = auto_ports(("tcp", "http"))
        victim = Victim(options.command(number), place, self._clock, tcp_port=ports["tcp"], http_port=ports["http"])
        seed = self.verdict.seed + number
        piece = Piece(victim, seed, self._clock, kills=kills, seconds_per_round=options.seconds_per_round)
        self._current = piece
        level = options.durability_of(number)
        name = f"piece {number + 1} of {-(-options.kills // options.kills_per_piece)} ({level or 'nsqd'}, seed {seed})"
        began_ns = self._clock.monotonic_ns()

        def killed() -> None:
            rate = piece.tally.kills.total() / max(1e-9, self._seconds_since(began_ns))
            acknowledged = sum(topic.acknowledged for topic in piece.books.topics)
            words = f"{self._kills_before + piece.tally.kills.total():,} kills, {rate:.1f} a second"
            self._progress.now(f"{name}: {words}; {self.verdict.acknowledged + acknowledged:,} acknowledged")

        is_kept = False
        try:
            await piece.run(killed)
            self._progress.now(f"{name}: looking for what is missing")
            again = options.again(number, seed, kills)
            found = judge(piece.books, piece.tally, seed=seed, durability=level, again=again)
            is_kept = options.keep or not found.holds
        finally:
            if not is_kept:
                shutil.rmtree(place, ignore_errors=True)
        found = replace(found, kept=str(place) if is_kept else "")
        self.verdict.pieces.append(found)
        self._kills_before += sum(found.kills.values())
        self._progress.line(f"{name}: {_summary(found)}, {self._seconds_since(began_ns):.0f} s")
        for complaint in found.complaints():
            self._progress.line(f"  {complaint}")

    def _seconds_since(self, began_ns: int) -> float:
        return (self._clock.monotonic_ns() - began_ns) / 1e9


def _summary(piece: PieceVerdict) -> str:
    return f"{sum(piece.kills.values()):,} kills, {piece.acknowledged:,} acknowledged, lost {piece.lost:,}"


async def serve(options: TortureOptions) -> int:
    """Run to the end, or until SIGINT or SIGTERM, and print the verdict.

    Returns the exit status: 0 when everything held, 1 when not, 130 when it was interrupted. The first signal ends the
    piece that is under way, which is read to its end; the second leaves it unjudged.
    """
    progress = Progress(sys.stdout, is_terminal=sys.stdout.isatty())
    torture = Torture(options, progress, SystemClock())
    running = asyncio.ensure_future(torture.run())

    def interrupted() -> None:
        if torture.is_stopped:
            running.cancel()
        else:
            torture.stop()
            progress.line("stopping: what was acknowledged so far is read back; once more to leave at once")

    for number in (signal.SIGINT, signal.SIGTERM):
        on_signal(number, interrupted)
    try:
        await running
    except asyncio.CancelledError:
        progress.line("the piece under way was not judged")
    except MillstreamError as error:
        sys.stderr.write(f"millstream torture: {error}\n")
        return 1
    is_written = _write_report(options.report, torture.verdict)
    progress.line(torture.verdict.to_text())
    return EXIT_INTERRUPTED if torture.is_stopped else int(not (torture.verdict.holds and is_written))


def _write_report(path: str, verdict: Verdict) -> bool:
    """Write the verdict to a file if there is to be one; False when that failed."""
    if not path:
        return True
    try:
        Path(path).write_text(json.dumps(verdict.to_json(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"millstream torture: report {path} - {error.strerror}\n")
        return False
    return True
