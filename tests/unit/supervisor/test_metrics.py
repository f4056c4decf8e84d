from hypothesis import given
from hypothesis import strategies as st

from millstream.supervisor.metrics import NAMES_MAX, Metrics


def _fed(*datagrams: bytes) -> Metrics:
    metrics = Metrics()
    for datagram in datagrams:
        metrics.feed(datagram)
    return metrics


def test_counters_add_up_over_datagrams_and_lines() -> None:
    metrics = _fed(b"a:1|c", b"a:2|c\nb:1|c\n", b"a:-1|c")

    assert (metrics.counter("a"), metrics.counter("b"), metrics.counter("never")) == (2, 1, 0)


def test_a_sampled_counter_is_scaled_up() -> None:
    assert _fed(b"a:1|c|@0.1").counter("a") == 10


def test_a_set_holds_each_value_once() -> None:
    assert _fed(b"s:x|s", b"s:y|s", b"s:x|s").sets == {"s": {"x", "y"}}


def test_a_gauge_is_set_or_moved() -> None:
    assert _fed(b"g:5|g", b"g:+2|g", b"g:-3|g").gauges == {"g": 4}
    assert _fed(b"g:5|g", b"g:1|g").gauges == {"g": 1}


def test_what_is_no_metric_is_counted_and_dropped() -> None:
    metrics = _fed(b"a", b"a:|c", b"a:nan|c", b"a:inf|c", b":1|c", b"a:1", b"a:1|x", b"a:1|c|@0", b"a:1|c|@2", b"s:|s")

    assert metrics.bad_lines == 10
    assert not metrics.counters


def test_timings_are_taken_and_not_kept() -> None:
    assert _fed(b"t:1.5|ms").bad_lines == 0


def test_the_number_of_names_is_limited() -> None:
    metrics = _fed(*(b"n%d:1|c" % number for number in range(NAMES_MAX + 5)))

    assert len(metrics.counters) == NAMES_MAX
    assert metrics.bad_lines == 5


@given(st.binary(max_size=200))
def test_any_datagram_is_survived(datagram: bytes) -> None:
    _fed(datagram)
