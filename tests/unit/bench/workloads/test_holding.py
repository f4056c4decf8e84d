"""Workloads about time and memory give the figures that the goals are about."""

from collections.abc import Callable

import pytest

from millstream.bench.outcome import HEAP, P50, P99, P999, Outcome
from millstream.bench.trial import Trial
from millstream.bench.workloads import holding

TrialOf = Callable[[int], Trial]

WORKLOADS: dict[str, tuple[Callable[[Trial], Outcome], int, set[str]]] = {
    "latency": (holding.latency(2_000), 1_000, {P50, P99, P999}),
    "queued": (holding.queued, 5_000, {HEAP}),
    "backlog": (holding.backlog, 5_000, {HEAP, holding.FIRST, holding.STATS}),
    "idle subscribers": (holding.idle_subscribers, 20, {holding.EACH}),
    "idle topics": (holding.idle_topics, 20, {holding.EACH, holding.DESCRIPTORS}),
    "steady": (holding.steady(1.0, 1_000), 1_000, {holding.GROWTH, holding.P99_GROWTH, holding.DESCRIPTOR_GROWTH}),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_holding_workload_has_its_figures(trial_of: TrialOf, name: str) -> None:
    run, messages, wanted = WORKLOADS[name]

    outcome = run(trial_of(messages))

    assert wanted <= outcome.figures.keys()


def test_latencies_are_in_order(trial_of: TrialOf) -> None:
    figures = holding.latency(2_000)(trial_of(1_000)).figures

    assert 0 < figures[P50] <= figures[P99] <= figures[P999]
