from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.rfc3339 import format_rfc3339, parse_rfc3339_ns

NOON_S = int(datetime(2030, 1, 31, 12, tzinfo=UTC).timestamp())
YEAR_9999_NS = 253_402_300_799 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2030-01-31T12:00:00Z", NOON_S * 10**9),
        ("2030-01-31t12:00:00z", NOON_S * 10**9),
        ("2030-01-31T12:00:00.5Z", NOON_S * 10**9 + 500_000_000),
        ("2030-01-31T12:00:00.000000001Z", NOON_S * 10**9 + 1),
        ("2030-01-31T14:30:00+02:30", NOON_S * 10**9),
        ("2030-01-31T04:00:00-08:00", NOON_S * 10**9),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.75Z", -250_000_000),
    ],
)
def test_instants_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert parse_rfc3339_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-01-31 12:00:00Z",
        "2030-02-30T12:00:00Z",
        "2030-01-31T24:00:00Z",
        "2030-01-31T12:00:00+25:00",
        "2030-01-31T12:00:00.0000000001Z",
        "2030-01-31T12:00:00.Z",
        "0000-01-31T12:00:00Z",
        "2030-01-31T12:00:00Z ",
        "\u0662\u0660\u0663\u0660-01-31T12:00:00Z",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid instant"):
        parse_rfc3339_ns(text)


@given(st.integers(0, YEAR_9999_NS))
def test_what_is_written_is_read_as_the_same(ns: int) -> None:
    assert parse_rfc3339_ns(format_rfc3339(ns)) == ns


def test_only_digits_that_say_something_are_written() -> None:
    assert format_rfc3339(NOON_S * 10**9) == "2030-01-31T12:00:00Z"
    assert format_rfc3339(NOON_S * 10**9 + 250_000_000) == "2030-01-31T12:00:00.25Z"
    assert format_rfc3339(NOON_S * 10**9 + 1) == "2030-01-31T12:00:00.000000001Z"
