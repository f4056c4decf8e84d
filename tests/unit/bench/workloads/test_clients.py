"""Our client's programs run to their end on a broker of ours; what a program says on failure reaches the reader."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from millstream.bench.trial import Trial
from millstream.bench.wire import LoadFailed
from millstream.bench.workloads import clients

TrialOf = Callable[[int], Trial]


@pytest.mark.parametrize("mode", ["async", "json", "thread"])
def test_our_reader_drains_the_channel(trial_of: TrialOf, mode: str) -> None:
    outcome = clients.reads("client_millstream", mode)(trial_of(2_000))

    assert outcome.figures[clients.CLIENT_RATE] > 0


def test_our_writer_fills_the_topic(trial_of: TrialOf) -> None:
    outcome = clients.publishes("client_millstream", "write")(trial_of(2_000))

    assert outcome.figures[clients.CLIENT_RATE] > 0


def test_pynsq_drains_the_channel(trial_of: TrialOf) -> None:
    outcome = clients.reads("client_pynsq")(trial_of(200))

    assert outcome.figures[clients.CLIENT_RATE] > 0


def test_a_program_that_fails_is_quoted(trial_of: TrialOf) -> None:
    with pytest.raises(LoadFailed, match="No module named"):
        clients.reads("client_gnsq")(trial_of(10))


def test_a_program_has_its_time(trial_of: TrialOf) -> None:
    trial = replace(trial_of(1), timeout_s=0.01)

    with pytest.raises(LoadFailed, match="longer"):
        clients.publishes("client_millstream", "write")(trial)
