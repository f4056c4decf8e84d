"""One log for many processes: each line with its process's name in front, coloured when somebody looks.

Lines come from `supervisor.process` (what the processes say) and from the supervisor itself (starts, exits, restarts);
all go to a file that is bounded, and those asked for go to the terminal too.
"""

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TextIO

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_NAME_WIDTH: Final = 16
_COLORS: Final = (32, 33, 34, 35, 36, 92, 93, 94, 95, 96)
_LOUD: Final = "\x1b[1;31m"
_RESET: Final = "\x1b[0m"


class Console:
    """Writes the one log. `close` it at the end."""

    __slots__ = ("_color", "_file", "_file_bytes", "_loud", "_path", "_quiet", "_stream", "_width")

    def __init__(self, stream: TextIO, *, color: bool = False, quiet: bool = False) -> None:
        """`quiet` keeps what processes say off the stream: it is in the file of `keep_in` only."""
        self._stream = stream
        self._path: Path | None = None
        self._color = color
        self._quiet = quiet
        self._width = _NAME_WIDTH
        self._file_bytes = 0
        self._file: TextIO | None = None
        self._loud: Callable[[str], None] = self._write_stream

    def keep_in(self, path: Path) -> None:
        """Writes all lines to this file too, from now on. Raises OSError."""
        self.close()
        self._path, self._file_bytes = path, 0
        self._file = path.open("w", encoding="utf-8")

    def align(self, names: Iterable[str]) -> None:
        """Makes room for the longest of these names."""
        self._width = max(_NAME_WIDTH, *(len(name) for name in names))

    def redirect(self, write: Callable[[str], None] | None) -> None:
        """Sends terminal lines through `write` while a live table owns the screen; None gives the screen back."""
        self._loud = write if write is not None else self._write_stream

    def line(self, name: str, text: str) -> None:
        """A line that a process wrote."""
        self._keep(f"{name:<{self._width}} | {text}")
        if not self._quiet:
            self._loud(f"{self._colored(name)} | {text}")

    def notice(self, name: str, text: str) -> None:
        """A line of the supervisor's own, never kept off the terminal."""
        self._keep(f"{name:<{self._width}} > {text}")
        self._loud(f"{self._colored(name)} > {text}")

    def alarm(self, name: str, text: str) -> None:
        """A notice that must be seen: an exit nobody asked for, a process killed because it would not stop."""
        self._keep(f"{name:<{self._width}} ! {text}")
        marked = f"{_LOUD}! {text}{_RESET}" if self._color else f"! {text}"
        self._loud(f"{self._colored(name)} {marked}")

    def text(self, text: str) -> None:
        """Text that belongs to no process, as it is."""
        self._keep(text)
        self._loud(text)

    def close(self) -> None:
        """Closes the file; the stream stays open. Safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _colored(self, name: str) -> str:
        padded = f"{name:<{self._width}}"
        if not self._color:
            return padded
        # By name, not by order: a process keeps its colour from run to run.
        return f"\x1b[{_COLORS[zlib.crc32(name.encode()) % len(_COLORS)]}m{padded}{_RESET}"

    def _write_stream(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def _keep(self, text: str) -> None:
        if self._file is None or self._path is None:
            return
        if self._file_bytes > FILE_BYTES_MAX:
            self._file.close()
            self._path.replace(self._path.with_suffix(".old.log"))
            self._file = self._path.open("w", encoding="utf-8")
            self._file_bytes = 0
        self._file_bytes += self._file.write(text + "\n")
        self._file.flush()
