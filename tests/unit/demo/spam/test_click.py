import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.demo.spam.click import Click

WHOLE = {"id": "e1", "h": "abc", "l": "me", "u": "http://a.example/", "t": 5, "a": "Mozilla"}


def test_a_whole_click_has_no_problem() -> None:
    assert Click.decode(json.dumps(WHOLE).encode()) == Click(
        event_id="e1", link="abc", login="me", url="http://a.example/", agent="Mozilla", time_s=5
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"id": "e1", "h"', "not JSON"),
        (b'["id"]', "no JSON object"),
        (b'{"_heartbeat_": 1, "id": "e1"}', "a heartbeat"),
        (json.dumps({**WHOLE, "u": 7}).encode(), "u is no text of use"),
        (json.dumps({**WHOLE, "h": ""}).encode(), "h is no text of use"),
        (json.dumps({**WHOLE, "t": True}).encode(), "t is no time"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_click_says_why(body: bytes, problem: str) -> None:
    assert Click.decode(body).problem == problem


def test_a_broken_click_is_known_by_its_id() -> None:
    assert Click.decode(b'{"id": "e1", "h"').event_id == "e1"


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded(body: bytes) -> None:
    assert len(Click.decode(body).event_id) <= 80
