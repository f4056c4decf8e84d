import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import OptionError
from millstream.base.units import (
    Address,
    format_duration,
    format_size,
    parse_address,
    parse_duration_ns,
    parse_size_bytes,
)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("250ms", 250_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1h1m1s1ms1us1ns", 3_661_001_001_001),
        ("+1m", 60_000_000_000),
        ("-1.5s", -1_500_000_000),
        ("7µs", 7_000),
        ("7\u03bcs", 7_000),
        ("0.3333333333333333333h", 1_199_999_999_999),
        ("2562047h47m16.854775807s", 2**63 - 1),
    ],
)
@pytest.mark.shows("all: flags: durations as Go writes them")
def test_a_duration_is_read_as_go_reads_it(text: str, expected_ns: int) -> None:
    assert parse_duration_ns(text) == expected_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "5",
        "-5",
        "1.5",
        "ms",
        ".s",
        "1 s",
        " 1s",
        "1d",
        "1s2",
        "1..5s",
        "1e3s",
        "--1s",
        "1S",
        "٣s",
        "9" * 400 + "s",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration_ns(text)


def test_a_duration_without_a_unit_is_refused_with_the_ways_to_write_it() -> None:
    with pytest.raises(ValueError, match='missing unit in duration "60": write 60ms, 60s, 60m or 60h'):
        parse_duration_ns("60")


def test_a_duration_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="292 years"):
        parse_duration_ns("2562048h")


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (250_000_000, "250ms"),
        (3_300_000_000, "3.3s"),
        (60_000_000_000, "1m0s"),
        (245_000_000_000, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (3_600_000_000_000, "1h0m0s"),
        (-1_500_000_000, "-1.5s"),
        (480_000_000_001, "8m0.000000001s"),
    ],
)
def test_a_duration_is_printed_as_go_prints_it(ns: int, expected: str) -> None:
    assert format_duration(ns) == expected


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_printed_duration_reads_back_as_itself(ns: int) -> None:
    assert parse_duration_ns(format_duration(ns)) == ns


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    said = ""
    try:
        parse_duration_ns(text)
    except ValueError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5242880", 5_242_880),
        ("0", 0),
        ("-1", -1),
        ("64KiB", 65_536),
        ("64 kib", 65_536),
        ("64K", 65_536),
        ("100MB", 100_000_000),
        ("2GiB", 2**31),
        ("1t", 2**40),
        ("12B", 12),
    ],
)
def test_a_size_is_read_with_or_without_a_unit(text: str, expected: int) -> None:
    assert parse_size_bytes(text) == expected


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (16 << 20, "16.0 MiB"),
        ((1 << 30) - 1, "1024.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (3000 << 40, "3000.0 TiB"),
    ],
)
def test_a_size_is_written_for_people(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize("text", ["", "KiB", "1.5MB", "64XB", "6_4", "٣", "1 2", "9" * 30, "9" * 400])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        parse_size_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:4150", Address("127.0.0.1", 4150)),
        ("nsqd-1.internal:0", Address("nsqd-1.internal", 0)),
        (":4150", Address("", 4150)),
        ("[::1]:4150", Address("::1", 4150)),
        ("[fe80::1%eth0]:65535", Address("fe80::1%eth0", 65_535)),
    ],
)
def test_an_address_reads_and_prints_the_same(text: str, expected: Address) -> None:
    address = parse_address(text)

    assert address == expected
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "host:<port>"),
        ("localhost", "localhost:<port>"),
        ("[::1]", r"\[::1\]:<port>"),
        ("http://localhost:4161", r'remove "http://", write localhost:4161'),
        ("::1:4150", r"write an IPv6 host in brackets, \[::1\]:4150"),
        ("localhost:", "a number from 0 to 65535"),
        ("localhost:http", "a number from 0 to 65535"),
        ("localhost:65536", "a number from 0 to 65535"),
        ("localhost:-1", "a number from 0 to 65535"),
        ("localhost:٣", "a number from 0 to 65535"),
        ("local host:1", "write host:port"),
        ("local\nhost:1", "write host:port"),
        ("user@host:1", "write host:port"),
        ("x" * 400 + ":1", "too long"),
    ],
)
def test_an_address_of_no_use_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(OptionError, match=fix):
        parse_address(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_an_option_error_on_one_line(text: str) -> None:
    said, reads_back = "", True
    try:
        address = parse_address(text)
        reads_back = parse_address(str(address)) == address
    except OptionError as error:
        said = str(error)
    assert said.isprintable()
    assert reads_back
