"""The configuration file, and the environment: two sources of option values below the command line.

Both give values by field name to `base.options`. NSQ ignores keys that it does not know; here they are errors, which
name the key that was probably meant.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from millstream.base.declare import OptionDescription, check_value, describe, nearest
from millstream.base.errors import OptionError
from millstream.base.units import quoted
from millstream.base.values import elements_from_text, from_text, from_toml

FILE_SIZE_BYTES_MAX: Final = 1 << 20


def read_file(descriptions: Sequence[OptionDescription], path: str) -> dict[str, object]:
    """Read the values of a TOML file.

    Raises OptionError when the file cannot be read, is no TOML, or has an unknown key or a value of no use.
    """
    try:
        return from_keys(descriptions, tomllib.loads(_text_of(path)))
    except OSError as error:
        raise OptionError(f"failed to load config file {path} - {error.strerror or error}") from error
    except (ValueError, RecursionError, OptionError) as error:
        raise OptionError(f"failed to load config file {path} - {error}") from error


def _text_of(path: str) -> str:
    with Path(path).open("rb") as file:
        content = file.read(FILE_SIZE_BYTES_MAX + 1)
    if len(content) > FILE_SIZE_BYTES_MAX:
        raise OptionError(f"it is larger than {FILE_SIZE_BYTES_MAX} bytes")
    return content.decode("utf-8")


def from_keys(descriptions: Sequence[OptionDescription], table: Mapping[str, object]) -> dict[str, object]:
    """Read the values of a table by its keys.

    Raises OptionError for an unknown key, naming the nearest one, and for a value of no use.
    """
    by_key = {description.key: description for description in descriptions if description.key}
    values: dict[str, object] = {}
    for key, value in table.items():
        description = by_key.get(key)
        if description is None:
            raise OptionError(f"unknown key {quoted(key)[1:-1]}" + _hint(key, descriptions))
        try:
            read = _tables(description, value) if description.is_table else from_toml(description, value)
        except OptionError as error:
            raise OptionError(f"{key}: {error}") from error
        check_value(description, read, key)
        values[description.name] = read
    return values


def _tables(description: OptionDescription, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(table, Mapping) for table in value):
        raise OptionError(f"write tables, each under [[{description.key}]]")
    columns = describe(description.kind)
    found: list[object] = []
    for number, table in enumerate(value, 1):
        try:
            found.append(description.kind(**from_keys(columns, table)))
        except OptionError as error:
            raise OptionError(f"number {number}: {error}") from error
    return tuple(found)


def _hint(key: str, descriptions: Sequence[OptionDescription]) -> str:
    # People write the name of the flag, which for a few options is not the name of the key.
    flags = {one.flag.replace("-", "_"): one.key for one in descriptions if one.flag}
    keys = {one.key: one.key for one in descriptions if one.key}
    meant = {**flags, **keys}
    likely = nearest(key, meant)
    if not likely:
        return ""
    return f": did you mean {meant[likely]}?" if meant[likely] else ": it can only be given as a flag"


def from_environment(
    descriptions: Sequence[OptionDescription], environ: Mapping[str, str], prefix: str
) -> dict[str, object]:
    """Read the variables named `<prefix>_<FLAG>` (capitals, `_` for `-`); an empty one counts as not set.

    Raises OptionError for a value of no use. Variables that fit no option are others' business.
    """
    values: dict[str, object] = {}
    for description in descriptions:
        name = variable_name(description, prefix)
        text = environ.get(name, "")
        if not text or description.is_table:
            continue
        try:
            read = elements_from_text(description, text) if description.repeatable else from_text(description, text)
        except OptionError as error:
            raise OptionError(f"invalid value {quoted(text)} for {name}: {error}") from error
        check_value(description, read, name)
        values[description.name] = read
    return values


def variable_name(description: OptionDescription, prefix: str) -> str:
    """Return the environment variable of an option: `MILLSTREAM_MSG_TIMEOUT` for `--msg-timeout`."""
    name = description.flag or description.key or description.name
    return f"{prefix.rstrip('_')}_{name.replace('-', '_')}".upper()
