"""`base.instants`: the forms that people write, and the refusals of everything else."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.instants import parse_instant_ns

NOW_NS = 1_800_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("2027-01-15T08:00:00Z", NOW_NS),
        ("2027-01-15T09:00:00+01:00", NOW_NS),
        ("2027-01-15T08:00:00.250Z", NOW_NS + 250_000_000),
        ("2027-01-15T08:00:00.000000001Z", NOW_NS + 1),
        ("2027-01-15 08:00Z", NOW_NS),
        ("20270115T090000+0100", NOW_NS),
        ("20270115T080000.000001Z", NOW_NS + 1_000),
        ("1800000000", NOW_NS),
        ("1800000000000", NOW_NS),
        ("1800000000000000", NOW_NS),
        ("1800000000000000001", NOW_NS + 1),
        ("-1h30m", NOW_NS - 5_400 * 10**9),
        ("+5m", NOW_NS + 300 * 10**9),
        ("0", 0),
    ],
)
def test_every_form_is_read(text: str, expected_ns: int) -> None:
    assert parse_instant_ns(text, NOW_NS) == expected_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no instant"),
        ("yesterday", "is no instant"),
        ("2027-01-15T08:00:00", "has no time zone"),
        ("2027-13-01T00:00:00Z", "is no instant"),
        ("2027-01-15.5", "is no instant"),
        ("2027-01-15T08:00:00.0000000001Z", "is no instant"),
        ("9999999999999999999999", "is no instant"),
        ("9999-12-31T23:59:59Z", "out of bounds"),
        ("1969-12-31T23:59:59Z", "out of bounds"),
        ("-600000h", "out of bounds"),
        ("-1", "missing unit"),
        ("x" * 1000, "is no instant"),
    ],
)
def test_a_refusal_says_what_to_write(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_instant_ns(text, NOW_NS)


@given(st.text(max_size=80))
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= parse_instant_ns(text, NOW_NS) < 1 << 63
