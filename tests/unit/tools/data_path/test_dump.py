"""Messages as lines."""

import json

import pytest

from millstream.storage.inspection import Record
from millstream.tools.data_path.dump import between, lines
from millstream.tools.data_path.options import Bound

RECORDS = [Record(0xAB00 + place, 1000 + place * 10, 1, 0, b"m%d" % place) for place in range(5)]


def test_a_line_says_all_that_is_stored() -> None:
    record = Record(0x2D8308157ADD47DF, 7, 3, 99, b'{"a":1}')

    (line,) = lines([record], "clicks", limit=0, is_raw=False)

    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "topic": "clicks",
        "id": "2d8308157add47df",
        "timestamp": 7,
        "attempts": 3,
        "due": 99,
        "body": '{"a":1}',
    }


def test_what_is_not_known_is_left_out_and_what_is_no_text_is_base64() -> None:
    (line,) = lines([Record(1, 7, 1, 0, b"\xff\n")], "", limit=0, is_raw=False)

    assert json.loads(line) == {"id": "0000000000000001", "timestamp": 7, "attempts": 1, "body_base64": "/wo="}


def test_a_raw_line_is_the_body_and_a_newline() -> None:
    assert list(lines(RECORDS[:2], "clicks", limit=0, is_raw=True)) == [b"m0\n", b"m1\n"]


def test_a_limit_ends_it() -> None:
    assert len(list(lines(RECORDS, "clicks", limit=3, is_raw=True))) == 3


@pytest.mark.parametrize(
    ("start", "end", "places"),
    [
        (Bound(), Bound(), [0, 1, 2, 3, 4]),
        (Bound(sequence=0xAB02), Bound(), [2, 3, 4]),
        (Bound(), Bound(sequence=0xAB02), [0, 1]),
        (Bound(timestamp_ns=1010), Bound(timestamp_ns=1030), [1, 2]),
        (Bound(sequence=0xAB01), Bound(timestamp_ns=1020), [1]),
    ],
)
def test_a_range_begins_with_the_first_and_ends_before_the_last(start: Bound, end: Bound, places: list[int]) -> None:
    assert list(between(RECORDS, start, end)) == [RECORDS[place] for place in places]
