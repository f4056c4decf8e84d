"""Instants: from what people write in a question or on a command line to ns on the wall clock.

Three forms are read: ISO 8601 (`2026-01-31T17:05:00Z`, see `base.rfc3339`), a number of seconds, ms, us or ns since
1970 told apart by its size, and a span from now (`-1h30m`, `+5m`). Every refusal says what to write instead.
"""

from typing import Final

from millstream.base.rfc3339 import NoTimeZone, parse_iso8601_ns
from millstream.base.units import parse_duration_ns, quoted

_NS_PER_S: Final = 1_000_000_000
_LAST_NS: Final = (1 << 63) - 1
_LENGTH_MAX: Final = 64
# A count of seconds has this many digits at most until the year 5138, and so on up.
_SCALE_BY_DIGITS: Final = ((11, _NS_PER_S), (14, 1_000_000), (17, 1_000), (19, 1))


def parse_instant_ns(text: str, now_ns: int) -> int:
    """Ns since 1970. Raises ValueError when the text is no instant, or one before 1970 or behind 2262."""
    if not 0 < len(text) <= _LENGTH_MAX:
        raise ValueError(_refusal(text[:_LENGTH_MAX]))
    if text.isascii() and text.isdigit():
        instant_ns = _from_number(text)
    elif text[0] in "+-":
        instant_ns = now_ns + parse_duration_ns(text)
    else:
        instant_ns = _from_iso8601(text)
    if not 0 <= instant_ns <= _LAST_NS:
        raise ValueError(f"{quoted(text)} is out of bounds: instants lie between 1970 and 2262")
    return instant_ns


def _from_number(text: str) -> int:
    digits = len(text.lstrip("0"))
    for digits_max, scale in _SCALE_BY_DIGITS:
        if digits <= digits_max:
            return int(text) * scale
    raise ValueError(_refusal(text))


def _from_iso8601(text: str) -> int:
    try:
        return parse_iso8601_ns(text)
    except NoTimeZone:
        raise
    except ValueError as error:
        raise ValueError(_refusal(text)) from error


def _refusal(text: str) -> str:
    return (
        f"{quoted(text)} is no instant: write 2026-01-31T17:05:00Z, a number of seconds or nanoseconds since 1970, or"
        " a span from now such as -1h30m"
    )
