from datetime import UTC, datetime
from pathlib import Path

from millstream.demo.run_folder import KEPT, new_run_folder, recorded_clicks


def test_each_run_gets_a_folder_and_old_ones_go(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    folders = [new_run_folder(tmp_path, datetime(2026, 1, day, tzinfo=UTC)) for day in range(1, 7)]

    assert sorted(tmp_path.glob("run-*")) == folders[-KEPT:]
    assert (tmp_path / "mine").is_dir()


def test_recorded_clicks_are_named_or_none() -> None:
    assert recorded_clicks("none") is None
    assert recorded_clicks("/some/file") == Path("/some/file")
