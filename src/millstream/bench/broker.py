"""A broker under test: started here on a core of its own, asked over HTTP, watched through /proc, started again.

It gets free ports on loopback and an empty folder, is ready when /ping says so, and is stopped whatever happens.
"""

import contextlib
import http.client
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from millstream.base.errors import MillstreamError
from millstream.base.units import Address
from millstream.bench import process
from millstream.bench.cores import pinned

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
HTTP_TIMEOUT_S: Final = 180.0  # of which the original needs some when its disk is slow
QUIET_TIMEOUT_S: Final = 10.0
QUIET_STEP_S: Final = 0.04
QUIET_SHARE: Final = 0.05  # of a core: below this a broker rests

_LOOPBACK: Final = "127.0.0.1"
_OUTPUT_SHOWN_BYTES: Final = 2000
_POLL_S: Final = 0.005


class BrokerFailed(MillstreamError):
    """A broker did not start, died, or says something else than it must."""


class Broker:
    """One nsqd, ours or another, as a process; a context manager that leaves no process and no data behind."""

    def __init__(self, name: str, command: list[str], folder: Path, core: int | None) -> None:
        self.name = name
        self.address = _free_address()
        self.http = _free_address()
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

    def cpu_s(self) -> float:
        """Processor time so far. Raises BrokerFailed when it is gone."""
        return process.cpu_s(self.pid)

    def quiet_cpu_s(self) -> float:
        """Processor time once the broker rests: what it does after its last answer belongs to the work, too."""
        before = self.cpu_s()
        end_s = time.monotonic() + QUIET_TIMEOUT_S
        while time.monotonic() < end_s:
            time.sleep(QUIET_STEP_S)
            now = self.cpu_s()
            if now - before < QUIET_SHARE * QUIET_STEP_S:
                return now
            before = now
        return before  # thousands of connections keep a broker busy with their heartbeats

    def resident_bytes(self) -> int:
        """Memory that is resident. Raises BrokerFailed."""
        return process.resident_bytes(self.pid)

    def heap_bytes(self) -> int:
        """Resident memory that belongs to no file. Raises BrokerFailed."""
        return process.heap_bytes(self.pid)

    def steady_bytes(self) -> int:
        """Resident memory when it has stopped to change."""
        end_s = time.monotonic() + QUIET_TIMEOUT_S
        before, now = -1, self.resident_bytes()
        while now != before and time.monotonic() < end_s:
            time.sleep(6 * QUIET_STEP_S)
            before, now = now, self.resident_bytes()
        return now

    def descriptors(self) -> int:
        """Open descriptors. Raises BrokerFailed."""
        return process.descriptors(self.pid)

    def stats(self, topic: str) -> dict[str, Any]:
        """What `/stats` says of a topic. Raises BrokerFailed when it knows none."""
        found = json.loads(self.ask("GET", f"/stats?format=json&topic={topic}"))["topics"]
        if not found:
            raise BrokerFailed(f"{self.name} knows no topic {topic}")
        stats: dict[str, Any] = found[0]
        return stats

    def check_drained(self, topic: str, channel: str, messages: int, requeued: int = 0) -> None:
        """Compare its own statistics with what was done. Raises BrokerFailed."""
        stats = self.stats(topic)
        channels = {entry["channel_name"]: entry for entry in stats["channels"]}
        expected = {"depth": 0, "in_flight_count": 0, "deferred_count": 0, "timeout_count": 0}
        expected |= {"requeue_count": requeued, "message_count": messages}
        found = {name: channels[channel][name] for name in expected}
        if found != expected or stats["message_count"] != messages:
            raise BrokerFailed(f"{self.name} counted {found} where {expected} was done")

    def create_topic(self, topic: str) -> None:
        """Make a topic."""
        self.ask("POST", f"/topic/create?topic={topic}")

    def create_channel(self, topic: str, channel: str) -> None:
        """Make a channel of a topic that is there."""
        self.ask("POST", f"/channel/create?topic={topic}&channel={channel}")

    def delete_topic(self, topic: str) -> None:
        """Give its memory and disk back."""
        self.ask("POST", f"/topic/delete?topic={topic}")

    def ask(self, method: str, target: str) -> bytes:
        """One HTTP request. Raises OSError while nobody listens, BrokerFailed for any answer but 200."""
        connection = http.client.HTTPConnection(self.http.host, self.http.port, timeout=HTTP_TIMEOUT_S)
        try:
            connection.request(method, target)
            answer = connection.getresponse()
            body: Any = answer.read()
        except http.client.HTTPException as error:
            raise BrokerFailed(f"{method} {target}: {error!r}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise BrokerFailed(f"{self.name}: {method} {target}: {answer.status} {body[:200]!r}")
        return bytes(body)


@contextlib.contextmanager
def restarted(broker: Broker) -> Iterator[None]:
    """Stop a broker, and start it again on the same data at the end."""
    broker.stop()
    yield
    broker.start()


def _free_address() -> Address:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return Address(_LOOPBACK, probe.getsockname()[1])
