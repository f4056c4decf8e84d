"""The options of `millstream peek`."""

from dataclasses import dataclass

from millstream.base.errors import OptionError
from millstream.base.options import check, option


@dataclass(frozen=True, slots=True, kw_only=True)
class PeekOptions:
    """Everything that can be set. Raises OptionError."""

    nsqd_http_address: str = option("127.0.0.1:4151", "host:port of the HTTP server of nsqd")
    http_token: str = option("", "bearer token, where nsqd's HTTP asks for one")
    state: str = option(
        "", "states to show, with commas: ready, in_flight, deferred, retained (finished, and still in the log)"
    )
    id: str = option("", "show the message with this id, whatever state it is in")
    since: str = option(
        "", "show what was taken in since: 2026-01-31T17:05:00Z, seconds since 1970, or -1h", flag="from"
    )
    until: str = option("", "show what was taken in before this time", flag="to")
    limit: int = option(20, "show so many at most; 0: all", low=0)
    json: bool = option(False, "one JSON object per message, bodies whole")
    body: bool = option(True, "show bodies")

    def __post_init__(self) -> None:
        check(self)
        if self.id and (self.since or self.until or self.state):
            raise OptionError("--id names one message: leave out --state, --from and --to")
