"""Who is measured: our nsqd in each form and durability, the original in each mode, and any other that is named.

A contender is a name, and a command or a broker that runs already; `Field` starts a command when a workload first asks
for it, and keeps it running.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import millstream
from millstream.base.errors import OptionError
from millstream.bench.broker import Broker
from millstream.bench.cores import Cores
from millstream.bench.running import RunningBroker
from millstream.bench.started import StartedBroker

OURS: Final = "millstream"
MEMORY: Final = "millstream, memory"
FSYNC: Final = "millstream, fsync"
UNCOMPILED: Final = "uncompiled"
PEER: Final = "nsqd"
PEER_ON_DISK: Final = "nsqd, disk queue"
PEER_SYNCED: Final = "nsqd, synced"

OURS_IN_ANY_FORM: Final = frozenset({OURS, MEMORY, FSYNC, UNCOMPILED})

PEER_QUEUE: Final = 20_000_000  # messages that the original keeps in memory: all of them
CERTIFICATE_DAYS: Final = 30

_SUFFIXES: Final = ("*.so", "*.pyd")


def compiled_modules() -> list[str]:
    """Names of the modules of the installed package that are machine code."""
    root = Path(next(iter(millstream.__path__)))
    found = [path for suffix in _SUFFIXES for path in root.rglob(suffix)]
    return sorted(".".join([*path.relative_to(root).parent.parts, path.name.partition(".")[0]]) for path in found)


def our_commands(flags: list[str]) -> dict[str, list[str]]:
    """Our nsqd by contender's name. Without compiled modules there is only the uncompiled form."""
    ours = [sys.executable, "-m", "millstream.cli.nsqd", *flags]
    uncompiled = [sys.executable, "-m", "millstream.bench.uncompiled", "millstream.cli.nsqd", *flags]
    commands = {UNCOMPILED: [*uncompiled, "--durability=log"]}
    if compiled_modules():
        commands[OURS] = [*ours, "--durability=log"]
        commands[MEMORY] = [*ours, "--durability=memory"]
        commands[FSYNC] = [*ours, "--durability=fsync"]
    return commands


def peer_commands(command: list[str], flags: list[str]) -> dict[str, list[str]]:
    """The original by contender's name. A flag given twice counts as given last."""
    command = [*command, "--log-level=error", *flags]
    return {
        PEER: [*command, f"--mem-queue-size={PEER_QUEUE}"],
        PEER_ON_DISK: [*command, "--mem-queue-size=0"],
        PEER_SYNCED: [*command, "--mem-queue-size=0", "--sync-every=1"],
    }


def tls_flags(folder: Path) -> list[str]:
    """Flags for a certificate made here. Raises OptionError where there is no openssl to make it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        raise OptionError("TLS is not measured: there is no openssl to make a certificate with")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(CERTIFICATE_DAYS)]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise OptionError(f"TLS is not measured: openssl says {done.stderr[-200:].decode(errors='replace')}")
    # The original takes HTTPS on a fixed port as soon as it has a certificate.
    return [f"--tls-cert={certificate}", f"--tls-key={key}", "--https-address=127.0.0.1:0"]


class Field:
    """The contenders; a context manager that stops those that it started.

    `commands` start one by its name, `others` are those that run whatever happens here.
    """

    def __init__(
        self,
        commands: Mapping[str, list[str]],
        folder: Path,
        cores: Cores,
        others: Mapping[str, RunningBroker] | None = None,
    ) -> None:
        self._commands = commands
        self.others = others or {}
        self._folder = folder
        self._cores = cores
        self._stack = ExitStack()
        self._running: dict[str, Broker] = {}

    def __enter__(self) -> Self:
        """Nothing starts before it is asked for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._stack.close()

    @property
    def names(self) -> list[str]:
        """All contenders."""
        return [*self._commands, *self.others]

    def broker(self, name: str) -> Broker:
        """The contender, running. Raises BrokerFailed."""
        broker = self.others.get(name) or self._running.get(name)
        if broker is None:
            folder = self._folder / name.replace(", ", "-").replace(" ", "-")
            broker = self._stack.enter_context(StartedBroker(name, self._commands[name], folder, self._cores.broker))
            self._running[name] = broker
        return broker

    def clear(self) -> None:
        """Stop what was started: what comes next finds brokers without a past."""
        self._stack.close()
        self._running.clear()
