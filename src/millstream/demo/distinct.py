"""Counts events that may be delivered twice: statsd's sets, which hold each value once.

Beside the counter that the framework's `statsd` sends, a reader names the event's id; the receiver then knows how many
different events there were, whatever was redelivered after a reader was killed.
"""

import socket
from collections.abc import Callable
from typing import Final

from millstream.queuereader import settings

_VALUE_CHARACTERS_MAX: Final = 80
_UNSAFE: Final = str.maketrans(dict.fromkeys(":|@#\n\r\t ", "_"))


def statsd_address() -> tuple[str, int]:
    """Host and port of the settings."""
    return str(settings.get("statsd_host")), int(settings.get("statsd_port"))


class DistinctCounter:
    """Sends the members of one set to the statsd that the settings name; never blocks, never raises."""

    __slots__ = ("_address", "_key", "_statsd", "_socket")

    def __init__(self, key: str, statsd: Callable[[], tuple[str, int]] = statsd_address) -> None:
        """`key` is the set's name; `statsd` is asked once, at the first value."""
        self._key = key
        self._statsd = statsd
        self._socket: socket.socket | None = None
        self._address: tuple[str, int] | None = None

    def add(self, value: object) -> None:
        """Says that `value` was seen."""
        if not isinstance(value, str) or not value:
            return
        if self._address is None:
            self._address = self._statsd()
        host, _ = self._address
        if not host:
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        text = f"{self._key}:{value[:_VALUE_CHARACTERS_MAX].translate(_UNSAFE)}|s"
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            # Counting is never the reason to fail.
            return

    def close(self) -> None:
        """Sends nothing from now on."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._address = None, ("", 0)
