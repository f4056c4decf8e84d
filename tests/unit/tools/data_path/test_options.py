"""The flags of `millstream log`."""

import pytest

from millstream.base.errors import OptionError
from millstream.tools.data_path.options import Bound, DumpOptions, LookOptions, parse_bound


def test_without_flags_everything_is_looked_at() -> None:
    assert LookOptions().topic == ""
    assert (DumpOptions().format, DumpOptions().limit) == ("json", 0)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("", Bound()),
        ("2d8308157add47df", Bound(sequence=0x2D8308157ADD47DF)),
        ("2023-11-14T22:13:20Z", Bound(timestamp_ns=1_700_000_000_000_000_000)),
        ("2023-11-14T22:13:20", Bound(timestamp_ns=1_700_000_000_000_000_000)),
        ("2023-11-14T23:13:20.000001+01:00", Bound(timestamp_ns=1_700_000_000_000_001_000)),
        ("2023-11-14 22:13", Bound(timestamp_ns=1_699_999_980_000_000_000)),
        ("2023-11-14", Bound(timestamp_ns=1_699_920_000_000_000_000)),
    ],
)
def test_a_bound_is_an_id_or_a_time(text: str, bound: Bound) -> None:
    assert parse_bound("--from", text) == bound


@pytest.mark.parametrize("text", ["yesterday", "2D8308157ADD47DF", "12", "2023-13-01", "2d8308157add47df0"])
def test_what_is_no_bound_says_what_to_write(text: str) -> None:
    with pytest.raises(OptionError, match=r"--to is .*: write an id of 16 hex digits, or a time such as"):
        DumpOptions(end=text)


def test_a_name_is_one_of_nsqs() -> None:
    assert LookOptions(topic="t#ephemeral").topic == "t#ephemeral"
    for options in (lambda: LookOptions(topic="../etc"), lambda: DumpOptions(channel="a/b")):
        with pytest.raises(OptionError, match="which is no name: use 1 to 64"):
            options()


def test_a_limit_is_not_negative_and_a_format_is_known() -> None:
    with pytest.raises(OptionError, match="out of bounds"):
        DumpOptions(limit=-1)
    with pytest.raises(OptionError, match="use one of json, raw"):
        DumpOptions(format="xml")
