"""Counters, gauges and timers of a service, sent to statsd over UDP at once.

    statsd.incr("spam.decisions")

Each call is one datagram before it returns, so that a message is never finished before its counter has left. A call
never blocks and never raises: what cannot be sent is counted in `errors` and forgotten. The process-wide client below
configures itself at its first call from the settings `statsd_host`, `statsd_port` and `statsd_prefix`; without a host
it does nothing.
"""

import math
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger
from millstream.base.system import SystemClock, random_fraction
from millstream.queuereader import settings

__all__ = ["StatsdClient", "client", "configure", "decr", "gauge", "incr", "timer", "timing"]

# A datagram that fits into one packet of any network.
_KEY_LENGTH_MAX: Final = 1_000
_PORT_MAX: Final = 65_535
# What ends a key in statsd's line; keys are often made of what a message holds.
_UNSAFE: Final = re.compile(r"[:|@#\s\x00-\x1f]")

_log = get_logger(__name__)


class StatsdClient:
    """Sends to one statsd; without `host` it sends nothing. May be used from any thread."""

    def __init__(
        self,
        host: str = "",
        port: int = 8125,
        *,
        prefix: str = "",
        clock: Clock | None = None,
        fraction: Callable[[], float] = random_fraction,
    ) -> None:
        """Looks `host` up, which blocks unless it is an address; a host that is unknown disables the client."""
        self._prefix = f"{prefix.rstrip('.')}." if prefix else ""
        self._clock = clock or SystemClock()
        self._fraction = fraction
        self._socket: socket.socket | None = None
        self._address: Any = None
        self.errors = 0
        if host:
            self._open(host, port)

    def _open(self, host: str, port: int) -> None:
        try:
            if not 1 <= port <= _PORT_MAX:
                raise ValueError("a port is between 1 and 65535")
            family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, proto)
        except (OSError, ValueError) as error:
            self.errors += 1
            _log.warning("statsd.disabled", host=host, port=port, error=error)
            return
        # Not connected: a connected socket would drop a datagram to report that an earlier one was refused.
        self._socket.setblocking(False)
        self._address = address

    @property
    def is_enabled(self) -> bool:
        """True when there is somewhere to send to."""
        return self._socket is not None

    def incr(self, key: str, count: float = 1, rate: float = 1) -> None:
        """Add `count` to a counter; with `rate` below 1, only that share of the calls is sent, and says so."""
        self._send(key, count, "c", rate)

    def decr(self, key: str, count: float = 1, rate: float = 1) -> None:
        """Subtract `count` from a counter."""
        self._send(key, count, "c", rate, sign=-1)

    def gauge(self, key: str, value: float) -> None:
        """Set a gauge; a negative value goes as zero and a step down, since statsd reads a sign as a step."""
        self._send(key, value, "g", 1)

    def timing(self, key: str, duration_ms: float, rate: float = 1) -> None:
        """Record how long something took."""
        self._send(key, duration_ms, "ms", rate)

    @contextmanager
    def timer(self, key: str, rate: float = 1) -> Iterator[None]:
        """Record how long the block took, also when it raises."""
        started_ns = self._clock.monotonic_ns()
        try:
            yield
        finally:
            self.timing(key, (self._clock.monotonic_ns() - started_ns) / 1e6, rate)

    def close(self) -> None:
        """Send nothing from now on."""
        closing, self._socket = self._socket, None
        if closing is not None:
            closing.close()

    def _send(self, key: str, value: float, kind: str, rate: float, *, sign: int = 1) -> None:
        sender = self._socket
        if sender is None:
            return
        try:
            number = _number(sign * value)
            if rate < 1 and self._fraction() >= rate:
                return
            sampled = f"|@{rate:g}" if rate < 1 else ""
            safe_key = _UNSAFE.sub("_", str(key)[:_KEY_LENGTH_MAX])
            line = f"{self._prefix}{safe_key}:{number}|{kind}{sampled}"
            if kind == "g" and number.startswith("-"):
                line = f"{self._prefix}{safe_key}:0|g\n{line}"
            sender.sendto(line.encode("utf-8", "replace"), self._address)
        except Exception:  # noqa: BLE001 - counting must not fail a handler, whatever it is given to count
            self.errors += 1


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    if not math.isfinite(value):
        raise ValueError("statsd has no such number")
    return f"{value:.3f}".rstrip("0").rstrip(".")


class _ProcessClient:
    """The client of this process, made at first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: StatsdClient | None = None

    def get(self) -> StatsdClient:
        client = self._client
        if client is not None:
            return client
        with self._lock:
            if self._client is None:
                self._client = _from_settings()
            return self._client

    def replace(self, client: StatsdClient) -> None:
        with self._lock:
            closing, self._client = self._client, client
        if closing is not None:
            closing.close()


def _from_settings() -> StatsdClient:
    try:
        host, port = str(settings.get("statsd_host")), int(settings.get("statsd_port"))
        return StatsdClient(host, port, prefix=str(settings.get("statsd_prefix")))
    except (MillstreamError, TypeError, ValueError) as error:
        # Settings that cannot be read are reported by whoever needs them; counting is never the reason to fail.
        _log.warning("statsd.disabled", error=error)
        return StatsdClient()


_PROCESS: Final = _ProcessClient()


def client() -> StatsdClient:
    """The client of this process, configured from its settings if it was not yet."""
    return _PROCESS.get()


def configure(host: str, port: int = 8125, *, prefix: str = "") -> None:
    """Send to this statsd from now on, instead of the one that the settings name."""
    _PROCESS.replace(StatsdClient(host, port, prefix=prefix))


def incr(key: str, count: float = 1, rate: float = 1) -> None:
    """Add `count` to a counter; with `rate` below 1, only that share of the calls is sent, and says so."""
    _PROCESS.get().incr(key, count, rate)


def decr(key: str, count: float = 1, rate: float = 1) -> None:
    """Subtract `count` from a counter."""
    _PROCESS.get().decr(key, count, rate)


def gauge(key: str, value: float) -> None:
    """Set a gauge."""
    _PROCESS.get().gauge(key, value)


def timing(key: str, duration_ms: float, rate: float = 1) -> None:
    """Record how long something took."""
    _PROCESS.get().timing(key, duration_ms, rate)


@contextmanager
def timer(key: str, rate: float = 1) -> Iterator[None]:
    """Record how long the block took, also when it raises."""
    with _PROCESS.get().timer(key, rate):
        yield
