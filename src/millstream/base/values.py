"""One value of an option: from the text of a flag or a variable, or from a TOML value, to what the field holds.

Raises OptionError without naming where the value stood: `base.flags` and `base.config` put that in front.
"""

import re
from typing import Final

from millstream.base.declare import KIND_NAMES, NS_PER_MS, OptionDescription
from millstream.base.errors import OptionError
from millstream.base.units import parse_duration_ns, parse_size_bytes

Scalar = bool | int | float | str

# Go's strconv.ParseBool; YAML's yes and no are not among them.
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_INTEGER: Final = re.compile(r"[+-]?[0-9][0-9a-zA-Z_]{0,70}")
_OLD_OCTAL: Final = re.compile(r"[+-]?0_?[0-9]")
_FLOAT: Final = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_INT64: Final = range(-(2**63), 2**63)


def from_text(description: OptionDescription, text: str) -> Scalar:
    """Read one value (one element where the option is repeatable) as Go's flags do."""
    if description.unit == "ms":
        return _duration_ms(text)
    if description.unit == "bytes":
        try:
            return parse_size_bytes(text)
        except ValueError as error:
            raise OptionError(str(error)) from error
    if description.kind is bool:
        return read_switch(text)
    if description.kind is int:
        return _integer(text)
    if description.kind is float:
        return _number(text)
    # NSQ compares its named choices without regard to case.
    return next((choice for choice in description.choices if choice.lower() == text.lower()), text)


def elements_from_text(description: OptionDescription, text: str) -> tuple[Scalar, ...]:
    """Read the elements of a repeatable option from a comma-separated text; an empty text has none."""
    return tuple(from_text(description, part.strip()) for part in text.split(",") if part.strip())


def from_toml(description: OptionDescription, value: object) -> Scalar | tuple[Scalar, ...]:
    """Read the value of a key: strings are read like flags, an integer where a duration is due is milliseconds."""
    if not description.repeatable:
        return _scalar_from_toml(description, value)
    if isinstance(value, str):
        return elements_from_text(description, value)
    if isinstance(value, list | tuple):
        return tuple(_scalar_from_toml(description, element) for element in value)
    raise OptionError("write an array, or a comma-separated string")


def _scalar_from_toml(description: OptionDescription, value: object) -> Scalar:
    if isinstance(value, str):
        return from_text(description, value)
    # NSQ reads an integer for a boolean upside down, and one for a string as garbage: both are refused instead.
    if isinstance(value, bool):
        if description.kind is bool:
            return value
        if description.bare is not None and description.kind is str:
            return "true" if value else "false"
    elif isinstance(value, int) and description.kind in (int, float):
        if value not in _INT64:
            raise OptionError("the number does not fit 64 bits")
        return description.kind(value)
    elif isinstance(value, float) and description.kind is float:
        return value
    due = 'a duration such as "250ms", or milliseconds' if description.unit == "ms" else KIND_NAMES[description.kind]
    raise OptionError(f"{str(value)[:80]!r} cannot be used: write {due}")


def _duration_ms(text: str) -> int:
    try:
        duration_ns = parse_duration_ns(text)
    except ValueError as error:
        raise OptionError(str(error)) from error
    if duration_ns % NS_PER_MS:
        raise OptionError(f"duration {text} is finer than a millisecond: write whole milliseconds, such as 1ms")
    return duration_ns // NS_PER_MS


def read_switch(text: str) -> bool:
    """Read Go's words for a boolean."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise OptionError("write true or false")


def _integer(text: str) -> int:
    try:
        if _INTEGER.fullmatch(text) is None:
            raise ValueError(text)
        # Go reads 010 as 8, Python refuses it; 0x, 0o, 0b and 1_000 are the same in both.
        value = int(text, 8 if _OLD_OCTAL.match(text) else 0)
    except ValueError as error:
        raise OptionError("write an integer, such as 100") from error
    if value not in _INT64:
        raise OptionError("the number does not fit 64 bits")
    return value


def _number(text: str) -> float:
    if _FLOAT.fullmatch(text) is None:
        raise OptionError("write a number, such as 0.5")
    return float(text)
