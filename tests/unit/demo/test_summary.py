import json

from millstream.demo.books import Books, TopicBook, compare
from millstream.demo.summary import summary_json, summary_lines


def _books(*arrived: str) -> Books:
    topic = TopicBook(topic="clicks", published=2, ends=(compare("archived", frozenset({"a", "b"}), arrived),))
    return Books(topics=(topic,), unfinished=0, restarts={"nsqd.spam": 1})


def test_counts_stand_beside_what_was_published() -> None:
    lines = summary_lines(_books("a", "b", "b", "x"))

    assert lines[1].split() == ["published", "archived"]
    assert lines[2].split() == ["clicks", "2", "2"]
    assert "clicks: archived 1 more, delivered again (recognised by event id)" in lines
    assert "clicks: archived 1 more, whose publisher got no answer" in lines
    assert "restarted: nsqd.spam, 1 times" in lines
    assert lines[-1].startswith("OK:")


def test_what_is_missing_is_said() -> None:
    lines = summary_lines(_books("a"))

    assert "clicks: 1 NOT archived: b" in lines
    assert lines[-1].startswith("NOT OK")


def test_tools_get_the_same_numbers() -> None:
    values = json.loads(summary_json(_books("a", "b", "b")))

    assert values["ok"] is True
    assert values["topics"]["clicks"] == {
        "published": 2,
        "archived": {"found": 2, "duplicates": 1, "missing": 0, "unacknowledged": 0},
    }
