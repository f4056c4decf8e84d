"""How an option is declared, and what its declaration says.

A process has one frozen dataclass of options; each field is made by `option()`, which holds default, unit, bounds and
help. `base.flags` and `base.config` read the declarations, `describe` hands them to the documentation. An option may
be a list of tables, which only a file can hold: each is a dataclass of options of its own.
"""

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from millstream.base.errors import OptionError
from millstream.base.units import format_duration

T = TypeVar("T")

NS_PER_MS: Final = 1_000_000
UNITS: Final = ("", "ms", "bytes")
KIND_NAMES: Final[Mapping[type, str]] = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}

_METADATA_KEY: Final = "millstream.option"
_SUFFIXES: Final = ("_ms", "_bytes")
_WITHOUT_KEY: Final = ("config", "version")  # they say what to do with this command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What `option()` was given."""

    help: str
    unit: str
    low: float | None
    high: float | None
    flag: str | None
    key: str | None
    choices: tuple[str, ...]
    bare: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionDescription:
    """One option of a class, with every name and rule worked out.

    `flag` or `key` is empty where the option has none. `kind` is the type of the value, or of one element where
    `repeatable`. `bare`, where set, is the value that the flag stands for when nothing is attached to it with `=`.
    """

    name: str
    flag: str
    key: str
    kind: type
    repeatable: bool
    unit: str
    default: object
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    bare: str | None
    help: str

    @property
    def default_text(self) -> str:
        """The default as one would write it on the command line."""
        return self.text_of(self.default)

    @property
    def is_table(self) -> bool:
        """Whether each element is a table with options of its own."""
        return is_dataclass(self.kind)

    @property
    def kind_text(self) -> str:
        """The kind in one word, as usage and documentation show it."""
        if self.is_table:
            return "tables"
        if self.unit:
            return {"ms": "duration", "bytes": "size"}[self.unit]
        return {bool: "switch", int: "int", float: "float", str: "string"}[self.kind]

    @property
    def bounds_text(self) -> str:
        """`1ms to 15m0s`, `at least 1`, `at most 9`, or nothing."""
        low, high = (None if bound is None else self.text_of(bound) for bound in (self.low, self.high))
        if low is not None and high is not None:
            return f"{low} to {high}"
        if low is not None:
            return f"at least {low}"
        return "" if high is None else f"at most {high}"

    def text_of(self, value: object) -> str:
        """Write a value of this option as its flag would be given it."""
        if isinstance(value, tuple):
            return ",".join(self.text_of(element) for element in value)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if self.unit == "ms" and isinstance(value, int | float):
            return format_duration(int(value * NS_PER_MS))
        return str(value)


def option(
    default: T,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    flag: str | None = None,
    key: str | None = None,
    choices: tuple[str, ...] = (),
    bare: str | None = None,
) -> T:
    """Declare a field of an options dataclass. Types: int, float, bool, str, `tuple[… , ...]` of these, `… | None`.

    A `tuple[T, ...]` of another dataclass of options is a list of tables, and has no flag.

    `unit` is `ms` (written as a Go duration) or `bytes` (written as a size). `flag` and `key` replace the names made
    from the field's; an empty one means that there is no flag, or no key in the configuration file. The default need
    not lie within `low` and `high` or among `choices`: it may stand for "not set". `bare` lets the flag stand alone, as
    a switch does (`--tls-required` means `--tls-required=true`); then a value has to follow a `=`.
    """
    if unit not in UNITS:
        raise TypeError(f"unknown unit {unit!r}: one of {', '.join(map(repr, UNITS))}")
    declaration = Declaration(
        help=help, unit=unit, low=low, high=high, flag=flag, key=key, choices=tuple(choices), bare=bare
    )
    return field(default=default, metadata={_METADATA_KEY: declaration})


def describe(cls: type) -> list[OptionDescription]:
    """Every option of the class, in the order of declaration.

    Raises TypeError when the class is no dataclass, or declares a type or a name that cannot work.
    """
    hints = get_type_hints(cls)
    found = [
        _resolve(item.name, hints[item.name], item.default, item.metadata[_METADATA_KEY])
        for item in fields(cls)
        if _METADATA_KEY in item.metadata
    ]
    for names in ([one.flag for one in found if one.flag], [one.key for one in found if one.key]):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise TypeError(f"{cls.__name__} declares {', '.join(twice)} twice")
    return found


