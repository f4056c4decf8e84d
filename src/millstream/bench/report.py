"""Turns the figures of all rounds into a table, a JSON document, and the lines of the verdict."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from millstream.bench.contenders import OURS, PEER
from millstream.bench.goals import Medians, Verdict
from millstream.bench.outcome import CPU, HEAP, LOAD, P50, P99, P999, RATE, RESIDENT, Outcome, medians

# Of a workload, by contender: one outcome per round.
Results = Mapping[str, Mapping[str, Sequence[Outcome]]]

CORE_SHARE_FULL: Final = 0.9

_HEADINGS: Final = (
    "workload",
    "broker",
    "messages/s",
    "vs",
    "CPU s/M",
    "vs",
    "p50/p99/p99.9 ms",
    "vs",
    "RSS MiB",
    "vs",
)
_COLUMNS: Final = {RATE, CPU, P50, P99, P999, RESIDENT, HEAP, LOAD}


def machine_line() -> str:
    """What the figures were taken on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {python}, load {load:.1f} at the start"


def all_medians(results: Results) -> Medians:
    """The medians of every workload and contender that ran."""
    return {
        workload: {contender: medians(outcomes) for contender, outcomes in by_contender.items() if outcomes}
        for workload, by_contender in results.items()
    }


def table(found: Medians) -> str:
    """Every workload: medians, and the ratio to the original (or to the last contender of the workload)."""
    rows = [[*_HEADINGS, "load's core", "also"]]
    for workload, by_contender in found.items():
        for at, (contender, figures) in enumerate(by_contender.items()):
            other = by_contender.get(baseline(by_contender), {})
            rows.append(_row("" if at else workload, contender, figures, {} if figures is other else other))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def baseline(by_contender: Mapping[str, object]) -> str:
    """Whom the others are compared with."""
    if PEER in by_contender:
        return PEER
    last = next(reversed(list(by_contender)), "")
    return last if last != OURS else ""


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One line per goal, and last the sum of all: goals met and missed, the missed ones with their ratios."""
    lines = [f"{'met   ' if verdict.is_met else 'MISSED'}  {verdict.text}" for verdict in verdicts]
    missed = [verdict for verdict in verdicts if not verdict.is_met]
    summary = f"{len(verdicts) - len(missed)} of {len(verdicts)} goals met"
    if not verdicts:
        summary = "no goal could be judged"
    elif missed:
        summary += "; missed: " + "; ".join(verdict.text for verdict in missed)
    return [*lines, summary]


def write_json(path: Path, results: Results, about: Mapping[str, object], verdicts: Sequence[Verdict]) -> None:
    """Every round, the medians, and the verdict."""
    document = {
        **about,
        "medians": all_medians(results),
        "rounds": {
            workload: {contender: [dict(one.figures) for one in outcomes] for contender, outcomes in found.items()}
            for workload, found in results.items()
        },
        "goals": [{"goal": one.text, "found": one.found, "met": one.is_met} for one in verdicts],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _row(workload: str, contender: str, figures: Mapping[str, float], other: Mapping[str, float]) -> list[str]:
    latencies = "/".join(f"{figures[name]:.2f}" for name in (P50, P99, P999) if name in figures)
    memory, memory_ratio = _number(figures, RESIDENT, ",.0f"), _ratio(figures, other, RESIDENT)
    also = [f"{name} {value:,.4g}" for name, value in figures.items() if name not in _COLUMNS]
    if HEAP in figures and RATE not in figures:
        also.insert(0, f"{HEAP} {figures[HEAP]:,.1f} {_ratio(figures, other, HEAP)}".rstrip())
    share = figures.get(LOAD, 0.0)
    if share >= CORE_SHARE_FULL and P50 not in figures:
        also.append("the load sets the pace")
    return [
        workload,
        contender,
        _number(figures, RATE, ",.0f"),
        _ratio(figures, other, RATE),
        _number(figures, CPU, ".3f"),
        _ratio(figures, other, CPU),
        latencies,
        "/".join(filter(None, (_ratio(figures, other, name) for name in (P50, P99)))),
        memory,
        memory_ratio,
        f"{share:.0%}" if LOAD in figures else "",
        ", ".join(also),
    ]


def _number(figures: Mapping[str, float], name: str, how: str) -> str:
    return format(figures[name], how) if name in figures else ""


def _ratio(figures: Mapping[str, float], other: Mapping[str, float], name: str) -> str:
    if name not in figures or not other.get(name):
        return ""
    return f"{figures[name] / other[name]:.2f}x"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    texts = {0, 1, len(widths) - 1}
    return [
        cell.ljust(width) if column in texts else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
