"""A tally says what was counted, and for how long."""

import json

import pytest

from millstream.bench.programs.tally import Tally


def test_the_last_message_is_told_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(2)

    assert not tally.count()
    assert tally.count()
    tally.report()

    done = json.loads(capsys.readouterr().out)
    assert done["messages"] == 2
    assert done["wall_s"] >= 0
    assert done["cpu_s"] >= 0
