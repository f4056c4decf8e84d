"""A broker that somebody else started: found by `tcp://HOST:PORT:PID`, measured as it is, and left running.

Where it answers HTTP the kernel tells: one of the ports that its process listens on. Linux only.
"""

import re
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from millstream.base.errors import OptionError
from millstream.base.units import Address, parse_address
from millstream.bench.broker import Broker, BrokerFailed

SCHEME: Final = "tcp://"
PING_TIMEOUT_S: Final = 5.0

_LISTENING: Final = "0A"  # TCP_LISTEN, in the column `st` of /proc/net/tcp
_PONG: Final = b"OK"


class RunningBroker(Broker):
    """A broker whose process is not ours: it is neither stopped nor started."""

    def __init__(self, name: str, address: Address, http: Address, pid: int) -> None:
        super().__init__(name, address, http)
        self._pid = pid

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It runs on."""

    @property
    def pid(self) -> int:
        """Its process. Raises BrokerFailed when that has ended."""
        if not Path(f"/proc/{self._pid}").exists():
            raise BrokerFailed(f"{self.name}: process {self._pid} has ended")
        return self._pid

    def stop(self) -> None:
        """Raises BrokerFailed."""
        raise BrokerFailed(f"{self.name} was not started here, and is not stopped")

    def start(self) -> None:
        """Raises BrokerFailed."""
        raise BrokerFailed(f"{self.name} was not started here, and is not started again")


def find_running(name: str, text: str) -> RunningBroker:
    """The broker that `tcp://HOST:PORT:PID` stands for. Raises OptionError, which says what does not fit."""
    place, _, number = text.removeprefix(SCHEME).rpartition(":")
    if not text.startswith(SCHEME) or not place or not re.fullmatch(r"[0-9]{1,9}", number):
        raise OptionError(f"{text}: tcp://HOST:PORT:PID names an nsqd that runs, as tcp://127.0.0.1:4150:1234")
    address, pid = parse_address(place), int(number)
    ports = listening_ports(pid)
    if address.port not in ports:
        known = ", ".join(map(str, sorted(ports))) or "none"
        raise OptionError(f"{text}: process {pid} does not listen on port {address.port} (it does on: {known})")
    for port in sorted(ports - {address.port}):
        broker = RunningBroker(name, address, Address(address.host, port), pid)
        with suppress(OSError, BrokerFailed):
            if broker.ask("GET", "/ping", PING_TIMEOUT_S) == _PONG:
                return broker
    raise OptionError(f"{text}: process {pid} answers /ping on no port, so it is no nsqd that can be measured")


def listening_ports(pid: int) -> set[int]:
    """The TCP ports that a process listens on. Raises OptionError when it is not there, or another user's."""
    try:
        links = [_link(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        tables = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    except OSError as error:
        raise OptionError(f"process {pid} cannot be looked at: {error}") from error
    sockets = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    # Columns of proc(5): number, local address as hexadecimal host:port, remote address, state, ..., inode.
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENING and row[9] in sockets}


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""
