"""The options of `millstream replay`."""

from dataclasses import dataclass

from millstream.base.errors import OptionError
from millstream.base.options import check, option


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """Everything that can be set. Raises OptionError when the flags contradict each other."""

    nsqd_http_address: tuple[str, ...] = option(
        ("127.0.0.1:4151",), "host:port of the HTTP server of an nsqd, may be repeated"
    )
    http_token: str = option("", "bearer token, where nsqd's HTTP asks for one")
    since: str = option(
        "", "replay what was taken in since: 2026-01-31T17:05:00Z, seconds since 1970, or -1h", flag="from"
    )
    until: str = option("", "replay what was taken in before this time; empty: now", flag="to")
    rewind: str = option(
        "", "send the channel itself back instead: to a time, an id of 16 letters, or start (the oldest record)"
    )
    archive: tuple[str, ...] = option((), "file of nsq_to_file to read messages from, may be repeated; .gz is unpacked")
    skip_lines: int = option(0, "leave out so many lines of the archives, to go on after a failure", low=0)
    batch: int = option(500, "messages of an archive that go with one request", low=1, high=10_000)
    batch_size_bytes: int = option(
        1 << 20, "bytes of messages that go with one request", unit="bytes", low=1, high=1 << 30
    )
    depth_max: int = option(10_000, "wait while the channel has more messages waiting than this", low=1)

    def __post_init__(self) -> None:
        check(self)
        if not self.nsqd_http_address:
            raise OptionError("--nsqd-http-address is missing")
        ways = [bool(self.since or self.until), bool(self.rewind), bool(self.archive)]
        if sum(ways) != 1:
            raise OptionError("name one source: --from and --to (the log), --rewind, or --archive")
        if self.archive and len(self.nsqd_http_address) > 1:
            raise OptionError("--archive goes to one nsqd: name one --nsqd-http-address")
