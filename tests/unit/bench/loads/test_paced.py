"""Quantiles are those of all latencies; the load itself runs in workloads/test_holding.py."""

from millstream.bench.loads.paced import quantiles_ms
from millstream.bench.outcome import P50, P99, P999


def test_quantiles_are_in_milliseconds() -> None:
    figures = quantiles_ms([number * 1_000_000 for number in range(1, 1001)])

    assert figures == {P50: 501.0, P99: 991.0, P999: 1000.0}


def test_one_latency_is_all_quantiles() -> None:
    assert set(quantiles_ms([2_000_000]).values()) == {2.0}
