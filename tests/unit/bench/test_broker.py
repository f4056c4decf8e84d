"""A broker under test is started, watched, started again on its data, and what it says on failure is shown."""

import sys
from pathlib import Path

import pytest

from millstream.bench.broker import Broker, BrokerFailed, restarted
from millstream.bench.trial import CHANNEL


def test_it_answers_and_has_figures(broker: Broker) -> None:
    assert broker.ask("GET", "/ping") == b"OK"
    assert broker.cpu_s() > 0
    assert broker.heap_bytes() <= broker.resident_bytes()
    assert broker.descriptors() > 0


def test_its_own_counts_are_compared_with_what_was_done(broker: Broker) -> None:
    broker.create_topic("counts")
    broker.create_channel("counts", CHANNEL)

    broker.check_drained("counts", CHANNEL, 0)
    with pytest.raises(BrokerFailed, match="counted"):
        broker.check_drained("counts", CHANNEL, 1)
    broker.delete_topic("counts")
    with pytest.raises(BrokerFailed, match="knows no topic"):
        broker.stats("counts")


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
        Broker("broken", command, tmp_path / "broker", None).__enter__()

    assert not (tmp_path / "broker").exists()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailed, match="No such file"):
        Broker("absent", [str(tmp_path / "absent")], tmp_path / "broker", None).__enter__()
