"""Starts a broker for the benchmark on a core of its own, and again on its data where a workload wants a restart.

It gets free ports on loopback and an empty folder, is ready when /ping says so, and is stopped whatever happens.
"""

import contextlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from millstream.base.units import Address
from millstream.bench.broker import Broker, BrokerFailed
from millstream.bench.cores import pinned
from millstream.supervisor.ports import auto_ports

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0

_LOOPBACK: Final = "127.0.0.1"
_OUTPUT_SHOWN_BYTES: Final = 2000
_POLL_S: Final = 0.005


class StartedBroker(Broker):
    """A broker whose process is ours; a context manager that leaves no process and no data behind."""

    def __init__(self, name: str, command: list[str], folder: Path, core: int | None) -> None:
        ports = auto_ports(["tcp", "http"])
        super().__init__(name, Address(_LOOPBACK, ports["tcp"]), Address(_LOOPBACK, ports["http"]))
        self._folder = folder
        self._core = core
        self._data_path = folder / "data"
        self._output_path = folder / "output"
        places = ["--tcp-address", "--http-address", "--data-path"]
        values = [self.address, self.http, self._data_path]
        self._command = [*command, *(f"{flag}={value}" for flag, value in zip(places, values, strict=True))]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it. Raises BrokerFailed."""
        self._data_path.mkdir(parents=True)
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, and give the disk back."""
        self._remove()

    def _remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Its process. Raises BrokerFailed while it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise BrokerFailed(f"{self.name} does not run; it said:\n{self._said()}")
        return self._process.pid

    def start(self) -> None:
        """Start the process on what is in the folder, and wait until it answers. Raises BrokerFailed."""
        with self._output_path.open("ab") as output, pinned(self._core):
            try:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._data_path,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # Ctrl-C is for us, who stop it
                )
            except OSError as error:
                raise BrokerFailed(f"{shlex.join(self._command)}: {error}") from error
        end_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < end_s and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self.ask("GET", "/ping")
                return
            time.sleep(_POLL_S)
        state = "is not ready" if self._process.poll() is None else f"ended with status {self._process.returncode}"
        self.stop()
        raise BrokerFailed(f"{self.name} {state}; it said:\n{self._said()}")

    def stop(self) -> None:
        """End the process, by force when it does not listen."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            sys.stderr.write(f"bench: {self.name} (process {self._process.pid}) does not stop, and is killed\n")
            self._process.kill()
            self._process.wait()
        self._process = None

    def _said(self) -> str:
        return self._output_path.read_bytes()[-_OUTPUT_SHOWN_BYTES:].decode(errors="replace")


@contextlib.contextmanager
def restarted(broker: Broker) -> Iterator[None]:
    """Stop a broker, and start it again on the same data at the end."""
    broker.stop()
    yield
    broker.start()
