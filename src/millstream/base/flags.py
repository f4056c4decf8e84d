"""Go's rules for a command line, as NSQ's daemons and tools follow them.

`-name` and `--name` are the same; the value follows `=` or is the next argument, whatever that looks like; a switch
takes a value only with `=`; the first argument that is no flag, or `--`, ends them. `scan` turns an argument list into
values by field name for `base.options`, `usage` is what `-h` and a wrong flag print.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from millstream.base.declare import OptionDescription, check_value, nearest
from millstream.base.errors import OptionError
from millstream.base.units import quoted
from millstream.base.values import elements_from_text, from_text, read_switch


@dataclass(slots=True, kw_only=True)
class Scanned:
    """What an argument list holds: values by field name, the arguments after the flags, and what was asked for."""

    values: dict[str, object] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    wants_help: bool = False
    wants_version: bool = False


def scan(descriptions: Sequence[OptionDescription], argv: Sequence[str], *, version: bool = True) -> Scanned:
    """Read the flags of `argv` (without the program's name).

    Raises OptionError for an unknown flag, a missing value, or one that cannot be used.
    """
    by_flag = {description.flag: description for description in descriptions if description.flag}
    scanned = Scanned()
    remaining = list(argv)
    while remaining:
        argument = remaining[0]
        # A lone dash is an argument, by custom the name of stdin.
        if len(argument) < 2 or not argument.startswith("-"):
            break
        del remaining[0]
        if argument == "--":
            break
        name, value = _split(argument)
        description = by_flag.get(name)
        if description is not None:
            _take(description, value, remaining, scanned.values)
        elif name in ("h", "help"):
            scanned.wants_help = True
            return scanned
        elif name == "version" and version:
            scanned.wants_version = value is None or read_switch(value)
        else:
            likely = nearest(name, by_flag)
            hint = f" (did you mean --{likely}?)" if likely else ""
            raise OptionError(f"flag provided but not defined: -{quoted(name)[1:-1]}{hint}")
    scanned.arguments = remaining
    return scanned


def _split(argument: str) -> tuple[str, str | None]:
    name, separator, value = (argument[2:] if argument.startswith("--") else argument[1:]).partition("=")
    if not name or name.startswith("-"):
        raise OptionError(f"bad flag syntax: {quoted(argument)[1:-1]}")
    return name, value if separator else None


def _take(description: OptionDescription, value: str | None, remaining: list[str], values: dict[str, object]) -> None:
    label = f"flag -{description.flag}"
    if value is None and description.bare is not None:
        value = description.bare
    elif value is None:
        if not remaining:
            raise OptionError(f"flag needs an argument: -{description.flag}")
        value = remaining.pop(0)
    try:
        if not description.repeatable:
            read: object = from_text(description, value)
        else:
            # NSQ splits lists of numbers at commas, and never lists of texts.
            given = (value,) if description.kind is str else elements_from_text(description, value)
            earlier = values.get(description.name, ())
            read = (*earlier, *given) if isinstance(earlier, tuple) else given
    except OptionError as error:
        raise OptionError(f"invalid value {quoted(value)} for {label}: {error}") from error
    check_value(description, read, label)
    values[description.name] = read


def usage(program: str, descriptions: Sequence[OptionDescription], *, version: bool, positional: bool) -> str:
    """Return the text that lists every flag with its kind, default and bounds, by name."""
    lines = [f"Usage of {program}:" if not positional else f"Usage of {program}: {program} [flags] [arguments]"]
    entries = {description.flag: _entry(description) for description in descriptions if description.flag}
    if version:
        entries.setdefault("version", ["  --version", "        print version string"])
    for flag in sorted(entries):
        lines += entries[flag]
    return "\n".join(lines) + "\n"


def _entry(description: OptionDescription) -> list[str]:
    head = f"  --{description.flag}"
    if description.bare is None:
        head += f" {description.kind_text}"
    elif description.kind is not bool:
        head += f"[={description.kind_text}]"
    notes = []
    if description.choices:
        notes.append("one of " + ", ".join(description.choices))
    if description.bounds_text:
        notes.append(description.bounds_text)
    if description.repeatable:
        notes.append("may be given multiple times")
    if description.default_text not in ("", "false"):
        notes.append(f"default {description.default_text}")
    return [head, f"        {description.help}" + (f" ({'; '.join(notes)})" if notes else "")]
