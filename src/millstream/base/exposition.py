"""Writes metrics in Prometheus' text format (version 0.0.4).

A daemon's `/metrics` builds one `Exposition` per request from plain numbers; nothing is registered, and nothing is
kept between requests.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from millstream.base.histogram import Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
NO_LABELS: Final[Labels] = {}


class Exposition:
    """Families of samples in the order they were added; a family without samples is left out."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def gauge(self, name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """A value that goes up and down."""
        self._family(name, "gauge", help, [_sample(name, labels, value) for labels, value in samples])

    def counter(self, name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """A total since the start; the name ends in `_total`."""
        self._family(name, "counter", help, [_sample(name, labels, value) for labels, value in samples])

    def histogram(self, name: str, help: str, histogram: Histogram, labels: Labels = NO_LABELS) -> None:
        """How many values lay below which bound."""
        lines = [
            _sample(f"{name}_bucket", {**labels, "le": _number(bound)}, count)
            for bound, count in histogram.cumulative()
        ]
        lines.append(_sample(f"{name}_bucket", {**labels, "le": "+Inf"}, histogram.count))
        lines += [_sample(f"{name}_sum", labels, histogram.total), _sample(f"{name}_count", labels, histogram.count)]
        self._family(name, "histogram", help, lines)

    def summary(
        self, name: str, help: str, samples: Iterable[tuple[Labels, Sequence[tuple[float, float]], float, int]]
    ) -> None:
        """Quantiles of what was lately, with the sum and the count of everything since the start."""
        lines: list[str] = []
        for labels, quantiles, total, count in samples:
            lines += [_sample(name, {**labels, "quantile": _number(fraction)}, value) for fraction, value in quantiles]
            lines += [_sample(f"{name}_sum", labels, total), _sample(f"{name}_count", labels, count)]
        self._family(name, "summary", help, lines)

    def _family(self, name: str, kind: str, help: str, lines: Sequence[str]) -> None:
        if lines:
            escaped = help.replace("\\", "\\\\").replace("\n", "\\n")
            self._lines += [f"# HELP {name} {escaped}", f"# TYPE {name} {kind}", *lines]

    def encode(self) -> bytes:
        """The whole text."""
        return "".join(f"{line}\n" for line in self._lines).encode("utf-8", "replace")


def _sample(name: str, labels: Labels, value: float) -> str:
    if not labels:
        return f"{name} {_number(value)}"
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)
