"""Goals are about workloads that exist, and are judged by what was measured."""

import pytest

from millstream.bench.catalogue import catalogue
from millstream.bench.contenders import OURS, PEER
from millstream.bench.goals import GOALS, Goal, Verdict, judge
from millstream.bench.outcome import CPU, RATE

FAST = Goal(workload="mpub", figure=RATE, at_least=2.0, against=PEER)
CHEAP = Goal(workload="mpub", figure=CPU, at_most=0.5, against=PEER)
ABSOLUTE = Goal(workload="mpub", figure=RATE, at_least=100.0)
OTHER = Goal(workload="mpub", figure=RATE, at_least=2.0, against_workload="slow")
FOUND = {
    "mpub": {OURS: {RATE: 300.0, CPU: 1.0}, PEER: {RATE: 100.0, CPU: 1.5}},
    "slow": {OURS: {RATE: 200.0}},
}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.workload}-{goal.figure}")
def test_a_goal_is_about_contenders_of_a_workload(goal: Goal) -> None:
    workloads = {one.name: one for one in catalogue(steady_minutes=1, steady_rate=1)}

    assert {goal.contender} <= set(workloads[goal.workload].contenders)
    assert not goal.against or goal.against in workloads[goal.workload].contenders
    assert not goal.against_workload or goal.against_workload in workloads
    assert (goal.at_least is None) != (goal.at_most is None)


@pytest.mark.parametrize(("goal", "found", "met"), [(FAST, 3.0, True), (CHEAP, 2 / 3, False), (ABSOLUTE, 300.0, True),
                                                    (OTHER, 1.5, False)])  # fmt: skip
def test_a_goal_is_judged_by_the_ratio_or_the_figure(goal: Goal, found: float, *, met: bool) -> None:
    (verdict,) = judge(FOUND, [goal])

    assert verdict.found == pytest.approx(found)
    assert verdict.is_met is met


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge({"mpub": {OURS: {RATE: 1.0}}}, [FAST, CHEAP]) == []


def test_a_verdict_says_what_was_wanted() -> None:
    assert Verdict(goal=FAST, found=1.5).text == "mpub: messages/s 1.50x of nsqd, at least 2.00x"
    assert Verdict(goal=ABSOLUTE, found=50.0).text == "mpub: messages/s 50, at least 100"
