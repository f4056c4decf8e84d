"""Every workload that consumes runs to its end on a broker of ours, whose own counts agree."""

from collections.abc import Callable

import pytest

from millstream.bench.outcome import CPU, RATE, Outcome
from millstream.bench.trial import Trial
from millstream.bench.workloads import consuming

TrialOf = Callable[[int], Trial]

WORKLOADS: dict[str, Callable[[Trial], Outcome]] = {
    "one subscriber": consuming.drain(1, 2500),
    "ten subscribers with RDY 1": consuming.drain(10, 1),
    "requeues": consuming.drain(1, 100, requeue_every=10),
    "cold": consuming.drain_cold(200),
    "two channels at once": consuming.both(2),
    "tls": consuming.through("tls"),
    "snappy": consuming.through("snappy"),
    "deflate": consuming.through("deflate"),
    "many topics": consuming.many_topics(10),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_consuming_workload_gives_a_rate_and_the_brokers_processor_time(trial_of: TrialOf, name: str) -> None:
    outcome = WORKLOADS[name](trial_of(2_000))

    assert outcome.figures[RATE] > 0
    assert outcome.figures[CPU] > 0
