"""Adds up what the system's processes report over statsd: counters, gauges, and sets of distinct values.

Datagrams come from `supervisor.statsd`; `supervisor.board` and the demo's summary read the sums.  Pure: a datagram is
text from outside, so whatever is not a metric is counted and dropped, and the number of names and values is limited.
"""

from typing import Final

NAMES_MAX: Final = 10_000
SET_VALUES_MAX: Final = 2_000_000
_NAME_CHARACTERS_MAX: Final = 250


class Metrics:
    """The sums since the start."""

    __slots__ = ("_set_values", "bad_lines", "counters", "datagrams", "gauges", "sets")

    def __init__(self) -> None:
        """Empty."""
        self.counters: dict[str, float] = {}
        self.gauges: dict[str, float] = {}
        self.sets: dict[str, set[str]] = {}
        self.datagrams = 0
        self.bad_lines = 0
        self._set_values = 0

    def counter(self, name: str) -> int:
        """A counter's sum; 0 when nobody reported it."""
        return round(self.counters.get(name, 0))

    def feed(self, datagram: bytes) -> None:
        """Adds one datagram of lines `name:value|type`, type c, g, s or ms, optionally `|@sample rate`."""
        self.datagrams += 1
        for line in datagram.decode("utf-8", "replace").splitlines():
            if line and not self._add(line):
                self.bad_lines += 1

    def _add(self, line: str) -> bool:
        name, colon, rest = line.partition(":")
        value, *kinds = rest.split("|")
        if not colon or not name or len(name) > _NAME_CHARACTERS_MAX or not kinds:
            return False
        if kinds[0] == "s":
            return self._add_to_set(name, value)
        number = _number(value)
        rate = _number(kinds[1][1:]) if len(kinds) > 1 and kinds[1].startswith("@") else 1.0
        if number is None or rate is None or not 0 < rate <= 1:
            return False
        if kinds[0] == "c" and _has_room(self.counters, name):
            self.counters[name] = self.counters.get(name, 0) + number / rate
            return True
        if kinds[0] == "g" and _has_room(self.gauges, name):
            base = self.gauges.get(name, 0) if value[0] in "+-" else 0
            self.gauges[name] = base + number
            return True
        return kinds[0] in ("ms", "h", "d")

    def _add_to_set(self, name: str, value: str) -> bool:
        if not value or self._set_values >= SET_VALUES_MAX or not _has_room(self.sets, name):
            return False
        values = self.sets.setdefault(name, set())
        self._set_values += value not in values
        values.add(value)
        return True


def _has_room(table: dict[str, float] | dict[str, set[str]], name: str) -> bool:
    return name in table or len(table) < NAMES_MAX


def _number(text: str) -> float | None:
    # float() also takes "nan", "inf" and "1_000", none of which is a count.
    if not text or len(text) > 40 or not set(text) <= set("0123456789.+-eE"):
        return None
    try:
        return float(text)
    except ValueError:
        return None
