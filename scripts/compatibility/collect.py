"""Reads from the collected tests what they show. A pytest plugin that `__main__` starts pytest with.

A test says `@pytest.mark.shows("nsqd --msg-timeout")`, with `better=`, `absent=` or `beyond=` and a text where it shows
something else than what NSQ does. What is expected to fail shows a difference. `at` names the place where a test is
data. The declarations go as JSON into the file that `MILLSTREAM_SHOWN` names.
"""

import json
import os
from pathlib import Path
from typing import Final

import pytest

VARIABLE: Final = "MILLSTREAM_SHOWN"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down what every collected test shows."""
    found = [declaration for item in session.items for declaration in declarations(item)]
    Path(os.environ[VARIABLE]).write_text(json.dumps(found), encoding="utf-8")


def declarations(item: pytest.Item) -> list[dict[str, str]]:
    """What one test shows, row by row."""
    place = item.nodeid.partition("[")[0]
    expected_to_fail = item.get_closest_marker("xfail")
    found = []
    for marker in item.iter_markers("shows"):
        try:
            one = declared(*marker.args, **marker.kwargs)
        except TypeError as error:
            raise pytest.UsageError(f"{item.nodeid}: {error}") from error
        if expected_to_fail is not None:
            one |= {"state": "differs", "note": str(expected_to_fail.kwargs.get("reason", ""))}
        found += [{"row": row, "place": place, **one} for row in marker.args]
    return found


def declared(*rows: str, better: str = "", absent: str = "", beyond: str = "", at: str | None = None) -> dict[str, str]:
    """The state and the note that a marker stands for. Raises TypeError for one that says two things, or nothing."""
    notes = {"better": better, "not offered": absent, "beyond": beyond}
    said = [(state, note) for state, note in notes.items() if note]
    if not rows or len(said) > 1:
        raise TypeError("shows() takes the names of rows, and one of better, absent, beyond at most")
    state, note = said[0] if said else ("same", "")
    return {"state": state, "note": note} | ({} if at is None else {"place": at})
