"""Figures of one run, and their medians."""

from millstream.bench.outcome import CPU, RATE, Outcome, medians, outcome


def test_rate_and_processor_time_are_per_message() -> None:
    found = outcome(messages=1000, wall_s=2.0, cpu_s=0.5, resident_bytes=1 << 20, heap_bytes=0, core_share=0.1)

    assert found.figures[RATE] == 500
    assert found.figures[CPU] == 500


def test_a_median_is_taken_of_each_figure() -> None:
    outcomes = [Outcome({RATE: rate, CPU: 10 - rate}) for rate in (1.0, 5.0, 2.0)]

    assert medians(outcomes) == {RATE: 2.0, CPU: 8.0}
    assert medians([]) == {}
