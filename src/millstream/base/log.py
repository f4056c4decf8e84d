"""Log events: a constant dotted name and `key=value` fields, in NSQ's line form.

Every part gets its logger here; events go through the standard library's `logging` under the name `millstream`, so a
program that embeds the client keeps its own handlers. A daemon calls `configure` once, and its lines go to stderr.
"""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TextIO

from millstream.base.errors import OptionError

LEVELS: Final[Mapping[str, int]] = {"debug": 1, "info": 2, "warn": 3, "error": 4, "fatal": 5}

_ROOT: Final = "millstream"
_VALUE_LENGTH_MAX: Final = 2_000
_STDLIB_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
_WORDS: Final = {logging.CRITICAL: "FATAL"}
_COLORS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_COLOR_END: Final = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Event:
    """What a log record carries as its message: handlers that ship records elsewhere read the fields from here."""

    name: str
    fields: Mapping[str, object]

    def __str__(self) -> str:
        """The event as one line, whatever its values hold."""
        if not self.fields:
            return self.name
        return self.name + "".join(f" {key}={_shown(value)}" for key, value in self.fields.items())


class Logger:
    """Writes the events of one part of the program."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, /, **fields: object) -> None:
        """Record a detail that helps whoever follows one message or connection."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Record something that an operator expects to happen."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Record something that was coped with, but should not go on."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Record something that failed."""
        self._write(logging.ERROR, event, fields)

    def fatal(self, event: str, /, **fields: object) -> None:
        """Record why the process is about to end; ending it is the caller's part."""
        self._write(logging.CRITICAL, event, fields)

    def exception(self, event: str, error: BaseException, /, **fields: object) -> None:
        """Record an error of our own or of a handler, with its traceback on the lines below."""
        self._write(logging.ERROR, event, fields | {"error": error}, error)

    def is_enabled(self, level: str) -> bool:
        """True when an event of this level (`debug` … `fatal`) would be written: for fields that cost to compute."""
        return self._logger.isEnabledFor(_stdlib_level(level))

    def _write(self, level: int, event: str, fields: Mapping[str, object], error: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, Event(event, fields), exc_info=error, stacklevel=3)


class LineFormatter(logging.Formatter):
    """NSQ's line: `<prefix>YYYY/MM/DD HH:MM:SS.ffffff LEVEL: event key=value`, in local time."""

    def __init__(self, prefix: str, *, color: bool = False) -> None:
        super().__init__()
        self._prefix = prefix
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        """One line for the event; a traceback follows on lines of its own."""
        instant = datetime.fromtimestamp(record.created, tz=UTC).astimezone()
        word = _WORDS.get(record.levelno, record.levelname)
        if self._color:
            word = f"{_COLORS.get(record.levelno, '')}{word}{_COLOR_END}"
        line = f"{self._prefix}{instant:%Y/%m/%d %H:%M:%S.%f} {word}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def get_logger(name: str) -> Logger:
    """Return the logger of a part: `get_logger(__name__)`, or a dotted name that is put under `millstream`."""
    if name != _ROOT and not name.startswith(_ROOT + "."):
        name = f"{_ROOT}.{name}"
    return Logger(logging.getLogger(name))


def configure(*, prefix: str, level: str, stream: TextIO | None = None, color: bool = False) -> None:
    """Send the events of this process to `stream` (stderr when None); a second call replaces the first.

    Raises OptionError when there is no such level; nothing is changed then.
    """
    set_level(level)
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(LineFormatter(prefix, color=color))
    root = logging.getLogger(_ROOT)
    root.handlers[:] = [handler]
    root.propagate = False


def set_level(level: str) -> None:
    """Write events of this level (`debug`, `info`, `warn`, `error` or `fatal`, in any case) and above from now on.

    Raises OptionError when there is no such level.
    """
    logging.getLogger(_ROOT).setLevel(_stdlib_level(level))


def get_level() -> str:
    """Return the name of the level in force; `LEVELS` has its number."""
    effective = logging.getLogger(_ROOT).getEffectiveLevel()
    return next((name for name, number in _STDLIB_LEVELS.items() if number >= effective), "fatal")


def _stdlib_level(level: str) -> int:
    number = _STDLIB_LEVELS.get(level.lower())
    if number is None:
        raise OptionError(f"invalid log level {_shown(level)}: use debug, info, warn, error or fatal")
    return number


def _shown(value: object) -> str:
    # Values may come from a peer: one that could end the line, colour the terminal or pass for a field is quoted.
    match value:
        case bytes() | bytearray() | memoryview():
            text = bytes(value[:_VALUE_LENGTH_MAX]).decode("utf-8", "backslashreplace")
        case BaseException():
            text = str(value) or type(value).__name__
        case bool():
            text = "true" if value else "false"
        case _:
            text = str(value)
    if len(text) > _VALUE_LENGTH_MAX:
        text = text[:_VALUE_LENGTH_MAX] + "..."
    if text and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in escaped) + '"'
