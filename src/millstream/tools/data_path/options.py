"""The options of `millstream log`, one class for each of its verbs."""

from dataclasses import dataclass
from datetime import UTC

from millstream.base.errors import OptionError
from millstream.base.options import check, option
from millstream.base.rfc3339 import parse_iso8601_ns
from millstream.base.units import quoted
from millstream.protocol.names import is_valid_name

FORMATS = ("json", "raw")
_ID_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOptions:
    """What inspect and verify take."""

    topic: str = option("", "only this topic")

    def __post_init__(self) -> None:
        check(self)
        check_name("--topic", self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One end of a range: a sequence, or an instant in ns on the wall clock; None where it is not that."""

    sequence: int | None = None
    timestamp_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpOptions:
    """What dump takes. Raises OptionError when values contradict each other."""

    topic: str = option("", "the topic; needed when the data path has several")
    channel: str = option("", "not the log, but the messages that this channel keeps outside of it: deferred, requeued")
    start: str = option("", "from this message on: its id, or a time such as 2026-01-31T12:00:00Z", flag="from")
    end: str = option("", "up to the message before this one: its id, or a time", flag="to")
    limit: int = option(0, "at most so many; 0: all", low=0)
    format: str = option("json", "a line of JSON for each message, or its raw body and a newline", choices=FORMATS)

    def __post_init__(self) -> None:
        check(self)
        check_name("--topic", self.topic)
        check_name("--channel", self.channel)
        parse_bound("--from", self.start)
        parse_bound("--to", self.end)


def check_name(flag: str, name: str) -> None:
    """Raise OptionError for what cannot be a name."""
    if name and not is_valid_name(name):
        raise OptionError(f"{flag} is {quoted(name)}, which is no name: use 1 to 64 of . a-z A-Z 0-9 _ -")


def parse_bound(flag: str, text: str) -> Bound:
    """Read an id, or a time; without a zone it is in UTC. Raises OptionError."""
    if not text:
        return Bound()
    if len(text) == _ID_CHARACTERS and all(character in "0123456789abcdef" for character in text):
        return Bound(sequence=int(text, 16))
    try:
        return Bound(timestamp_ns=parse_iso8601_ns(text, zone=UTC))
    except ValueError as error:
        raise OptionError(
            f"{flag} is {quoted(text)}: write an id of 16 hex digits, or a time such as 2026-01-31T12:00:00Z"
        ) from error
