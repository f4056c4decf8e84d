"""A broker under test: asked over HTTP, and watched through /proc.

`bench.started` starts one for the benchmark, `bench.running` finds one that somebody else started.
"""

import abc
import http.client
import json
import time
from types import TracebackType
from typing import Any, Final, Self

from millstream.base.errors import MillstreamError
from millstream.base.units import Address
from millstream.bench import process

HTTP_TIMEOUT_S: Final = 180.0  # of which the original needs some when its disk is slow
QUIET_TIMEOUT_S: Final = 10.0
QUIET_STEP_S: Final = 0.04
QUIET_SHARE: Final = 0.05  # of a core: below this a broker rests


class BrokerFailed(MillstreamError):
    """A broker did not start, died, or says something else than it must."""


class Broker(abc.ABC):
    """One nsqd, ours or another: `address` takes TCP, `http` answers. A context manager: it runs inside."""

    def __init__(self, name: str, address: Address, http: Address) -> None:
        self.name = name
        self.address = address
        self.http = http

    @abc.abstractmethod
    def __enter__(self) -> Self:
        """Have it ready. Raises BrokerFailed."""

    @abc.abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""

    @property
    @abc.abstractmethod
    def pid(self) -> int:
        """Its process. Raises BrokerFailed while it does not run."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End the process. Raises BrokerFailed when it is somebody else's."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start the process again on its data, and wait until it answers. Raises BrokerFailed."""

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

    def ask(self, method: str, target: str, timeout_s: float = HTTP_TIMEOUT_S) -> bytes:
        """One HTTP request. Raises OSError while nobody listens, BrokerFailed for any answer but 200."""
        connection = http.client.HTTPConnection(self.http.host, self.http.port, timeout=timeout_s)
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
