"""Options of a process: declared once, read from flags, environment and file, and described to the documentation.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class DaemonOptions:
        msg_timeout_ms: int = option(60_000, "requeue an unanswered message after this", unit="ms", low=1)

    options = parse(DaemonOptions, sys.argv[1:], program="nsqd")

A value comes from the command line, else from the environment, else from the file that `--config` names, else it is the
default. `parse` speaks to the user itself, and ends the process as NSQ's daemons do.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar

from millstream.base.config import from_environment, from_keys, read_file
from millstream.base.declare import OptionDescription, check, describe, option, to_table
from millstream.base.errors import OptionError
from millstream.base.flags import scan, usage
from millstream.base.version import NSQ_VERSION

__all__ = [
    "OptionDescription",
    "check",
    "describe",
    "from_mapping",
    "option",
    "parse",
    "parse_with_arguments",
    "to_table",
    "version_text",
]

T = TypeVar("T")

_CONFIG_FIELD = "config"
_EXIT_FAILED = 1
_EXIT_USAGE = 2


def version_text(program: str) -> str:
    """Return what a daemon's `--version` prints: NSQ's version, because tools read it, and what it was built with."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"{program} v{NSQ_VERSION} (built w/Python {python})"


def parse(
    cls: type[T],
    argv: Sequence[str],
    *,
    program: str,
    positional: bool = False,
    environ: Mapping[str, str] | None = None,
    env_prefix: str = "",
    version: str | None = None,
) -> T:
    """Build the options of a process from `argv` (without the program's name).

    Arguments after the flags are ignored, as NSQ does, with a warning unless `positional`. `version` is the line that
    `--version` prints: a daemon's when None; when empty there is no such flag. Raises SystemExit: 0 after `-h` and
    `--version`, 2 for a flag that cannot be used, 1 for a variable or a file that cannot.
    """
    options, arguments = parse_with_arguments(
        cls,
        argv,
        program=program,
        positional=positional,
        environ=environ,
        env_prefix=env_prefix,
        version=version,
    )
    if arguments and not positional:
        sys.stderr.write(
            f"{program}: ignored {' '.join(arguments)[:200]!r}: flags end at the first argument without -\n"
        )
    return options


def parse_with_arguments(
    cls: type[T],
    argv: Sequence[str],
    *,
    program: str,
    positional: bool = True,
    environ: Mapping[str, str] | None = None,
    env_prefix: str = "",
    version: str | None = None,
) -> tuple[T, list[str]]:
    """Do as `parse` does, and return the arguments after the flags too."""
    descriptions = describe(cls)
    has_version = version != ""
    help_text = usage(program, descriptions, version=has_version, positional=positional)
    try:
        scanned = scan(descriptions, argv, version=has_version)
    except OptionError as error:
        _end(_EXIT_USAGE, f"{error}\n{help_text}")
    if scanned.wants_help:
        _end(0, help_text)
    if scanned.wants_version or (has_version and scanned.values.get("version") is True):
        sys.stdout.write((version or version_text(program)) + "\n")
        raise SystemExit(0)
    try:
        values = from_environment(descriptions, environ or {}, env_prefix) if env_prefix else {}
        values |= scanned.values
        path = values.get(_CONFIG_FIELD)
        if isinstance(path, str) and path:
            values = read_file(descriptions, path) | values
        return cls(**values), scanned.arguments
    except OptionError as error:
        _end(_EXIT_FAILED, f"{program}: {error}\n")


def from_mapping(cls: type[T], values: Mapping[str, object]) -> T:
    """Build options from values by key, with `-` or `_`, each as a TOML file would have it (texts as on a flag).

    Raises OptionError for an unknown key or a value of no use.
    """
    return cls(**from_keys(describe(cls), {key.replace("-", "_"): value for key, value in values.items()}))


def _end(status: int, text: str) -> NoReturn:
    sys.stderr.write(text)
    raise SystemExit(status)
