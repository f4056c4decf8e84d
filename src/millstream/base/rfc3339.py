"""Instants as people write them, `2030-01-31T12:00:00.25Z`, to nanoseconds since the Unix epoch and back.

To the nanosecond: `datetime` knows microseconds only. HTTP takes RFC 3339; a command line takes all of ISO 8601 that
`datetime` reads. Refusals say what to write instead.
"""

import re
from datetime import UTC, date, datetime, tzinfo
from typing import Final

from millstream.base.units import quoted

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
_FRACTION = re.compile(r"(?<=:[0-9]{2}:[0-9]{2})[.,]([0-9]+)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_S_PER_DAY: Final = 86_400
_NS_PER_S: Final = 1_000_000_000
_NS_PER_US: Final = 1_000
_NS_DIGITS: Final = 9


class NoTimeZone(ValueError):
    """The instant could be any of a day's, as it says nothing of its time zone."""


def parse_rfc3339_ns(text: str) -> int:
    """Read an instant; it must say its offset from UTC, or `Z`.

    Raises ValueError when the text is no instant.
    """
    if _RFC_3339.fullmatch(text) is None:
        raise ValueError(f"invalid instant {quoted(text)}: write it as 2030-01-31T12:00:00Z")
    return parse_iso8601_ns(text)


def parse_iso8601_ns(text: str, *, zone: tzinfo | None = None) -> int:
    """Read an instant in any form that `datetime` reads; in `zone` when it names none.

    Raises NoTimeZone without either, and ValueError when the text is no instant.
    """
    fraction = _FRACTION.search(text)
    digits = fraction[1] if fraction is not None else ""
    whole = text if fraction is None else text[: fraction.start()] + text[fraction.end() :]
    try:
        found = datetime.fromisoformat(whole.upper())
    except ValueError as error:
        raise ValueError(f"invalid instant {quoted(text)}: {error}") from None
    if len(digits) > _NS_DIGITS:
        raise ValueError(f"invalid instant {quoted(text)}: it has more than {_NS_DIGITS} digits of a second")
    if found.tzinfo is None:
        if zone is None:
            raise NoTimeZone(f"{quoted(text)} has no time zone: write {text}Z for UTC, or {text}+02:00")
        found = found.replace(tzinfo=zone)
    since = found - _EPOCH
    whole_ns = (since.days * _S_PER_DAY + since.seconds) * _NS_PER_S + since.microseconds * _NS_PER_US
    return whole_ns + int(digits.ljust(_NS_DIGITS, "0"))


def format_rfc3339(ns: int) -> str:
    """Write an instant in UTC, with as many digits of a second as it has; of the years 1 to 9999."""
    seconds, fraction_ns = divmod(ns, _NS_PER_S)
    days, second = divmod(seconds, _S_PER_DAY)
    day = date.fromordinal(_EPOCH_DAY + days)
    fraction = f".{fraction_ns:0{_NS_DIGITS}d}".rstrip("0").rstrip(".")
    return f"{day.isoformat()}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{fraction}Z"
