"""The catalogue's names are unique and fit where they are used; the quick form has what its goals need."""

from millstream.bench.catalogue import catalogue
from millstream.bench.contenders import OURS, PEER
from millstream.bench.goals import GOALS
from millstream.protocol.names import is_valid_name

WORKLOADS = {one.name: one for one in catalogue(steady_minutes=0.5, steady_rate=100)}


def test_a_name_is_unique_and_makes_a_topic() -> None:
    assert len(WORKLOADS) == len(catalogue(steady_minutes=0.5, steady_rate=100))
    assert all(is_valid_name(f"{name}.1234.00999") for name in WORKLOADS)


def test_a_slower_contender_is_given_less() -> None:
    mpub = WORKLOADS["mpub"]

    assert mpub.messages_for(PEER, quick=False) < mpub.messages_for(OURS, quick=False) == mpub.messages
    assert mpub.messages_for(OURS, quick=True) == mpub.quick


def test_most_goals_are_judged_in_the_quick_form() -> None:
    quick = [goal for goal in GOALS if WORKLOADS[goal.workload].quick is not None]

    assert len(quick) > len(GOALS) / 2


def test_a_steady_run_runs_only_when_named() -> None:
    assert [name for name, workload in WORKLOADS.items() if workload.by_name] == ["steady"]
