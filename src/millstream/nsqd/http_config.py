"""`/config/:opt`: shows the options of this nsqd by their keys in the configuration file, and changes two of them.

`nsqd.http` routes the requests here. A change lasts until the process ends.
"""

import hashlib
import zlib
from collections.abc import Callable
from typing import Final

import msgspec

from millstream.base.declare import NS_PER_MS, OptionDescription, describe, to_table
from millstream.base.errors import OptionError
from millstream.base.log import LEVELS, get_level, set_level
from millstream.base.system import host_name
from millstream.net.http import HttpError, Request, Response, json
from millstream.nsqd.host import Host
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.statsd import statsd_prefix

_LOOKUPD: Final = "nsqlookupd_tcp_addresses"
_LOG_LEVEL: Final = "log_level"
# Go's numbers of the versions, which are those of the protocol itself.
_TLS_VERSIONS: Final = {"": 0x0301, "tls1.0": 0x0301, "tls1.1": 0x0302, "tls1.2": 0x0303, "tls1.3": 0x0304}
_NODE_IDS: Final = 1_024


class ConfigApi:
    """Reads and changes options over HTTP. `ports` tells the TCP and the HTTP port that are really listened on."""

    def __init__(self, host: Host, ports: Callable[[], tuple[int, int]]) -> None:
        self._host = host
        self._ports = ports
        self._descriptions = {found.key: found for found in describe(type(host.options)) if found.key}
        self._lookupd_addresses = host.options.lookupd_tcp_address

    def show(self, request: Request) -> Response:
        """The value of one option: texts bare, durations in ns, the rest as JSON."""
        return self._show(request.params["opt"])

    def _show(self, key: str) -> Response:
        found = self._descriptions.get(key)
        if found is None:
            raise HttpError(400, "INVALID_OPTION")
        value = self._value(found)
        return Response(200, value.encode()) if isinstance(value, str) else json(value)

    def _value(self, found: OptionDescription) -> object:
        """The option as NSQ shows it: what is in force, rather than what was asked for."""
        options = self._host.options
        tcp_port, http_port = self._ports()
        in_force: dict[str, Callable[[], object]] = {
            _LOOKUPD: lambda: self._lookupd_addresses,
            _LOG_LEVEL: lambda: LEVELS[get_level()],
            "id": lambda: _node_id(options),
            "broadcast_address": lambda: options.broadcast_address or host_name(),
            "broadcast_tcp_port": lambda: options.broadcast_tcp_port or tcp_port,
            "broadcast_http_port": lambda: options.broadcast_http_port or http_port,
            "statsd_prefix": lambda: statsd_prefix(options, http_port),
            "tls_required": lambda: tls_required(options),
            "tls_min_version": lambda: _TLS_VERSIONS[options.tls_min_version],
        }
        if found.key in in_force:
            return in_force[found.key]()
        value = getattr(options, found.name)
        if found.is_table:
            return [to_table(table) for table in value]
        if found.kind is float and isinstance(value, tuple):
            # As Go writes a float: 1, not 1.0.
            return [int(element) if element == 1 else element for element in value]
        return value * NS_PER_MS if found.unit == "ms" else value

    def change(self, request: Request) -> Response:
        """Set one option from the body, and answer its new value."""
        key = request.params["opt"]
        if not request.body:
            raise HttpError(413, "INVALID_VALUE")
        try:
            if key == _LOG_LEVEL:
                set_level(request.body.decode())
            elif key == _LOOKUPD:
                self._set_lookupd(request.body)
            else:
                raise HttpError(400, "INVALID_OPTION")
        except (OptionError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
            raise HttpError(400, "INVALID_VALUE") from error
        return self._show(key)

    def _set_lookupd(self, body: bytes) -> None:
        addresses = tuple(msgspec.json.decode(body, type=list[str] | None) or ())
        if self._host.discovery is None:
            raise HttpError(503, "STARTING")
        self._host.discovery.set_peers(addresses)
        self._lookupd_addresses = addresses


def tls_required(options: DaemonOptions) -> int:
    """NSQ's number for who must use TLS: 0 nobody, 1 TCP clients, 2 all."""
    return int(options.tcp_needs_tls) + int(options.http_needs_tls)


def _node_id(options: DaemonOptions) -> int:
    """The number that was given, or the one that NSQ makes of the host's name; ours does nothing with it."""
    if options.node_id >= 0:
        return options.node_id
    return zlib.crc32(hashlib.md5(host_name().encode(), usedforsecurity=False).digest()) % _NODE_IDS
