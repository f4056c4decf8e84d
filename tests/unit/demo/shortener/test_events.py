import json

import pytest

from millstream.demo.shortener.events import click, encode, new_event_id, spam_decision
from millstream.demo.shortener.links import Link

LINK = Link(code="abc", url="http://a.example/", login="me", created_s=5)


def test_a_click_is_one_flat_object_with_the_feeds_names() -> None:
    headers = {
        "user-agent": "Mozilla",
        "referer": "http://t.example/",
        "accept-language": "en",
        "cookie": "known=1",
        "x-geo": json.dumps({"c": "US", "tz": "America/New_York", "ll": [1.5, -2], "other": 1, "cy": 7}),
    }

    event = json.loads(encode(click("e1", LINK, headers, short_host="mill.st", now_s=9)))

    assert event == {
        "id": "e1",
        "a": "Mozilla",
        "al": "en",
        "r": "http://t.example/",
        "nk": 1,
        "h": "abc",
        "g": "abc",
        "l": "me",
        "hh": "mill.st",
        "u": "http://a.example/",
        "hc": 5,
        "t": 9,
        "c": "US",
        "tz": "America/New_York",
        "ll": [1.5, -2],
    }


@pytest.mark.parametrize("geo", ["", "broken", "[]", '{"ll": [1, true]}', '{"ll": "x"}', "[" * 1000, "x" * 5000])
def test_a_place_of_no_use_is_left_out(geo: str) -> None:
    event = click("e1", LINK, {"x-geo": geo}, short_host="mill.st", now_s=9)

    assert not {"c", "tz", "ll"} & event.keys()


def test_long_headers_are_cut() -> None:
    assert len(click("e1", LINK, {"user-agent": "x" * 9000}, short_host="s", now_s=1)["a"]) == 1024


def test_a_decision_says_plus_or_minus() -> None:
    assert spam_decision("e1", spam=True, link="abc", source="me", now_s=9) == {
        "id": "e1",
        "o": "+",
        "l": "abc",
        "bl": "me",
        "t": 9,
    }
    assert spam_decision("e1", spam=False, link="abc", source="me", now_s=9)["o"] == "-"


def test_event_ids_differ() -> None:
    assert len({new_event_id() for _ in range(100)}) == 100
