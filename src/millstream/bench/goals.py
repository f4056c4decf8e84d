"""What the broker and the client are to reach, as data, and whether they did.

A goal compares one figure of one workload: with the same figure of another contender or workload, or with a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from millstream.bench.contenders import FSYNC, OURS, PEER, PEER_ON_DISK, PEER_SYNCED, UNCOMPILED
from millstream.bench.outcome import CPU, HEAP, P50, P99, RATE
from millstream.bench.workloads.clients import CLIENT_RATE
from millstream.bench.workloads.holding import DESCRIPTORS, EACH, FIRST, STATS

# Of a workload, by contender: the medians by name of the figure.
Medians = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure has to be `at_least` or `at_most` a bound: times what it is compared with, if with something."""

    workload: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    contender: str = OURS
    against: str = ""
    against_workload: str = ""

    @property
    def text(self) -> str:
        """The goal in words, without what was measured."""
        who = "" if self.contender == OURS else f" {self.contender}"
        return f"{self.workload}{who}: {self.figure}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a goal; `found` is the ratio, or the figure itself where it is compared with a number."""

    goal: Goal
    found: float

    @property
    def is_met(self) -> bool:
        """Whether it was reached, rounding in its favour only what nobody can measure."""
        goal = self.goal
        if goal.at_least is not None:
            return self.found >= goal.at_least
        return goal.at_most is not None and self.found <= goal.at_most

    @property
    def text(self) -> str:
        """The goal, what was found, and what was wanted."""
        goal = self.goal
        is_ratio = bool(goal.against or goal.against_workload)
        bound = goal.at_least if goal.at_least is not None else goal.at_most
        word = "at least" if goal.at_least is not None else "at most"
        found, wanted = (f"{value:,.2f}x" if is_ratio else f"{value:,.4g}" for value in (self.found, bound or 0.0))
        against = goal.against_workload or goal.against
        return f"{goal.text} {found}{f' of {against}' if is_ratio else ''}, {word} {wanted}"


def faster(workload: str, rate: float, cpu: float, **other: str) -> tuple[Goal, Goal]:
    """Rate at least, processor time per message at most, as a multiple of the original's."""
    against = other.get("against", PEER)
    return (
        Goal(workload=workload, figure=RATE, at_least=rate, against=against),
        Goal(workload=workload, figure=CPU, at_most=cpu, against=against),
    )


GOALS: Final[Sequence[Goal]] = (
    *faster("mpub", 2.0, 1 / 3),
    *faster("mpub-1k", 1.2, 1 / 1.3),
    *faster("sub-1x2500", 5.0, 1 / 10),
    *faster("both-1", 3.0, 1 / 8),
    *faster("both-3", 4.0, 1 / 14),
    *faster("pub-pipelined", 6.0, 1 / 8),
    *faster("pub-16", 1.3, 1 / 1.7),
    *faster("pub-64", 1.3, 1 / 1.7),
    *faster("pub-1-core", 1.0, 1 / 1.3),
    *faster("sub-1x1", 1.2, 1 / 1.7),
    *faster("sub-100x1", 1.2, 1 / 1.7),
    *faster("http-pub-16", 1.3, 1 / 2),
    *faster("http-mpub-16", 3.0, 1 / 4),
    Goal(workload="latency-5k", figure=P50, at_most=0.8, against=PEER),
    Goal(workload="latency-5k", figure=P99, at_most=1.0, against=PEER),
    Goal(workload="queued", figure=HEAP, at_most=1 / 8, against=PEER),
    Goal(workload="mpub", figure=RATE, at_least=0.5, contender=UNCOMPILED, against=PEER),
    Goal(workload="sub-1x2500", figure=RATE, at_least=0.5, contender=UNCOMPILED, against=PEER),
    Goal(workload="client-async", figure=RATE, at_least=10.0, against_workload="client-pynsq"),
    Goal(workload="client-async", figure=RATE, at_least=3.0, against_workload="client-asyncnsq"),
    Goal(workload="client-async", figure=CLIENT_RATE, at_least=300_000),
    Goal(workload="client-json", figure=CLIENT_RATE, at_least=100_000),
    Goal(workload="pub-synced", figure=RATE, at_least=3.0, contender=FSYNC, against=PEER_SYNCED),
    Goal(workload="sub-cold", figure=RATE, at_least=2.0, against=PEER_ON_DISK),
    Goal(workload="backlog", figure=HEAP, at_most=100.0),
    Goal(workload="backlog", figure=FIRST, at_most=3000.0),
    Goal(workload="backlog", figure=STATS, at_most=20.0),
    Goal(workload="idle-subscribers", figure=EACH, at_most=8.0),
    Goal(workload="idle-topics", figure=DESCRIPTORS, at_most=1.2),
)


def judge(medians: Medians, goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """The verdict on each goal for which everything was measured that it needs."""
    verdicts = []
    for goal in goals:
        mine = medians.get(goal.workload, {}).get(goal.contender, {}).get(goal.figure)
        if mine is None:
            continue
        found: float | None = mine
        if goal.against or goal.against_workload:
            workload, contender = goal.against_workload or goal.workload, goal.against or goal.contender
            other = medians.get(workload, {}).get(contender, {}).get(goal.figure)
            found = mine / other if other else None
        if found is not None:
            verdicts.append(Verdict(goal=goal, found=found))
    return verdicts
