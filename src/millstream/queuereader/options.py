"""The flags of a service: `parse_command_line()` reads them and puts them above its settings.

Every key of `settings.toml` and every key of the framework is a flag (`--statsd_port=9125`, also with dashes); a key
that is in no file is set with `--set key=value`. `--settings FILE` reads another file.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from millstream.queuereader import settings

__all__ = ["parse_command_line"]

_EXIT_FAILED: Final = 1


def parse_command_line(argv: Sequence[str] | None = None) -> None:
    """Read flags from `argv` (those of this process when None) into the process's settings.

    Ends the process by SystemExit: 0 after `--help`, 2 with the usage on stderr for a flag that cannot be used, 1 when
    the settings file cannot be read.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    named, _ = _file_parser().parse_known_args(arguments)
    settings.override({}, file=named.settings)
    try:
        current = settings.current()
    except settings.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(_EXIT_FAILED) from error
    parser = _parser(current)
    found = vars(parser.parse_args(arguments))
    flags = dict(_pairs(parser, found.pop("set") or ()))
    file = found.pop("settings")
    flags |= {key: value for key, value in found.items() if value is not None}
    settings.override(flags, file=file)


def _file_parser(*, add_help: bool = False) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=add_help, allow_abbrev=False)
    parser.add_argument("--settings", metavar="FILE", type=Path, help="read this file instead of settings.toml")
    return parser


def _parser(current: settings.Settings) -> argparse.ArgumentParser:
    parser = _file_parser(add_help=True)
    parser.description = f"Settings come from {current.file}, then MILLSTREAM_<KEY>, then these flags."
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", help="set any key; may be given again")
    known = {key.name: key.help for key in settings.FRAMEWORK_KEYS}
    group = parser.add_argument_group("settings")
    for key in dict.fromkeys((*current.keys(), *known)):
        text = known.get(key, "a setting of this service").replace("%", "%%")
        names = dict.fromkeys((f"--{key}", f"--{key.replace('_', '-')}"))
        # `set` and `settings` stay flags of the parser's own.
        if not names.keys() & parser._option_string_actions.keys():  # noqa: SLF001 - argparse offers no other way to ask
            group.add_argument(*names, dest=key, metavar="VALUE", help=text)
    return parser


def _pairs(parser: argparse.ArgumentParser, texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            parser.error(f"argument --set: {text[:80]!r} is not KEY=VALUE")
        pairs.append((key.strip(), value))
    return pairs
