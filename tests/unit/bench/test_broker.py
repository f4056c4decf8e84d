"""A broker under test is asked, watched, and its own counts are compared."""

import pytest

from millstream.bench.broker import Broker, BrokerFailed
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