def check(options: object) -> None:
    """Check a built options object against its declarations: for the `__post_init__` of a class that users build.

    Raises OptionError for the first value that is of another type, out of bounds, or not among the choices.
    """
    for description in describe(type(options)):
        value = getattr(options, description.name)
        if value != description.default:
            _check_type(description, value)
            check_value(description, value, description.name)


def to_table(options: object) -> dict[str, object]:
    """Return what differs from the defaults, by key, as a file would say it: durations as text, tuples as lists."""
    found: dict[str, object] = {}
    for description in describe(type(options)):
        value = getattr(options, description.name)
        if value != description.default and description.key:
            found[description.key] = _as_written(description, value)
    return found


def _as_written(description: OptionDescription, value: object) -> object:
    if isinstance(value, tuple):
        return [_as_written(description, element) for element in value]
    if description.is_table:
        return to_table(value)
    return description.text_of(value) if description.unit == "ms" else value


def _check_type(description: OptionDescription, value: object) -> None:
    elements = value if description.repeatable and isinstance(value, tuple) else (value,)
    for element in elements:
        fits = isinstance(element, description.kind) or (description.kind is float and isinstance(element, int))
        if not fits or (isinstance(element, bool) and description.kind is not bool):
            wanted = KIND_NAMES.get(description.kind, "tables")
            raise OptionError(f"{description.name} is {str(element)[:80]!r}: use {wanted}")
    if description.repeatable and not isinstance(value, tuple):
        raise OptionError(f"{description.name} is {str(value)[:80]!r}: use a tuple")


def check_value(description: OptionDescription, value: Any, label: str) -> None:
    """Raise OptionError when the value, or one of its elements, breaks the bounds; `label` is what the user wrote."""
    if value == description.default:
        return
    for element in value if description.repeatable else (value,):
        low, high, choices = description.low, description.high, description.choices
        if (low is not None and not element >= low) or (high is not None and not element <= high):
            raise OptionError(
                f"{label} is {description.text_of(element)}, out of bounds: use {description.bounds_text}"
                + _or_default(description)
            )
        if choices and element not in choices:
            raise OptionError(f"{label} is {element!r}: use one of {', '.join(choices)}")


def _or_default(description: OptionDescription) -> str:
    low, high, default = description.low, description.high, description.default
    if not isinstance(default, int | float):
        return ""
    outside = (low is not None and default < low) or (high is not None and default > high)
    return f", or {description.default_text} (the default)" if outside else ""


def _resolve(name: str, hint: Any, default: object, declaration: Declaration) -> OptionDescription:
    kind, repeatable = _kind(name, hint)
    if declaration.unit and kind is not int:
        raise TypeError(f"{name}: only an int has a unit")
    if (declaration.low is not None or declaration.high is not None) and kind not in (int, float):
        raise TypeError(f"{name}: only a number has bounds")
    if (declaration.choices or declaration.bare) and kind is not str:
        raise TypeError(f"{name}: only a str has choices, or a value to stand for the bare flag")
    flag = _flag_name(name) if declaration.flag is None else declaration.flag.lstrip("-")
    key = declaration.key
    if is_dataclass(kind):
        flag, key = "", key or name
    if key is None:
        key = "" if name in _WITHOUT_KEY else flag.replace("-", "_")
    return OptionDescription(
        name=name,
        flag=flag,
        key=key,
        kind=kind,
        repeatable=repeatable,
        unit=declaration.unit,
        default=default,
        low=declaration.low,
        high=declaration.high,
        choices=declaration.choices,
        bare="true" if kind is bool and not repeatable else declaration.bare,
        help=declaration.help,
    )


def _flag_name(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name.replace("_", "-")


def _kind(name: str, hint: Any) -> tuple[type, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        present = [one for one in get_args(hint) if one is not type(None)]
        if len(present) == 1:
            hint = present[0]
    repeatable = get_origin(hint) is tuple and get_args(hint)[1:] == (...,)
    kind = get_args(hint)[0] if repeatable else hint
    if kind not in KIND_NAMES and not (repeatable and is_dataclass(kind)):
        raise TypeError(f"{name}: an option is an int, float, bool, str, or a tuple[…, ...] of one of these")
    return kind, repeatable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that `name` was most likely meant to be, or nothing."""
    return next(iter(get_close_matches(name[:80], known, n=1)), "")
