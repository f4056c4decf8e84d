"""Shows what flows, once a second: topics, channels, depth, in flight, rates, and the statsd counters.

Rows come from `supervisor.stats`, counters from `supervisor.metrics`.  On a terminal with rich installed it is a table
that stays in place; anywhere else plain lines, now and then.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from millstream.supervisor.console import Console
from millstream.supervisor.metrics import Metrics
from millstream.supervisor.stats import Snapshot, rates_per_s

if TYPE_CHECKING:
    from rich.table import Table

REFRESH_S: Final = 1.0
PLAIN_EVERY: Final = 2
COUNTERS_SHOWN_MAX: Final = 24
_HEADINGS: Final = ("nsqd", "topic", "channel", "depth", "in flight", "deferred", "messages", "per s", "requeued")


class Board:
    """Shown for the length of an `async with board.shown()`."""

    __slots__ = ("_before", "_console", "_metrics", "_notes", "_take_snapshot")

    def __init__(
        self,
        console: Console,
        metrics: Metrics,
        *,
        snapshot: Callable[[], Awaitable[Snapshot]],
        notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`notes` are lines of the caller's own, shown above the counters."""
        self._console = console
        self._metrics = metrics
        self._take_snapshot = snapshot
        self._notes = notes
        self._before: Snapshot | None = None

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Owns the task that refreshes; what it raised is raised at the end."""
        task = asyncio.get_running_loop().create_task(self._run(), name="board")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        if sys.stdout.isatty() and _has_rich():
            await self._run_live()
        else:
            await self._run_plain()

    async def _run_live(self) -> None:
        from rich.console import Console as RichConsole  # noqa: PLC0415 - optional, and slow to import
        from rich.live import Live  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        screen = RichConsole()
        with Live(console=screen, auto_refresh=False, transient=True) as live:
            self._console.redirect(lambda text: screen.print(Text.from_ansi(text)))
            try:
                while True:
                    live.update(self._rich_table(await self._take_snapshot()), refresh=True)
                    await asyncio.sleep(REFRESH_S)
            finally:
                self._console.redirect(None)

    async def _run_plain(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S * PLAIN_EVERY)
            for line in self.plain_lines(await self._take_snapshot()):
                self._console.text(line)

    def plain_lines(self, snapshot: Snapshot) -> list[str]:
        """The state as text: a line for each channel, then the notes and the counters."""
        widths = (10, 10, 24, 7, 9, 8, 9, 7, 8)
        table = [_HEADINGS, *self._cells(snapshot)]
        lines = [
            "  ".join(
                f"{cell:<{width}}" if column < 3 else f"{cell:>{width}}"
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in table
        ]
        lines += [f"{name} does not answer" for name in snapshot.silent]
        return ["", *lines, *self._notes(), "  ".join(counter_texts(self._metrics.counters))]

    def _rich_table(self, snapshot: Snapshot) -> "Table":
        from rich.table import Table  # noqa: PLC0415

        table = Table(title="millstream", caption="\n".join(self._captions(snapshot)), caption_justify="left")
        for column, heading in enumerate(_HEADINGS):
            table.add_column(heading, justify="left" if column < 3 else "right")
        for row in self._cells(snapshot):
            table.add_row(*row)
        return table

    def _captions(self, snapshot: Snapshot) -> list[str]:
        silent = [f"{name} does not answer" for name in snapshot.silent]
        return [*silent, *self._notes(), *counter_texts(self._metrics.counters)]

    def _cells(self, snapshot: Snapshot) -> list[tuple[str, ...]]:
        rates = rates_per_s(self._before, snapshot)
        self._before = snapshot
        return [
            (
                row.nsqd,
                row.topic,
                row.channel or "-",
                str(row.depth),
                str(row.in_flight),
                str(row.deferred),
                str(row.messages),
                f"{rates.get((row.nsqd, row.topic, row.channel), 0.0):.0f}",
                str(row.requeues),
            )
            for row in snapshot.rows
        ]


def counter_texts(counters: Mapping[str, float]) -> list[str]:
    """The counters as `name=sum`, by name, and how many did not fit."""
    texts = [f"{name}={value:.0f}" for name, value in sorted(counters.items())]
    hidden = len(texts) - COUNTERS_SHOWN_MAX
    return texts if hidden <= 0 else [*texts[:COUNTERS_SHOWN_MAX], f"and {hidden} more counters"]


def _has_rich() -> bool:
    try:
        import rich  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True
