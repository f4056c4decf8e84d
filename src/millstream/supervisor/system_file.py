"""The optional `system.toml` at the root of a system: which daemons and archives stand around its services.

Without the file there is one nsqlookupd, one nsqd that all services write to, and no archive.  Its values go to
`supervisor.plan`; every error names the key.
"""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from millstream.protocol.names import is_valid_name
from millstream.supervisor.errors import LayoutError

FILE_NAME: Final = "system.toml"
FILE_BYTES_MAX: Final = 1024 * 1024

Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]
DaemonName: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,47}$")]


class LookupdEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[nsqlookupd]`: the discovery daemon's ports and further flags."""

    tcp_port: Port = 4160
    http_port: Port = 4161
    flags: tuple[str, ...] = ()


class NsqdEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[nsqd.<name>]`: the nsqd of the service of that name, and the topics with channels made on it at start.

    A channel sees what is published after it was made, so an archive that must be whole is named here.
    """

    tcp_port: Port = 4150
    http_port: Port = 4151
    topics: dict[str, tuple[str, ...]] = {}
    flags: tuple[str, ...] = ()


class WebEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[web.<service>]`: where the service's web app listens."""

    http_port: Port = 8080


class ArchiveEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[archive]`: one nsq_to_file for each topic."""

    topics: tuple[str, ...] = ()
    channel: str = "archive"
    gzip: bool = True
    flags: tuple[str, ...] = ()


class SystemFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `system.toml`."""

    nsqlookupd: LookupdEntry = LookupdEntry()
    nsqd: dict[DaemonName, NsqdEntry] = msgspec.field(default_factory=lambda: {"local": NsqdEntry()})
    web: dict[DaemonName, WebEntry] = {}
    archive: ArchiveEntry = ArchiveEntry()
    statsd_port: Port = 8125


def read_system_file(root: Path) -> SystemFile:
    """The file's values, or the defaults when there is no file. Raises LayoutError."""
    path = root / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return SystemFile()
    except OSError as error:
        raise LayoutError(f"cannot read {path} - {error}") from error
    if len(data) > FILE_BYTES_MAX:
        raise LayoutError(f"{path} is longer than {FILE_BYTES_MAX} bytes")
    return parse_system_file(data, source=str(path))


def parse_system_file(data: bytes, *, source: str = FILE_NAME) -> SystemFile:
    """Decodes and checks the text. Raises LayoutError."""
    try:
        values = msgspec.toml.decode(data, type=SystemFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LayoutError(f"{source} - {error}") from error
    if not values.nsqd:
        raise LayoutError(f"{source} - [nsqd] names no daemon; leave the table out to get one")
    for daemon, entry in values.nsqd.items():
        for topic, channels in entry.topics.items():
            for name in (topic, *channels):
                _check_name(name, f"{source} - nsqd.{daemon}.topics")
    for name in (*values.archive.topics, values.archive.channel):
        _check_name(name, f"{source} - archive")
    return values


def _check_name(name: str, place: str) -> None:
    if not is_valid_name(name):
        raise LayoutError(f"{place}: {name!r} is no topic or channel name (1 to 64 of .a-zA-Z0-9_-)")
