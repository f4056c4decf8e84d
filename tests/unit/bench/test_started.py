"""A broker is started, started again on its data, and what it says on failure is shown."""

import sys
from pathlib import Path

import pytest

from millstream.bench.broker import Broker, BrokerFailed
from millstream.bench.started import StartedBroker, restarted


def test_a_restart_keeps_the_data(broker: Broker) -> None:
    broker.create_topic("kept")
    before = broker.pid

    with restarted(broker):
        pass

    assert broker.pid != before
    assert broker.stats("kept")["topic_name"] == "kept"


def test_a_program_that_ends_is_quoted_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no disk'); raise SystemExit(3)"]

    with pytest.raises(BrokerFailed, match=r"ended with status 3; it said:\nno disk"):
        StartedBroker("broken", command, tmp_path / "broker", None).__enter__()

    assert not (tmp_path / "broker").exists()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailed, match="No such file"):
        StartedBroker("absent", [str(tmp_path / "absent")], tmp_path / "broker", None).__enter__()
