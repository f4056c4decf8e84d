"""Draws the ratios to the original as an SVG: two bars per workload, on a logarithmic scale.

To the right of the line is better: more messages a second, less processor time per message.
"""

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Final

from millstream.bench.contenders import OURS
from millstream.bench.goals import Medians
from millstream.bench.outcome import CPU, RATE
from millstream.bench.report import baseline

LABEL_WIDTH: Final = 150
CHART_WIDTH: Final = 560
VALUE_WIDTH: Final = 60
ROW_HEIGHT: Final = 30
BAR_HEIGHT: Final = 10
TOP: Final = 50
RATIO_MIN: Final = 0.25
RATIO_MAX: Final = 32.0

_COLOURS: Final = {RATE: "#2f6f9f", CPU: "#7fb069"}
_TICKS: Final = (0.25, 0.5, 1, 2, 4, 8, 16, 32)
_STYLE: Final = "text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd}.one{stroke:#333}"


def ratios(found: Medians) -> dict[str, dict[str, float]]:
    """By workload, how many times better ours is in rate and processor time, where both were measured."""
    charted: dict[str, dict[str, float]] = {}
    for workload, by_contender in found.items():
        ours, other = by_contender.get(OURS), by_contender.get(baseline(by_contender))
        if not ours or not other or not {RATE, CPU} <= ours.keys() & other.keys() or workload.startswith("client-"):
            continue
        charted[workload] = {RATE: ours[RATE] / other[RATE], CPU: other[CPU] / ours[CPU]}
    return charted


def draw(charted: Mapping[str, Mapping[str, float]]) -> str:
    """The document."""
    height = TOP + ROW_HEIGHT * len(charted) + 10
    width = LABEL_WIDTH + CHART_WIDTH + VALUE_WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<rect x="{LABEL_WIDTH}" y="8" width="10" height="10" fill="{_COLOURS[RATE]}"/>',
        f'<text x="{LABEL_WIDTH + 16}" y="17">messages per second, times nsqd</text>',
        f'<rect x="{LABEL_WIDTH + 230}" y="8" width="10" height="10" fill="{_COLOURS[CPU]}"/>',
        f'<text x="{LABEL_WIDTH + 246}" y="17">messages per CPU second, times nsqd</text>',
    ]
    for tick in _TICKS:
        x = _x(tick)
        kind = "one" if tick == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 8}"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{tick:g}x</text>')
    for row, (workload, values) in enumerate(charted.items()):
        y = TOP + row * ROW_HEIGHT
        parts.append(f'<text x="{LABEL_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(workload)}</text>')
        for at, (name, value) in enumerate(values.items()):
            left, right = sorted((_x(1.0), _x(value)))
            top = y + 2 + at * (BAR_HEIGHT + 1)
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{BAR_HEIGHT}" '
                f'fill="{_COLOURS[name]}"/>'
            )
            parts.append(f'<text x="{right + 4:.1f}" y="{top + 9}" font-size="10">{value:.1f}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def write_chart(path: Path, found: Medians) -> None:
    """Draw into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(ratios(found)), encoding="utf-8")


def _x(ratio: float) -> float:
    """Where a ratio is on the scale; what lies beyond its ends is drawn there."""
    bounded = min(RATIO_MAX, max(RATIO_MIN, ratio))
    return LABEL_WIDTH + CHART_WIDTH * math.log(bounded / RATIO_MIN) / math.log(RATIO_MAX / RATIO_MIN)
