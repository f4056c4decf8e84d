"""Says how far a torture is: on a terminal in one line that changes with every kill, elsewhere a line per piece.

`torture.service` calls it; nothing comes back.
"""

from typing import Final, TextIO

_BACK: Final = "\r\x1b[K"


class Progress:
    """Writes to one stream."""

    def __init__(self, stream: TextIO, *, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._has_line = False

    def now(self, text: str) -> None:
        """What is true for the moment; only a terminal shows it, in place of what it showed before."""
        if self._is_terminal:
            self._write(f"{_BACK}{text}")
            self._has_line = True

    def line(self, text: str) -> None:
        """What stays."""
        self._write((_BACK if self._has_line else "") + text + "\n")
        self._has_line = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
