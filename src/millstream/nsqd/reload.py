"""Takes up a changed configuration while nsqd runs: SIGHUP reads the file again, and no connection is dropped.

What can change at run time is applied to the host, and holds for what happens from then on; of the rest it is said
that a restart is needed. Whoever owns something else that can be read again (certificates) joins with a hook.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from millstream.base.declare import describe
from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger, set_level
from millstream.nsqd.host import Host
from millstream.nsqd.options import DaemonOptions

log = get_logger(__name__)

RELOADABLE: Final = frozenset(
    {
        "auto_create",
        "deflate",
        "disk_min_free",
        "disk_warn_free",
        "handshake_timeout_ms",
        "log_level",
        "max_channel_consumers",
        "max_connection_rate",
        "max_connections",
        "max_connections_per_address",
        "max_deflate_level",
        "max_heartbeat_interval_ms",
        "max_msg_timeout_ms",
        "max_output_buffer_size",
        "max_output_buffer_timeout_ms",
        "max_rdy_count",
        "max_req_timeout_ms",
        "min_output_buffer_timeout_ms",
        "msg_timeout_ms",
        "output_buffer_timeout_ms",
        "snappy",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Somebody who reads its part again. `apply` says what it changed, or raises `MillstreamError` and changes nothing.

    It is called at every reload, as files change behind the same names; `options` are fields that it takes care of.
    """

    apply: Callable[[DaemonOptions], list[str]]
    options: frozenset[str] = frozenset()


@dataclass(slots=True)
class Report:
    """What a reload did: names of flags, and what hooks said."""

    changed: list[str] = field(default_factory=list)
    needs_restart: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Reloader:
    """Reads the options again with `read`, and applies them. Add to `hooks` before the first reload."""

    def __init__(self, host: Host, read: Callable[[], DaemonOptions]) -> None:
        self.hooks: list[Hook] = []
        self._host = host
        self._read = read
        self._flags = {found.name: f"--{found.flag}" for found in describe(DaemonOptions)}

    def reload(self) -> Report:
        """Do it, and say so in the log. Options that cannot be read change nothing."""
        report = Report()
        try:
            wanted = self._read()
        except (MillstreamError, SystemExit) as error:
            # Reading options ends a process that starts with bad ones; this one runs on as it was.
            report.failed.append("the options cannot be read")
            log.error("reload.failed", error=str(error) if isinstance(error, MillstreamError) else report.failed[0])
            return report
        self._apply(wanted, report)
        for hook in self.hooks:
            try:
                report.changed += hook.apply(wanted)
            except MillstreamError as error:
                report.failed.append(str(error))
                log.error("reload.failed", error=error)
        log.info(
            "reload.done",
            changed=", ".join(report.changed) or "nothing",
            needs_restart=", ".join(report.needs_restart) or "nothing",
        )
        return report

    def _apply(self, wanted: DaemonOptions, report: Report) -> None:
        running = self._host.options
        hooked = frozenset().union(*(hook.options for hook in self.hooks))
        changes: dict[str, object] = {}
        for name, flag in self._flags.items():
            value = getattr(wanted, name)
            if value == getattr(running, name) or name in hooked:
                continue
            if name in RELOADABLE:
                changes[name] = value
                report.changed.append(flag)
            else:
                report.needs_restart.append(flag)
        # Also when the file says what it said: the level may have been changed over HTTP.
        set_level(wanted.log_level)
        if changes:
            self._host.set_options(dataclasses.replace(running, **changes))  # type: ignore[arg-type]  # by name
