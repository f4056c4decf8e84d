"""`base.exposition`: what it writes is read back by Prometheus' own parser."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from millstream.base.exposition import NO_LABELS, Exposition
from millstream.base.histogram import Histogram


def parsed(out: Exposition) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    families = text_string_to_metric_families(out.encode().decode())
    return {
        f"{family.name} {family.type} {family.documentation}": [
            (sample.name, sample.labels, sample.value) for sample in family.samples
        ]
        for family in families
    }


def test_gauges_and_counters_are_families_with_a_sample_per_label() -> None:
    out = Exposition()
    out.gauge("depth", "What waits.", [({"topic": "a"}, 1), ({"topic": "b"}, 2.5)])
    out.counter("seen_total", "What came.", [(NO_LABELS, 7)])

    assert parsed(out) == {
        "depth gauge What waits.": [("depth", {"topic": "a"}, 1), ("depth", {"topic": "b"}, 2.5)],
        "seen counter What came.": [("seen_total", {}, 7)],
    }


def test_the_text_is_as_the_format_says() -> None:
    out = Exposition()
    out.gauge("depth", "Line\nand \\ slash.", [({"a": 'say "x"\n', "b": "\\"}, True), (NO_LABELS, 0.1)])

    assert out.encode().decode() == (
        '# HELP depth Line\\nand \\\\ slash.\n# TYPE depth gauge\ndepth{a="say \\"x\\"\\n",b="\\\\"} 1\ndepth 0.1\n'
    )


def test_a_family_without_samples_is_left_out() -> None:
    out = Exposition()
    out.gauge("none", "Nothing.", [])
    out.summary("none_either", "Nothing.", [])

    assert out.encode() == b""


def test_a_histogram_ends_with_everything() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.5, 5.0):
        histogram.add(value)
    out = Exposition()
    out.histogram("took_seconds", "How long.", histogram, {"disk": "a"})

    assert parsed(out) == {
        "took_seconds histogram How long.": [
            ("took_seconds_bucket", {"disk": "a", "le": "0.1"}, 1),
            ("took_seconds_bucket", {"disk": "a", "le": "1.0"}, 2),
            ("took_seconds_bucket", {"disk": "a", "le": "+Inf"}, 3),
            ("took_seconds_sum", {"disk": "a"}, 5.55),
            ("took_seconds_count", {"disk": "a"}, 3),
        ]
    }


def test_a_summary_has_quantiles_sum_and_count() -> None:
    out = Exposition()
    out.summary("took_seconds", "How long.", [({"c": "x"}, [(0.5, 0.25), (1.0, 2)], 9.5, 4)])

    assert parsed(out) == {
        "took_seconds summary How long.": [
            ("took_seconds", {"c": "x", "quantile": "0.5"}, 0.25),
            ("took_seconds", {"c": "x", "quantile": "1.0"}, 2),
            ("took_seconds_sum", {"c": "x"}, 9.5),
            ("took_seconds_count", {"c": "x"}, 4),
        ]
    }


def test_what_is_no_finite_number_has_its_own_words() -> None:
    out = Exposition()
    out.gauge("odd", "Odd.", [({"n": str(value)}, value) for value in (math.inf, -math.inf, math.nan)])

    assert [line.split()[-1] for line in out.encode().decode().splitlines()[2:]] == ["+Inf", "-Inf", "NaN"]


@given(st.text(), st.floats(allow_nan=False) | st.integers(-(2**53), 2**53))
def test_any_label_value_and_any_number_survive(text: str, number: float) -> None:
    out = Exposition()
    out.gauge("depth", "What waits.", [({"label": text}, number)])

    ((sample,),) = parsed(out).values()

    assert sample == ("depth", {"label": text.encode("utf-8", "replace").decode()}, number)
