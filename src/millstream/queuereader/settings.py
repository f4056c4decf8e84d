"""The settings of a service: `settings.toml` beside its script, the environment above it, flags on top.

    settings.get("nsqd_output_topic")

`get` reads the file at its first call: from the folder of the running script, else from the current folder, or the file
that `--settings` or MILLSTREAM_SETTINGS names. A key `a_key` is overridden by the variable MILLSTREAM_A_KEY, and that
by a flag (`queuereader.options` hands those over). A dot in a key goes into a table: `get("database.url")` is
overridden by MILLSTREAM_DATABASE_URL.
"""

import sys
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from millstream.base.errors import OptionError
from millstream.base.system import environment

__all__ = ["FRAMEWORK_KEYS", "Settings", "SettingsError", "get", "read_settings", "script_path", "service_name"]

FILE_NAME: Final = "settings.toml"
ENVIRONMENT_PREFIX: Final = "MILLSTREAM_"
FILE_VARIABLE: Final = "MILLSTREAM_SETTINGS"

_MISSING: Final = object()
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class SettingsError(OptionError):
    """A setting is missing or of no use; the text names the file and what to do."""


class FrameworkKey(NamedTuple):
    """A key that the framework itself reads; `default` also says what its texts are turned into."""

    name: str
    default: object
    help: str


FRAMEWORK_KEYS: Final = (
    FrameworkKey("service", "", "name of the service; without it, the name of the script's folder"),
    FrameworkKey("nsq_lookupd", [], "HTTP addresses of nsqlookupd, for Readers that name none"),
    FrameworkKey("nsqd_tcp_address", "127.0.0.1:4150", "nsqd that this service publishes to"),
    FrameworkKey("statsd_host", "", "where counters are sent; without it, they are not"),
    FrameworkKey("statsd_port", 8125, "UDP port of statsd"),
    FrameworkKey("statsd_prefix", "", "put before each key, with a dot"),
    FrameworkKey("logatron_topic", "", "topic that log records are published to; without it, they are not"),
    FrameworkKey("log_level", "info", "debug, info, warn or error"),
)
_FRAMEWORK_DEFAULTS: Final = {key.name: key.default for key in FRAMEWORK_KEYS}


class Settings:
    """Values of one file, with what overrides them; never changes."""

    __slots__ = ("_environ", "_file", "_flags", "_values")

    def __init__(
        self, values: Mapping[str, Any], *, file: str, environ: Mapping[str, str], flags: Mapping[str, str]
    ) -> None:
        """`file` is how error texts call the place that `values` came from."""
        self._values = values
        self._file = file
        self._environ = environ
        self._flags = flags

    def get(self, key: str, default: Any = _MISSING) -> Any:
        """Return the value of `key`; SettingsError when it is nowhere and has no default.

        Texts from flags and the environment become what the file, else the default, has: a number, a boolean, or a
        list (of what stands between commas).
        """
        in_file = self._in_file(key)
        fallback = _FRAMEWORK_DEFAULTS.get(key, _MISSING) if default is _MISSING else default
        sample = _sample(default, in_file, _FRAMEWORK_DEFAULTS.get(key))
        variable = variable_name(key)
        if key in self._flags:
            return _convert(self._flags[key], sample, f"--{key}")
        if variable in self._environ:
            return _convert(self._environ[variable], sample, variable)
        if in_file is not _MISSING:
            return _convert(in_file, sample, f"{key} in {self._file}") if isinstance(in_file, str) else in_file
        if fallback is not _MISSING:
            return fallback
        raise SettingsError(
            f"setting {key!r} is missing: add `{key} = ...` to {self._file}, or set {variable}, or pass --set {key}=..."
        )

    def keys(self) -> tuple[str, ...]:
        """The keys that the file holds, tables with a dot."""
        return tuple(_flat(self._values))

    @property
    def file(self) -> str:
        """Where the values came from, in words."""
        return self._file

    def _in_file(self, key: str) -> Any:
        value: Any = self._values
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return _MISSING
            value = value[part]
        return value


def variable_name(key: str) -> str:
    """The environment variable that overrides a key."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "_").replace("-", "_")


def read_settings(
    file: Path | None, *, folders: tuple[Path, ...], environ: Mapping[str, str], flags: Mapping[str, str]
) -> Settings:
    """Read `file`, else the first `settings.toml` of `folders`, else nothing.

    Raises SettingsError when `file` was named and is not there, or is no TOML.
    """
    if file is None:
        file = next((path for folder in folders if (path := folder / FILE_NAME).is_file()), None)
    if file is None:
        wanted = " or ".join(dict.fromkeys(str(folder / FILE_NAME) for folder in folders))
        return Settings({}, file=f"{wanted} (not there yet)", environ=environ, flags=flags)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read settings from {file}: {error}") from error
    return Settings(values, file=str(file), environ=environ, flags=flags)


class _ProcessSettings:
    """The one Settings of this process: read at first use, read anew when flags come in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._file: Path | None = None
        self._flags: Mapping[str, str] = {}

    def current(self) -> Settings:
        settings = self._settings
        if settings is not None:
            return settings
        with self._lock:
            if self._settings is None:
                environ = environment()
                named = environ.get(FILE_VARIABLE)
                file = self._file or (Path(named) if named else None)
                script = script_path()
                folders = (script.parent, Path.cwd()) if script is not None else (Path.cwd(),)
                self._settings = read_settings(file, folders=folders, environ=environ, flags=self._flags)
            return self._settings

    def override(self, flags: Mapping[str, str], file: Path | None) -> None:
        with self._lock:
            self._flags = dict(flags)
            self._file = file
            self._settings = None


_PROCESS: Final = _ProcessSettings()


def get(key: str, default: Any = _MISSING) -> Any:
    """Return a setting of this process; SettingsError when it is nowhere and has no default (see `Settings.get`)."""
    return _PROCESS.current().get(key, default)


def current() -> Settings:
    """The settings of this process, read if they were not yet."""
    return _PROCESS.current()


def override(flags: Mapping[str, str], *, file: Path | None = None) -> None:
    """Put flags above all else from now on, and read `file` instead of the one that would be looked for."""
    _PROCESS.override(flags, file)


def script_path() -> Path | None:
    """The script that this process runs; None in an interactive one."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(path).resolve() if path else None


def service_name() -> str:
    """The setting `service`, else the name of the folder that the running script is in, else `millstream`."""
    named = str(get("service"))
    if named:
        return named
    script = script_path()
    return script.parent.name if script is not None and script.parent.name else "millstream"


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            keys += _flat(value, f"{prefix}{key}.")
        else:
            keys.append(prefix + key)
    return keys


def _sample(*candidates: object) -> object:
    # The first that says of what kind the value is. A text in the file may stand for anything (a list with commas).
    known = [value for value in candidates if value is not _MISSING and value is not None]
    return next((value for value in known if not isinstance(value, str)), "")


def _convert(value: str, sample: object, origin: str) -> Any:
    match sample:
        case bool():
            word = value.strip().lower()
            if word not in _TRUE | _FALSE:
                raise SettingsError(f"{origin}: {value[:80]!r} is neither true nor false")
            return word in _TRUE
        case int() | float():
            try:
                return type(sample)(value)
            except ValueError as error:
                kind = "a whole number" if isinstance(sample, int) else "a number"
                raise SettingsError(f"{origin}: {value[:80]!r} is not {kind}") from error
        case list() | tuple():
            element = sample[0] if sample else ""
            return [_convert(part.strip(), element, origin) for part in value.split(",") if part.strip()]
        case _:
            return value
