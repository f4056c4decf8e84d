"""`torture.service`: pieces one after the other, on data paths that stay only when they are worth a look."""

import io
import sys
from pathlib import Path

import pytest

from millstream.base.errors import OptionError
from millstream.base.system import SystemClock
from millstream.torture.options import TortureOptions
from millstream.torture.progress import Progress
from millstream.torture.service import Torture
from millstream.torture.victim import NsqdFailed

FORGETFUL = f"{sys.executable} -m millstream.cli.nsqd --durability=memory"


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def run(options: TortureOptions) -> tuple[Torture, list[str]]:
    stream = io.StringIO()
    torture = Torture(options, Progress(stream, is_terminal=False), SystemClock())
    await torture.run()
    return torture, stream.getvalue().splitlines()


async def test_kills_are_done_in_pieces_and_nothing_is_left(tmp_path: Path) -> None:
    options = TortureOptions(
        kills=3, kills_per_piece=2, seed=9, durability="both", seconds_per_round=0.2, work_dir=str(tmp_path)
    )

    torture, lines = await run(options)

    verdict = torture.verdict
    assert verdict.holds, lines
    assert [(sum(one.kills.values()), one.seed, one.durability) for one in verdict.pieces] == [
        (2, 9, "log"),
        (1, 10, "fsync"),
    ]
    assert lines[0] == "millstream torture: 3 kills of nsqd --durability=both, --seed=9"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "piece 1 of 2 (log, seed 9)",
        "piece 2 of 2 (fsync, seed 10)",
    ]
    assert names_in(tmp_path) == []


async def test_the_data_path_of_a_loss_is_kept(tmp_path: Path) -> None:
    options = TortureOptions(kills=2, seed=9, nsqd_command=FORGETFUL, seconds_per_round=0.2, work_dir=str(tmp_path))

    torture, lines = await run(options)

    (piece,) = torture.verdict.pieces
    assert piece.lost > 0
    assert (Path(piece.kept) / "data" / "nsqd.dat").exists()
    assert Path(piece.kept).is_relative_to(tmp_path)
    assert f"  kept             {piece.kept}" in lines


async def test_a_data_path_is_kept_on_request(tmp_path: Path) -> None:
    options = TortureOptions(kills=1, seed=9, seconds_per_round=0.1, work_dir=str(tmp_path), keep=True)

    torture, _ = await run(options)

    assert torture.verdict.holds
    assert (Path(torture.verdict.pieces[0].kept) / "data").exists()


async def test_an_nsqd_that_cannot_be_started_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NsqdFailed):
        await run(TortureOptions(nsqd_command="/no/nsqd", work_dir=str(tmp_path)))

    assert names_in(tmp_path) == []


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nowhere"):
        await run(TortureOptions(work_dir=str(tmp_path / "nowhere")))
