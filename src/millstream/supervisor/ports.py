"""Gives every listener of a system its port: the fixed ones of `system.toml`, or free ones.

The wanted ports come from `supervisor.plan`, the chosen ones go back there and stay the same over restarts, because
readers and daemons find each other by them.
"""

import random
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Final

from millstream.base.errors import OptionError
from millstream.supervisor.errors import PortTaken

# Below the range that kernels hand out to outgoing connections, so that nobody sits on a port while its owner restarts.
AUTO_FIRST: Final = 20_000
AUTO_LAST: Final = 31_999
AUTO_TRIES_MAX: Final = 2_000

UDP_NAME: Final = "statsd"


def is_free(name: str, port: int) -> bool:
    """True when `port` can be bound on the loopback address now; the listener called statsd is UDP, all others TCP."""
    kind = socket.SOCK_DGRAM if name == UDP_NAME else socket.SOCK_STREAM
    with closing(socket.socket(socket.AF_INET, kind)) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def fixed_ports(wanted: Mapping[str, int], *, free: Callable[[str, int], bool] = is_free) -> dict[str, int]:
    """The wanted ports themselves. Raises PortTaken when one is in use, OptionError when two listeners share one."""
    owners: dict[int, str] = {}
    for name, port in wanted.items():
        if port in owners:
            raise OptionError(f"{owners[port]} and {name} both want port {port}; give one another with --port={name}=N")
        owners[port] = name
    for name, port in wanted.items():
        if not free(name, port):
            raise PortTaken(
                f"port {port} of {name} is in use; give it another with --port={name}=N, or use --ports=auto"
            )
    return dict(wanted)


def auto_ports(
    names: Sequence[str], *, chance: random.Random | None = None, free: Callable[[str, int], bool] = is_free
) -> dict[str, int]:
    """A free port for each name, all different. Raises PortTaken when none is found in a bounded number of tries."""
    source = chance or random.SystemRandom()
    chosen: dict[str, int] = {}
    for _ in range(AUTO_TRIES_MAX):
        if len(chosen) == len(names):
            break
        name, port = names[len(chosen)], source.randint(AUTO_FIRST, AUTO_LAST)
        if port not in chosen.values() and free(name, port):
            chosen[name] = port
    if len(chosen) < len(names):
        raise PortTaken(f"no free ports found between {AUTO_FIRST} and {AUTO_LAST}")
    return chosen


def parse_overrides(texts: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
    """`--port=NAME=NUMBER` values over the known listeners. Raises OptionError with the known names."""
    ports = dict(known)
    for text in texts:
        name, _, number = text.partition("=")
        if name not in ports:
            raise OptionError(f"--port={text}: no listener called {name!r}; there are {', '.join(ports)}")
        if not number.isascii() or not number.isdigit() or not 1 <= int(number[:6]) <= 65535:
            raise OptionError(f"--port={text}: {number!r} is no port (1 to 65535)")
        ports[name] = int(number)
    return ports
