from millstream.demo.spam.click import Click
from millstream.demo.spam.rules import decide

LISTS = {"pharmacy": ["pills"], "lottery": ["casino", "win"]}


def _click(url: str) -> Click:
    return Click(event_id="e1", link="abc", login="me", url=url, time_s=5)


def test_a_host_on_a_blocklist_is_spam() -> None:
    decision = decide(_click("http://cheap-PILLS.example/"), LISTS)

    assert decision.event() == {"id": "e1.spam", "o": "+", "l": "me", "bl": "pharmacy", "t": 5}


def test_any_other_host_is_none() -> None:
    assert decide(_click("http://a.example/pills"), LISTS).event()["o"] == "-"


def test_an_address_of_no_use_is_none() -> None:
    assert not decide(_click("http://[bad/"), LISTS).spam


def test_deciding_twice_gives_the_same_id() -> None:
    assert decide(_click("http://a/"), LISTS).decision_id == decide(_click("http://a/"), {}).decision_id
