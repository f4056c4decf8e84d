"""Logs of a service: lines on stderr, and, when the setting `logatron_topic` names one, events on a topic.

    logatron_client.setup()

Both what the framework logs and what the service logs through the standard library's `logging` goes both ways. The
lines on stderr are always written; shipping (`queuereader.log_shipping`) never makes the service wait.
"""

import atexit
import logging
import sys
import threading
from typing import Final

from millstream.base.log import LineFormatter, configure
from millstream.client import Writer
from millstream.protocol.names import is_valid_name
from millstream.queuereader import settings
from millstream.queuereader.log_shipping import LogShipper

__all__ = ["close", "setup"]

_FRAMEWORK_LOGGER: Final = "millstream"
_CLOSE_TIMEOUT_S: Final = 2.0


class _ProcessLog:
    """The handlers that `setup` installed in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shipper: LogShipper | None = None
        self._root_handlers: list[logging.Handler] = []

    def install(self, service: str, level: str, topic: str, nsqd_tcp_address: str) -> None:
        with self._lock:
            self._remove()
            prefix = f"[{service}] "
            configure(prefix=prefix, level=level)
            framework, root = logging.getLogger(_FRAMEWORK_LOGGER), logging.getLogger()
            lines = logging.StreamHandler(sys.stderr)
            lines.setFormatter(LineFormatter(prefix))
            self._root_handlers = [lines]
            if topic:
                self._shipper = LogShipper(service=service, topic=topic, open_writer=lambda: Writer([nsqd_tcp_address]))
                self._root_handlers.append(self._shipper)
                framework.addHandler(self._shipper)
            for handler in self._root_handlers:
                root.addHandler(handler)
            # The libraries below the service are not asked for more than the service itself.
            root.setLevel(framework.level)

    def close(self) -> None:
        with self._lock:
            if self._shipper is not None:
                self._shipper.close_within(_CLOSE_TIMEOUT_S)

    def _remove(self) -> None:
        root = logging.getLogger()
        for handler in self._root_handlers:
            root.removeHandler(handler)
        if self._shipper is not None:
            logging.getLogger(_FRAMEWORK_LOGGER).removeHandler(self._shipper)
            self._shipper.close_within(_CLOSE_TIMEOUT_S)
        self._shipper = None
        self._root_handlers = []


_PROCESS: Final = _ProcessLog()


def setup(service: str = "") -> None:
    """Set up the logs of this process; a second call replaces the first.

    The level is the setting `log_level`. Raises SettingsError or OptionError when a setting is of no use.
    """
    topic = str(settings.get("logatron_topic"))
    if topic and not is_valid_name(topic):
        raise settings.SettingsError(f"logatron_topic is {topic!r}: that is not the name of a topic")
    _PROCESS.install(
        service or settings.service_name(),
        str(settings.get("log_level")),
        topic,
        str(settings.get("nsqd_tcp_address")),
    )
    atexit.register(close)


def close() -> None:
    """Ship what waits to be shipped, for a moment at most. `run` does it, and so does the end of the process."""
    _PROCESS.close()
