"""The options of nsq_to_file: NSQ's flags with their defaults, and the options of the readers made from them."""

import re
from dataclasses import dataclass
from typing import Final

from millstream.base.errors import OptionError
from millstream.base.log import LEVELS
from millstream.base.options import check, from_mapping, option
from millstream.base.version import NSQ_VERSION, VERSION
from millstream.client import ReaderOptions
from millstream.protocol.names import is_valid_name

_DAY_MS: Final = 24 * 3_600_000
# What is held is finished within moments of a stop; only an nsqd that does not answer makes it take this long.
_CLOSE_TIMEOUT_MS: Final = 8_000
_OTHER_NAMES: Final = {"dial_timeout": "connect_timeout"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFileOptions:
    """Everything that can be set. Raises OptionError when values are missing or contradict each other."""

    topics: tuple[str, ...] = option((), "topic to archive; without one, those of nsqlookupd", flag="topic")
    topic_pattern: str = option("", "archive only topics in whose name this regular expression is found")
    topic_refresh_ms: int = option(60_000, "ask nsqlookupd for new topics this often", unit="ms", low=10, high=_DAY_MS)
    channel: str = option("nsq_to_file", "channel to read")

    lookupd_http_addresses: tuple[str, ...] = option(
        (), "host:port of the HTTP server of an nsqlookupd", flag="lookupd-http-address"
    )
    nsqd_tcp_addresses: tuple[str, ...] = option((), "host:port of the TCP server of an nsqd", flag="nsqd-tcp-address")
    max_in_flight: int = option(200, "messages at most that are received and not yet finished", low=1, high=1_000_000)
    consumer_opts: tuple[str, ...] = option((), "an option of the reader, as name,value", flag="consumer-opt")
    http_client_connect_timeout_ms: int = option(
        2_000, "give up connecting to nsqlookupd after this", unit="ms", low=1, high=300_000
    )
    http_client_request_timeout_ms: int = option(
        5_000, "give up waiting for nsqlookupd after this", unit="ms", low=1, high=300_000
    )

    output_dir: str = option("/tmp", "folder of the files")  # noqa: S108 - NSQ's default
    filename_format: str = option(
        "<TOPIC>.<HOST><REV>.<DATETIME>.log", "names of the files; may have <TOPIC> <HOST> <PID> <DATETIME> <REV> and /"
    )
    datetime_format: str = option("%Y-%m-%d_%H", "what <DATETIME> stands for, in codes of strftime, local time")
    host_identifier: str = option("", "what <HOST> stands for; may have <SHORT_HOST> and <HOSTNAME>")
    gzip: bool = option(False, "compress the files")
    gzip_level: int = option(6, "from 1, the fastest, to 9, the smallest", low=1, high=9)
    rotate_size_bytes: int = option(0, "begin a new file when one is larger than this; 0: never", unit="bytes", low=0)
    rotate_interval_ms: int = option(0, "begin a new file when one is older than this; 0: never", unit="ms", low=0)
    skip_empty_files: bool = option(False, "create a file only when there is something to write")
    sync_interval_ms: int = option(
        30_000, "bring what was written to the disk at least this often", unit="ms", low=1, high=_DAY_MS
    )

    log_level: str = option("info", "write log events from this level on: debug, info, warn, error or fatal")
    log_prefix: str = option("[nsq_to_file] ", "what each line of the log starts with")

    def __post_init__(self) -> None:
        check(self)
        if self.log_level.lower() not in LEVELS:
            raise OptionError(f"--log-level is {self.log_level!r}: use one of {', '.join(LEVELS)}")
        if not is_valid_name(self.channel):
            raise OptionError(f"--channel is {self.channel!r}: it has to be a valid channel name")
        for topic in self.topics:
            if not is_valid_name(topic):
                raise OptionError(f"--topic is {topic!r}: it has to be a valid topic name")
        if not self.topics and not self.topic_pattern:
            raise OptionError("--topic or --topic-pattern required")
        if not self.lookupd_http_addresses and not self.nsqd_tcp_addresses:
            raise OptionError("--nsqd-tcp-address or --lookupd-http-address required")
        if self.lookupd_http_addresses and self.nsqd_tcp_addresses:
            raise OptionError("use --nsqd-tcp-address or --lookupd-http-address not both")
        if not self.topics and not self.lookupd_http_addresses:
            raise OptionError("--topic-pattern without --topic needs --lookupd-http-address, to ask for topics")
        try:
            re.compile(self.topic_pattern)
        except re.error as error:
            raise OptionError(f"--topic-pattern is {self.topic_pattern!r}: {error}") from error

    @property
    def has_revisions(self) -> bool:
        """True when a name alone does not say which file is meant, so that names carry `<REV>`."""
        return self.gzip or self.rotate_size_bytes > 0 or self.rotate_interval_ms > 0

    @property
    def opens_exclusively(self) -> bool:
        """True when a file that is there already is left alone: what it ends with may be torn, or begun long ago."""
        return self.gzip or self.rotate_interval_ms > 0

    def wants_topic(self, topic: str) -> bool:
        """True when the pattern is found in the name of the topic, or there is none."""
        return re.search(self.topic_pattern, topic) is not None


def reader_options(options: ToFileOptions) -> tuple[ReaderOptions, list[str]]:
    """The options of every reader, and a complaint for each `--consumer-opt` that is of no use and left out.

    There is no limit of attempts unless one is asked for: a reader that gives up finishes what was not archived.
    """
    values: dict[str, object] = {
        "max_attempts": 0,
        "close_timeout": _CLOSE_TIMEOUT_MS,
        "lookupd_poll_timeout": options.http_client_request_timeout_ms,
        "user_agent": f"nsq_to_file/{NSQ_VERSION} millstream/{VERSION}",
    }
    complaints = []
    for text in options.consumer_opts:
        try:
            values = _with_consumer_opt(values, text)
        except OptionError as error:
            complaints.append(str(error))
    return from_mapping(ReaderOptions, values | {"max_in_flight": options.max_in_flight}), complaints


def _with_consumer_opt(values: dict[str, object], text: str) -> dict[str, object]:
    name, _, value = text.partition(",")
    key = name.strip().replace("-", "_")
    key = _OTHER_NAMES.get(key, key)
    given: list[object] = [value or "true"]
    if value.isascii() and value.isdigit() and len(value) < 19:
        given.append(int(value))  # where a duration is due, NSQ reads a bare integer as milliseconds
    while True:
        changed = {**values, key: given.pop(0)}
        try:
            from_mapping(ReaderOptions, changed)
        except OptionError:
            if not given:
                raise
        else:
            return changed
