"""A channel's journal and the frames beside it: neither ever says what the other does not know."""

from contextlib import suppress

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.straggler_table import Columns, Row
from millstream.storage.entries import ProgressState
from millstream.storage.progress import Progress
from millstream.storage.settings import LogSettings
from millstream.testing import FaultyFiles, Killed

PATH = "d/archive.channel"


@pytest.fixture
def files() -> FaultyFiles:
    found = FaultyFiles(seed=2)
    found.make_directory("d")
    found.sync_directory("")
    return found


def opened(files: FaultyFiles, *, sync: bool = False) -> tuple[Progress, ProgressState]:
    settings = LogSettings(durability="fsync" if sync else "log", journal_slack_bytes=2_000, frames_bytes_max=1_000)
    progress = Progress(files, PATH, settings)
    return progress, progress.load()


def flush(progress: Progress, floor: int) -> None:
    progress.position(floor, floor + 10, floor + 20)
    progress.flush()


def load(files: FaultyFiles) -> ProgressState:
    return opened(files)[1]


def frame_of(sequence: int, size: int = 50) -> bytes:
    return (size - 4).to_bytes(4, "big") + bytes(14) + b"%016x" % sequence + b"x" * (size - 34)


def leave(progress: Progress, sequence: int, due_ns: int = 0, attempts: int = 1) -> Row:
    """A message leaves the log: its row."""
    frame = frame_of(sequence)
    return Row(sequence, due_ns, attempts, progress.straggler(sequence, due_ns, attempts, frame), len(frame))


def rows_of(state: ProgressState) -> list[Row]:
    return [row for block in state.stragglers.blocks for row in block.rows()]


def frame_files(files: FaultyFiles) -> list[str]:
    return [name for name in files.names("d") if name.endswith(".frames")]


def columns_of(rows: list[Row]) -> Columns:
    columns = Columns()
    for row in rows:
        columns.append(row)
    return columns


@pytest.mark.parametrize("change", range(12))
@pytest.mark.parametrize("sync", [False, True])
def test_a_journal_never_speaks_of_a_frame_that_a_crash_kept_from_its_file(
    files: FaultyFiles, change: int, sync: bool
) -> None:
    progress, _ = opened(files, sync=sync)
    flush(progress, 1)
    rows = [leave(progress, sequence) for sequence in range(40)]
    files.kill_at(change)
    with suppress(Killed):
        flush(progress, 2)

    for _ in range(5):
        again, state = opened(files.crash(power_loss=sync), sync=sync)

        assert not any("lost" in note for note in state.notes)
        assert rows_of(state) in ([], rows)
        assert all(again.frame(row) == frame_of(row.sequence) for row in rows_of(state))


def test_frames_that_no_file_has_are_noted_and_their_messages_left_out(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    rows = [leave(progress, sequence) for sequence in range(30)]
    flush(progress, 1)
    files.remove(f"d/{frame_files(files)[0]}")

    _, state = opened(files)

    assert rows_of(state) == rows[20:]
    assert state.notes == [f"{PATH} - 20 messages are lost: their frames are in no file"]


def test_files_of_frames_go_after_what_says_so_is_durable(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    rows = [leave(progress, sequence) for sequence in range(30)]
    flush(progress, 1)
    for row in rows[:25]:
        progress.done(row)
    assert len(frame_files(files)) == 2
    flush(progress, 2)
    assert len(frame_files(files)) == 2

    progress.settle()

    assert len(frame_files(files)) == 1


def test_a_moved_frame_is_found_where_it_lies_now(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    rows = [leave(progress, sequence) for sequence in range(30)]
    flush(progress, 1)

    place = progress.move(rows[3], frame_of(3))
    flush(progress, 2)
    again, state = opened(files.crash())

    moved = state.stragglers.get(3)
    assert moved is not None
    assert (moved.place, again.frame(moved)) == (place, frame_of(3))
    assert place > rows[29].place


def test_what_was_done_by_mistake_is_there_after_all(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    row = leave(progress, 3, 500)
    flush(progress, 1)
    progress.done(row)
    progress.restored(row)
    flush(progress, 2)

    again, state = opened(files.crash())

    assert rows_of(state) == [row]
    assert again.frame(row) == frame_of(3)


def test_a_large_snapshot_is_written_in_parts_and_counts_as_one(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    rows = [leave(progress, sequence) for sequence in range(20_000)]
    flush(progress, 1)
    before = files.read(PATH)
    progress.begin_snapshot()
    for start in range(0, len(rows), 1_000):
        progress.stragglers(columns_of(rows[start : start + 1_000]))
    assert files.read(PATH) == before
    assert len(files.read(PATH + ".tmp")) > 500_000

    flush(progress, 2)
    state = load(files.crash())

    assert (rows_of(state), state.floor) == (rows, 2)
    assert PATH[2:] + ".tmp" not in files.names("d")


def test_a_snapshot_that_does_not_fit_on_the_disk_leaves_the_journal_and_no_half_of_it(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    rows = [leave(progress, sequence) for sequence in range(20_000)]
    flush(progress, 1)
    files.capacity_bytes = files.used_bytes + 300_000
    progress.begin_snapshot()

    with pytest.raises(StorageError):
        progress.stragglers(columns_of(rows))

    assert progress.wants_snapshot
    assert PATH[2:] + ".tmp" not in files.names("d")
    assert len(rows_of(load(files.crash()))) == 20_000


def test_a_cleared_journal_has_no_stragglers_and_its_frames_go(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    for sequence in range(30):
        leave(progress, sequence)
    flush(progress, 1)

    progress.clear()
    flush(progress, 2)

    assert rows_of(load(files)) == []
    assert frame_files(files) == []


def test_a_deleted_journal_takes_its_frames_with_it(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    for sequence in range(30):
        leave(progress, sequence)
    flush(progress, 1)

    progress.delete()

    assert (files.names("d"), files.open_count) == ([], 0)


def test_a_journal_without_frames_leaves_those_of_a_channel_of_its_name_alone(files: FaultyFiles) -> None:
    files.overwrite("d/topic.position.0000000000000000.frames", b"MSTRFRM\x01frames")
    position = Progress(files, "d/topic.position", LogSettings(), has_frames=False)
    position.load()

    flush(position, 1)
    position.close()

    assert frame_files(files) == ["topic.position.0000000000000000.frames"]


def test_what_has_no_place_yet_is_forgotten_and_the_first_flush_wants_all_of_it(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    row = leave(progress, 3, 500)
    progress.update(3, 600, 1)

    progress.postpone()
    progress.flush()

    assert files.names("d") == []
    assert progress.wants_snapshot
    assert progress.frame(row) == frame_of(3)
    progress.begin_snapshot()
    progress.stragglers(columns_of([row]))
    flush(progress, 2)
    again, state = opened(files.crash())
    assert rows_of(state) == [row]
    assert again.frame(row) == frame_of(3)
