import socket
from collections.abc import Iterator
from typing import Any

import pytest

from millstream.queuereader import statsd
from millstream.queuereader.statsd import StatsdClient


class Receiver:
    """A statsd that keeps what it gets."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(20)
        self.port: int = self._socket.getsockname()[1]

    def next(self) -> str:
        return self._socket.recv(65_536).decode()

    def close(self) -> None:
        self._socket.close()


class SteppingClock:
    """Moves on by 20 ms at each reading."""

    def __init__(self) -> None:
        self._now_ns = 0

    def wall_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        self._now_ns += 20_000_000
        return self._now_ns


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def client(receiver: Receiver) -> Iterator[StatsdClient]:
    client = StatsdClient("127.0.0.1", receiver.port, clock=SteppingClock())
    yield client
    client.close()


def test_a_counter_has_left_when_the_call_returns(client: StatsdClient, receiver: Receiver) -> None:
    client.incr("spam.decisions")
    client.incr("spam.decisions", 3)
    client.decr("spam.decisions", 2)

    assert [receiver.next() for _ in range(3)] == ["spam.decisions:1|c", "spam.decisions:3|c", "spam.decisions:-2|c"]


def test_gauges_and_timings_have_their_kinds(client: StatsdClient, receiver: Receiver) -> None:
    client.gauge("depth", 12)
    client.timing("took", 12.5)

    assert [receiver.next() for _ in range(2)] == ["depth:12|g", "took:12.5|ms"]


def test_a_negative_gauge_is_no_step(client: StatsdClient, receiver: Receiver) -> None:
    client.gauge("balance", -5)

    assert receiver.next() == "balance:0|g\nbalance:-5|g"


def test_a_timer_measures_its_block_also_when_it_raises(client: StatsdClient, receiver: Receiver) -> None:
    with pytest.raises(KeyError), client.timer("lookup"):
        raise KeyError

    assert receiver.next() == "lookup:20|ms"


def test_a_sampled_counter_says_so_and_is_sent_at_its_rate(receiver: Receiver) -> None:
    draws = iter([0.05, 0.95, 0.01])
    client = StatsdClient("127.0.0.1", receiver.port, fraction=lambda: next(draws))

    for number in (1, 2, 3):
        client.incr("hits", number, rate=0.1)

    assert [receiver.next(), receiver.next()] == ["hits:1|c|@0.1", "hits:3|c|@0.1"]
    client.close()


def test_the_prefix_is_put_before_each_key(receiver: Receiver) -> None:
    client = StatsdClient("127.0.0.1", receiver.port, prefix="site.")
    client.incr("hits")

    assert receiver.next() == "site.hits:1|c"
    client.close()


@pytest.mark.parametrize("key", ["a:1|c\nb", "a|@0.1", "a b\tc", "a\x00b", "\udc80"])
def test_a_key_made_of_hostile_text_stays_one_metric(client: StatsdClient, receiver: Receiver, key: str) -> None:
    client.incr(key)

    received = receiver.next()
    assert received.endswith(":1|c")
    assert received.count(":") == received.count("|") == 1
    assert "\n" not in received


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many", None, object()])
def test_what_is_no_number_is_counted_as_an_error_and_never_raises(client: StatsdClient, value: Any) -> None:
    client.incr("hits", value)
    client.gauge("depth", value)
    client.timing("took", value)

    assert client.errors == 3


def test_a_key_of_any_length_is_sent(client: StatsdClient, receiver: Receiver) -> None:
    client.incr("k" * 100_000)

    assert len(receiver.next()) < 1_100


def test_without_a_host_nothing_happens() -> None:
    client = StatsdClient()
    client.incr("hits")

    assert not client.is_enabled
    assert client.errors == 0


def test_nobody_listening_costs_nothing() -> None:
    receiver = Receiver()
    client = StatsdClient("127.0.0.1", receiver.port)
    receiver.close()

    for _ in range(10):
        client.incr("hits")

    client.close()
    client.incr("hits")


@pytest.mark.parametrize(("host", "port"), [("no host of this kind", 8125), ("127.0.0.1", 1 << 40)])
def test_a_host_of_no_use_disables_the_client(host: str, port: int) -> None:
    client = StatsdClient(host, port)
    client.incr("hits")

    assert not client.is_enabled
    assert client.errors == 1


def test_the_client_of_the_process_can_be_configured(receiver: Receiver) -> None:
    statsd.configure("127.0.0.1", receiver.port, prefix="p")
    statsd.incr("a")
    statsd.decr("b")
    statsd.gauge("c", 1)
    statsd.timing("d", 2)
    with statsd.timer("e"):
        pass
    statsd.configure("")

    received = [receiver.next() for _ in range(5)]
    assert received[:4] == ["p.a:1|c", "p.b:-1|c", "p.c:1|g", "p.d:2|ms"]
    assert received[4].startswith("p.e:")
