"""A journal that is damaged: what it says then may be old, and no message that left the log for it is forgotten."""

import pytest

from millstream.storage.contents import NewerFormat
from millstream.storage.entries import ProgressState
from millstream.storage.journal import check_journal_version
from millstream.storage.progress import Progress
from millstream.storage.settings import LogSettings
from millstream.testing import FaultyFiles

PATH = "d/archive.channel"


@pytest.fixture
def files() -> FaultyFiles:
    found = FaultyFiles(seed=2)
    found.make_directory("d")
    return found


def opened(files: FaultyFiles) -> tuple[Progress, ProgressState]:
    progress = Progress(files, PATH, LogSettings())
    return progress, progress.load()


def written(files: FaultyFiles) -> list[int]:
    """Four batches; in each a message leaves the log for the journal. Where the batches begin."""
    progress, _ = opened(files)
    starts = []
    for floor in (10, 20, 30, 40):
        starts.append(len(files.read(PATH)) if files.names("d") else 8)
        progress.straggler(floor - 1, 5, 1, b"frame %d" % floor)
        progress.finished(floor + 2, floor + 4)
        progress.position(floor, floor + 5, floor + 6)
        progress.flush()
    progress.close()
    return starts


def outside(state: ProgressState) -> set[int]:
    return set(state.stragglers.sequences_from(0))


def spoil(files: FaultyFiles, at: int, data: bytes = b"\xee") -> bytes:
    whole = files.read(PATH)
    spoilt = whole[:at] + data + whole[at + len(data) :]
    files.overwrite(PATH, spoilt)
    return spoilt


@pytest.mark.parametrize("byte", [0, 2, 5, 9, 30])
def test_damage_in_the_middle_goes_back_to_where_the_channel_was_before_it(files: FaultyFiles, byte: int) -> None:
    starts = written(files)
    spoilt = spoil(files, starts[1] + byte)

    progress, state = opened(files)

    assert (state.is_known, state.floor, state.cursor, state.scanned) == (True, 10, 10, 10)
    assert outside(state) == {9, 29, 39}
    # What left the log is not taken from it once more, and what is known to be finished stays so.
    assert {(29, 30), (39, 40), (42, 44)} <= set(state.finished)
    assert progress.saved_floor == 10
    assert progress.wants_snapshot
    assert files.read(PATH + ".bad") == spoilt
    (damage,) = state.damage
    assert (damage.kind, damage.mark, damage.is_aside) == ("journal", "archive.channel.bad", True)
    assert state.notes == [
        f"{PATH} is damaged at {starts[1]}: what was done since then may be done again, and kept as archive.channel.bad"
    ]


def test_damage_at_the_front_goes_back_to_the_oldest_record(files: FaultyFiles) -> None:
    written(files)
    spoil(files, 12)

    _, state = opened(files)

    assert (state.is_known, state.floor, state.cursor) == (True, 0, 0)
    assert outside(state) == {19, 29, 39}


def test_damage_at_the_end_leaves_the_last_batches_out(files: FaultyFiles) -> None:
    starts = written(files)
    spoilt = spoil(files, starts[3] + 9)

    progress, state = opened(files)

    assert (state.floor, outside(state)) == (30, {9, 19, 29})
    assert files.read(f"{PATH}.cut-{starts[3]}") == spoilt[starts[3] :]
    assert "bytes that are no sound batch: left out, and kept as archive.channel.cut-" in state.notes[0]
    progress.position(50, 50, 50)
    progress.flush()
    assert opened(files)[1].floor == 50


@pytest.mark.parametrize("magic", [bytes(8), b"MSTRCHM\x01", b"\xff" * 8])
def test_a_damaged_magic_costs_nothing_while_the_batches_are_sound(files: FaultyFiles, magic: bytes) -> None:
    written(files)
    spoilt = spoil(files, 0, magic)

    progress, state = opened(files)

    assert (state.floor, state.cursor, outside(state)) == (40, 45, {9, 19, 29, 39})
    assert progress.wants_snapshot
    assert files.read(PATH + ".bad") == spoilt


@pytest.mark.parametrize("content", [bytes(500), b"\xff" * 500, b"nonsense" * 9])
def test_where_nothing_is_sound_the_channel_is_unknown_and_the_file_is_kept(files: FaultyFiles, content: bytes) -> None:
    files.overwrite(PATH, content)

    progress, state = opened(files)

    assert not state.is_known
    assert files.read(PATH + ".bad") == content
    assert "no sound header: it starts at the oldest record" in state.notes[0]
    progress.begin_snapshot()
    progress.position(3, 3, 3)
    progress.flush()
    assert opened(files)[1].floor == 3


def test_what_was_damaged_is_there_until_everything_is_written_anew(files: FaultyFiles) -> None:
    starts = written(files)
    spoil(files, starts[1] + 9)
    first = opened(files)[1]

    again = opened(files)[1]
    assert (again.floor, outside(again)) == (first.floor, outside(first))

    progress, _ = opened(files)
    progress.begin_snapshot()
    progress.position(60, 60, 60)
    progress.flush()
    assert (opened(files)[1].floor, opened(files)[1].notes) == (60, [])


def test_on_a_full_disk_the_journal_is_read_all_the_same(files: FaultyFiles) -> None:
    starts = written(files)
    spoil(files, starts[1] + 9)
    files.capacity_bytes = files.used_bytes

    _, state = opened(files)

    assert (state.floor, outside(state)) == (10, {9, 29, 39})
    assert "no copy could be kept: write" in state.notes[0]
    assert not state.damage[0].is_aside
    assert [name for name in files.names("d") if "frames" not in name] == ["archive.channel"]


def test_a_second_damage_does_not_take_the_name_of_one_that_was_acknowledged(files: FaultyFiles) -> None:
    starts = written(files)
    spoil(files, starts[1] + 9)
    files.overwrite(f"{PATH}.bad.ack", b"known")

    assert opened(files)[1].damage[0].mark == "archive.channel.bad.2"
    assert files.read(f"{PATH}.bad.ack") == b"known"


def test_a_newer_journal_is_found_without_being_read(files: FaultyFiles) -> None:
    written(files)
    check_journal_version(files, PATH)
    check_journal_version(files, "d/none.channel")
    spoil(files, 7, b"\x03")

    with pytest.raises(NewerFormat, match=r"archive\.channel - was written by a newer version \(format 3"):
        check_journal_version(files, PATH)
