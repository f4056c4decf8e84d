"""Every workload that publishes runs to its end on a broker of ours, and counts what it did."""

from collections.abc import Callable

import pytest

from millstream.bench.outcome import CPU, RATE, Outcome
from millstream.bench.trial import Trial
from millstream.bench.workloads import publishing

TrialOf = Callable[[int], Trial]

WORKLOADS: dict[str, Callable[[Trial], Outcome]] = {
    "mpub": publishing.mpub(200),
    "pipelined": publishing.pipelined,
    "deferred": publishing.deferred,
    "one connection": publishing.request_response(1),
    "eight connections": publishing.request_response(8),
    "pub over HTTP": publishing.http(2),
    "mpub over HTTP": publishing.http(2, batch=100),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_publishing_workload_gives_a_rate_and_the_brokers_processor_time(trial_of: TrialOf, name: str) -> None:
    outcome = WORKLOADS[name](trial_of(2_000))

    assert outcome.figures[RATE] > 0
    assert outcome.figures[CPU] > 0
