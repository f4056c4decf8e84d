"""Takes up a changed configuration while nsqlookupd runs: SIGHUP reads the file again, and no connection is dropped.

The log level and the timeouts are applied by whoever owns them, and hold from then on; the tokens of the HTTP API are
read again; of every other option that has changed it is said that a restart is needed.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from millstream.base.declare import describe
from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger, set_level
from millstream.net.http_auth import BearerTokens
from millstream.nsqlookupd.options import LookupdOptions

log = get_logger(__name__)

RELOADABLE: Final = frozenset(
    {"handshake_timeout_ms", "inactive_producer_timeout_ms", "log_level", "tombstone_lifetime_ms"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a reload did: options with their values before and after, flags of others, and what went wrong."""

    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Reloader:
    """Reads the options again with `read`; `apply` gets those now in force whenever a timeout has changed."""

    def __init__(
        self,
        options: LookupdOptions,
        read: Callable[[], LookupdOptions],
        apply: Callable[[LookupdOptions], None],
        tokens: BearerTokens | None = None,
    ) -> None:
        self.options = options
        self._read = read
        self._apply = apply
        self._tokens = tokens

    def reload(self) -> Report:
        """Do it, and say so in the log. What cannot be read stays as it was."""
        changed: list[str] = []
        needs_restart: list[str] = []
        failed: list[str] = []
        try:
            wanted = self._read()
        except (MillstreamError, SystemExit) as error:
            # Reading options ends a process that starts with bad ones; this one runs on as it was.
            failed.append(str(error) if isinstance(error, MillstreamError) else "the options cannot be read")
        else:
            self._take_up(wanted, changed, needs_restart)
        try:
            if self._tokens is not None and self._tokens.reload():
                changed.append(f"tokens (now {self._tokens.count})")
        except MillstreamError as error:
            failed.append(str(error))
        for reason in failed:
            log.error("reload.failed", error=reason)
        log.info(
            "reload.done",
            changed=", ".join(changed) or "nothing",
            needs_restart=", ".join(needs_restart) or "nothing",
        )
        return Report(changed=tuple(changed), needs_restart=tuple(needs_restart), failed=tuple(failed))

    def _take_up(self, wanted: LookupdOptions, changed: list[str], needs_restart: list[str]) -> None:
        values: dict[str, object] = {}
        for one in describe(LookupdOptions):
            before, after = getattr(self.options, one.name), getattr(wanted, one.name)
            if before == after:
                continue
            if one.name in RELOADABLE:
                values[one.name] = after
                changed.append(f"--{one.flag} {one.text_of(before)} -> {one.text_of(after)}")
            else:
                needs_restart.append(f"--{one.flag}")
        if values:
            self.options = dataclasses.replace(self.options, **values)  # type: ignore[arg-type]  # by name
            set_level(self.options.log_level)
            self._apply(self.options)
