"""A trial says whose turn went wrong; bodies are what they should be."""

import json
from collections.abc import Callable

import pytest

from millstream.bench.broker import BrokerFailed
from millstream.bench.trial import Trial, body_of
from millstream.bench.wire import LoadFailed

TrialOf = Callable[[int], Trial]


@pytest.mark.parametrize("size", [100, 200, 1024, 10_000])
def test_a_body_is_a_json_object_of_exactly_that_size(size: int) -> None:
    body = body_of(size)

    assert len(body) == size
    assert json.loads(body)["path"] == "/articles/42"


def test_filling_publishes_at_least_as_many_as_asked_for(trial_of: TrialOf) -> None:
    trial = trial_of(1)

    with trial.topics(trial.topic):
        messages = trial.fill(trial.topic, 3_000, body_of(200))

        assert messages >= 3_000
        assert trial.broker.stats(trial.topic)["message_count"] == messages


def test_a_wrong_count_is_the_brokers_fault(trial_of: TrialOf) -> None:
    trial = trial_of(1)

    with pytest.raises(BrokerFailed, match=rf"{trial.topic}, millstream: 1 messages wait, and 2 should"):  # noqa: SIM117
        with trial.explained():
            trial.check(1, 2, "messages wait")


def test_any_other_failure_is_a_loads(trial_of: TrialOf) -> None:
    with pytest.raises(LoadFailed, match="refused"), trial_of(1).explained():
        raise OSError("refused")
