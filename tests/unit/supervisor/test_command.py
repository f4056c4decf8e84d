from pathlib import Path

import pytest

from millstream.supervisor.command import bring_up
from millstream.supervisor.options import UpOptions
from millstream.supervisor.service import until_stopped


def test_what_cannot_be_brought_up_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bring_up(tmp_path, UpOptions(), body=lambda _: until_stopped) == 1

    assert capsys.readouterr().err.startswith(f"millstream: no service in {tmp_path}")
