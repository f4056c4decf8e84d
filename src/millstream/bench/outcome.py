"""What one run of one workload came to: named figures, and medians of them over rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

RATE: Final = "messages/s"
CPU: Final = "CPU s/M"
RESIDENT: Final = "RSS MiB"
HEAP: Final = "heap MiB"
LOAD: Final = "load's core"
P50: Final = "p50 ms"
P99: Final = "p99 ms"
P999: Final = "p99.9 ms"

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one run by name. A workload has those that mean something for it."""

    figures: Mapping[str, float] = field(default_factory=dict)


def outcome(
    *,
    messages: int,
    wall_s: float,
    cpu_s: float,
    resident_bytes: int,
    heap_bytes: int,
    core_share: float,
    more: Mapping[str, float] | None = None,
) -> Outcome:
    """The figures that every load of messages has; processor time and memory are the broker's."""
    return Outcome(
        {
            RATE: messages / wall_s,
            CPU: cpu_s / messages * 1e6,
            RESIDENT: resident_bytes / MIB,
            HEAP: heap_bytes / MIB,
            LOAD: core_share,
            **(more or {}),
        }
    )


def medians(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The median of every figure, in the order of the first outcome."""
    return {name: median(one.figures[name] for one in outcomes) for name in outcomes[0].figures} if outcomes else {}
