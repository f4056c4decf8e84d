"""Durations, sizes and addresses: from the text that people write to the numbers that the code uses, and back.

Durations are written and printed as Go does, because NSQ's flags, files and answers are. Every refusal says what to
write instead.
"""

import re
from typing import Final, NamedTuple

from millstream.base.errors import OptionError

PORT_MAX: Final = 65535

_INT64_MAX: Final = 2**63 - 1
_TEXT_LENGTH_MAX: Final = 300
_NS_PER_UNIT: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,  # Go reads both of Unicode's mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_BYTES_PER_UNIT: Final = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kb": 1_000,
    "kib": 1 << 10,
    "m": 1 << 20,
    "mb": 1_000_000,
    "mib": 1 << 20,
    "g": 1 << 30,
    "gb": 1_000_000_000,
    "gib": 1 << 30,
    "t": 1 << 40,
    "tb": 1_000_000_000_000,
    "tib": 1 << 40,
}
_SIZE = re.compile(r"([+-]?[0-9]+)\s*([A-Za-z]*)")
_HOST = re.compile(r"[^\s/\[\]@]*")


def parse_duration_ns(text: str) -> int:
    """Read Go's form: signed decimal numbers each with a unit, such as `1h30m`, `250ms`, `-1.5s`; only 0 needs none.

    Raises ValueError when the text is no duration, or one beyond 292 years.
    """
    if len(text) > _TEXT_LENGTH_MAX:
        raise ValueError("invalid duration: too long")
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    if not unsigned:
        raise ValueError(f"invalid duration {quoted(text)}: write a number and a unit, such as 250ms or 1m30s")
    total_ns, position = 0, 0
    while position < len(unsigned):
        part = _DURATION_PART.match(unsigned, position)
        if part is None or not (part[1] or part[2]):
            raise ValueError(f"invalid duration {quoted(text)}: write a number and a unit, such as 250ms or 1m30s")
        total_ns += _part_ns(text, part[1], part[2] or "", part[3])
        position = part.end()
    if total_ns > _INT64_MAX:
        raise ValueError(f"invalid duration {quoted(text)}: more than 292 years")
    return -total_ns if text[0] == "-" else total_ns


def _part_ns(text: str, whole: str, fraction: str, unit: str) -> int:
    if not unit:
        raise ValueError(f"missing unit in duration {quoted(text)}: write {text}ms, {text}s, {text}m or {text}h")
    unit_ns = _NS_PER_UNIT.get(unit)
    if unit_ns is None:
        raise ValueError(f"unknown unit {quoted(unit)} in duration {quoted(text)}: use ns, us, ms, s, m or h")
    return int(whole or "0") * unit_ns + int(int(fraction or "0") * unit_ns // 10 ** len(fraction))


def format_duration(ns: int) -> str:
    """Write what Go's `Duration.String` writes: `1h0m0s`, `1.5s`, `250ms`, `10µs`, `0s`."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    if ns == 0:
        return "0s"
    if ns < _NS_PER_UNIT["s"]:
        for unit in ("ms", "\u00b5s", "ns"):
            if ns >= _NS_PER_UNIT[unit]:
                return f"{sign}{_decimal(ns, _NS_PER_UNIT[unit])}{unit}"
    minutes, rest_ns = divmod(ns, _NS_PER_UNIT["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest_ns, _NS_PER_UNIT['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    fraction = str(unit + rest)[1:].rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


def parse_size_bytes(text: str) -> int:
    """Read a number of bytes: `5242880`, `64KiB`, `100MB`, `1g` (a lone letter counts in 1024s).

    Raises ValueError when the text is no size.
    """
    size = _SIZE.fullmatch(text.strip()) if len(text) <= _TEXT_LENGTH_MAX else None
    factor = _BYTES_PER_UNIT.get(size[2].lower()) if size else None
    if size is None or factor is None:
        raise ValueError(f"invalid size {quoted(text)}: write bytes (65536), or a unit such as 64KiB or 100MB")
    size_bytes = int(size[1]) * factor
    if abs(size_bytes) > _INT64_MAX:
        raise ValueError(f"invalid size {quoted(text)}: it does not fit 64 bits")
    return size_bytes


def format_size(size_bytes: int) -> str:
    """Write a number of bytes for people: `512 bytes`, `1.5 KiB`, `16.0 MiB`."""
    if size_bytes < 1 << 10:
        return f"{size_bytes} bytes"
    value = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1 << 10
        if value < 1 << 10:
            return f"{value:.1f} {unit}"
    return f"{value / (1 << 10):.1f} TiB"


class Address(NamedTuple):
    """Where a daemon listens or is reached; an empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        """`host:port`, with brackets around an IPv6 host."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `host:port`, `[::1]:port` or `:port`.

    Raises OptionError, which says what to write instead.
    """
    if len(text) > _TEXT_LENGTH_MAX:
        raise OptionError("address is too long: write host:port")
    if not text.isprintable():
        raise OptionError(f"address {quoted(text)} has characters that no address has: write host:port")
    scheme, separator, rest = text.partition("://")
    if separator:
        raise OptionError(f"address {quoted(text)} is a URL: remove {quoted(scheme + separator)}, write {rest}")
    host, separator, port = text.rpartition(":")
    if not separator or (text.startswith("[") and text.endswith("]")):
        raise OptionError(f"address {quoted(text)} has no port: write {text or 'host'}:<port>, such as 127.0.0.1:4150")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise OptionError(
            f"address {quoted(text)} has too many colons: write an IPv6 host in brackets, [{host}]:{port}"
        )
    if _HOST.fullmatch(host) is None:
        raise OptionError(f"address {quoted(text)} has no usable host: write host:port, such as 127.0.0.1:4150")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= PORT_MAX):
        raise OptionError(
            f"address {quoted(text)} has no usable port: write a number from 0 to {PORT_MAX} after the colon"
        )
    return Address(host, int(port))


def quoted(text: str) -> str:
    """Return the beginning of a text in quotes, fit for a log line or a terminal whatever it holds."""
    shown = text if len(text) <= 80 else text[:80] + "..."
    return f'"{shown}"' if shown.isprintable() else f'"{shown.encode("unicode_escape").decode("ascii")}"'
