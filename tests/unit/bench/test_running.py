"""A broker that runs already is found by its address and process, measured, and left running."""

import os
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from millstream.base.errors import OptionError
from millstream.bench.broker import Broker, BrokerFailed
from millstream.bench.outcome import RATE
from millstream.bench.running import find_running, listening_ports
from millstream.bench.started import restarted
from millstream.bench.trial import Trial
from millstream.bench.workloads import publishing


def test_one_that_runs_is_found_and_answers(broker: Broker) -> None:
    with find_running("nsqd", f"tcp://{broker.address}:{broker.pid}") as found:
        assert (found.pid, found.address, found.http) == (broker.pid, broker.address, broker.http)
        assert found.cpu_s() > 0

    assert broker.ask("GET", "/ping") == b"OK"


def test_it_is_measured_and_left_as_it_was(broker: Broker, trial_of: Callable[[int], Trial]) -> None:
    found = find_running("nsqd", f"tcp://{broker.address}:{broker.pid}")
    trial = replace(trial_of(2_000), broker=found)

    assert publishing.mpub(200)(trial).figures[RATE] > 0

    with pytest.raises(BrokerFailed, match="knows no topic"):
        broker.stats(trial.topic)


def test_it_is_neither_stopped_nor_started_again(broker: Broker) -> None:
    found = find_running("nsqd", f"tcp://{broker.address}:{broker.pid}")

    with pytest.raises(BrokerFailed, match="not stopped"), restarted(found):
        pass
    with pytest.raises(BrokerFailed, match="not started again"):
        found.start()
    assert broker.ask("GET", "/ping") == b"OK"


@pytest.mark.parametrize(
    "text",
    [
        *("", "tcp://", "tcp://127.0.0.1:4150", "tcp://127.0.0.1:4150:x", "127.0.0.1:4150:1", "tcp://:1"),
        "tcp://127.0.0.1:4150:" + "9" * 5000,
    ],
)
def test_what_names_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(OptionError, match=r"PORT|port"):
        find_running("nsqd", text)


def test_a_process_that_is_not_there_or_listens_elsewhere_is_told(broker: Broker) -> None:
    with pytest.raises(OptionError, match="process 999999999 cannot be looked at"):
        find_running("nsqd", f"tcp://{broker.address}:999999999")
    with pytest.raises(OptionError, match=rf"does not listen on port 1 \(.*{broker.address.port}"):
        find_running("nsqd", f"tcp://127.0.0.1:1:{broker.pid}")


def test_a_process_that_is_no_nsqd_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in listening_ports(os.getpid())
        with pytest.raises(OptionError, match="no nsqd"):
            find_running("nsqd", f"tcp://127.0.0.1:{port}:{os.getpid()}")
    assert port not in listening_ports(os.getpid())
