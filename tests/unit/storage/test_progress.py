"""A channel's journal: what it says after every kind of stop is at most old, never wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import StorageError
from millstream.protocol.straggler_table import Columns, Row
from millstream.storage.contents import NewerFormat
from millstream.storage.entries import ProgressState
from millstream.storage.journal import OlderFormat
from millstream.storage.progress import Progress
from millstream.storage.settings import LogSettings
from millstream.testing import FaultyFiles, Killed

PATH = "d/archive.channel"


@pytest.fixture
def files() -> FaultyFiles:
    return directory()


def directory() -> FaultyFiles:
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


def frame_of(sequence: int, size: int = 50) -> bytes:
    return (size - 4).to_bytes(4, "big") + bytes(14) + b"%016x" % sequence + b"x" * (size - 34)


def leave(progress: Progress, sequence: int, due_ns: int = 0, attempts: int = 1) -> Row:
    """A message leaves the log: its row."""
    frame = frame_of(sequence)
    return Row(sequence, due_ns, attempts, progress.straggler(sequence, due_ns, attempts, frame), len(frame))


def rows_of(state: ProgressState) -> list[Row]:
    return [row for block in state.stragglers.blocks for row in block.rows()]


def load(files: FaultyFiles) -> ProgressState:
    return opened(files)[1]


def test_a_channel_without_a_journal_is_unknown(files: FaultyFiles) -> None:
    progress, state = opened(files)

    assert not state.is_known
    progress.flush()
    assert files.names("d") == []


def test_every_entry_comes_back(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    progress.finished(12, 14)
    progress.attempts(11, 3)
    five = leave(progress, 5, 77, 2)
    six = leave(progress, 6, 78)
    seven = leave(progress, 7, 79)
    progress.update(6, 99, 65535)
    progress.update(1234, 1, 1)
    progress.redriven(6, 2)
    progress.redriven(7, 1)
    progress.done(seven)
    flush(progress, 11)

    again, state = opened(files.crash())

    assert (state.is_known, state.floor, state.cursor, state.scanned) == (True, 11, 21, 31)
    assert (state.finished, state.attempts) == ([(12, 14)], {11: 3})
    assert rows_of(state) == [five, six._replace(due_ns=99, attempts=65535)]
    assert [again.frame(row) for row in (five, six)] == [frame_of(5), frame_of(6)]
    assert state.redriven == {6: 2}
    assert state.notes == []


def test_finished_runs_below_the_floor_are_forgotten(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    progress.finished(12, 14)
    progress.finished(16, 18)
    flush(progress, 11)
    flush(progress, 14)

    assert load(files).finished == [(16, 18)]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8), st.integers(0, 400))
def test_a_torn_journal_says_what_its_whole_batches_say(floors: list[int], kept: int) -> None:
    files = directory()
    progress, _ = opened(files)
    sizes = []
    for floor in floors:
        flush(progress, floor)
        sizes.append(len(files.read(PATH)))
    files.overwrite(PATH, files.read(PATH)[:kept])

    again, state = opened(files)

    whole = sum(size <= kept for size in sizes)
    assert state.is_known == (whole > 0)
    assert again.saved_floor == state.floor == (floors[whole - 1] if whole else 0)
    flush(again, 5000)
    assert load(files).floor == 5000


@given(st.integers(8, 150), st.integers(1, 255))
def test_a_corrupt_batch_ends_the_journal_and_the_next_flush_replaces_it(byte: int, change: int) -> None:
    files = directory()
    progress, _ = opened(files)
    ends = []
    for floor in (1, 2, 3, 4):
        flush(progress, floor)
        ends.append(len(files.read(PATH)))
    data = bytearray(files.read(PATH))
    byte = min(byte, len(data) - 1)
    data[byte] ^= change
    files.overwrite(PATH, bytes(data))

    again, state = opened(files)

    assert state.floor == sum(end <= byte for end in ends)
    assert len(state.notes) == 1
    flush(again, 9)
    found = load(files)
    assert (found.floor, found.notes) == (9, [])


@given(st.binary(max_size=200), st.booleans())
def test_any_content_gives_a_state(data: bytes, headed: bool) -> None:
    files = directory()
    files.overwrite(PATH, b"MSTRCHN\x02" * headed + data)

    progress, _ = opened(files)
    flush(progress, 3)

    assert load(files).floor == 3


def test_a_newer_journal_is_refused(files: FaultyFiles) -> None:
    files.overwrite(PATH, b"MSTRCHN\x03whatever")

    with pytest.raises(NewerFormat):
        load(files)


@pytest.mark.parametrize("content", [b"", b"MST"])
def test_a_journal_killed_at_its_birth_is_no_journal(files: FaultyFiles, content: bytes) -> None:
    files.overwrite(PATH, content)

    state = load(files)

    assert not state.is_known
    assert state.notes == []


def test_a_journal_of_an_older_version_is_refused_with_what_to_do(files: FaultyFiles) -> None:
    files.overwrite(PATH, b"MSTRCHN\x01whatever")

    with pytest.raises(OlderFormat, match="remove the file"):
        load(files)
    assert files.read(PATH) == b"MSTRCHN\x01whatever"


def test_a_grown_journal_is_rewritten_with_what_is_live(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    while not progress.wants_snapshot:
        progress.done(leave(progress, 1))
        flush(progress, 1)
    grown = len(files.read(PATH))
    row = leave(progress, 2, 2, 3)

    progress.begin_snapshot()
    columns = Columns()
    columns.append(row)
    progress.stragglers(columns)
    flush(progress, 2)
    flush(progress, 3)

    assert len(files.read(PATH)) < 200 < grown
    assert not progress.wants_snapshot
    assert rows_of(load(files)) == [row]
    assert load(files).floor == 3
    assert progress.frame(row) == frame_of(2)
    assert files.open_count <= 2


@pytest.mark.parametrize("operation", ["write", "rename", "truncate"])
@pytest.mark.parametrize("known", [False, True])
def test_a_failed_flush_asks_for_a_snapshot_which_makes_it_good(
    files: FaultyFiles, operation: str, known: bool
) -> None:
    progress, _ = opened(files)
    if known:
        flush(progress, 1)
        progress.close()
        progress, _ = opened(files)
    files.fail(operation, times=3, keep_part=True)
    if operation == "rename":
        progress.begin_snapshot()
    with pytest.raises(StorageError):
        flush(progress, 2)

    assert progress.wants_snapshot
    assert progress.saved_floor == int(known)
    assert load(files.crash()).floor == int(known)
    files.heal()
    progress.begin_snapshot()
    flush(progress, 3)
    flush(progress, 4)

    assert not progress.wants_snapshot
    assert progress.saved_floor == load(files).floor == 4
    assert load(files).notes == []


def test_a_floor_that_failed_to_be_saved_is_not_claimed_by_the_next_flush(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    flush(progress, 1)
    files.fail("write")
    with pytest.raises(StorageError):
        flush(progress, 50)

    progress.begin_snapshot()
    progress.done(Row(3, 0, 0, 0, 0))
    progress.flush()

    assert progress.saved_floor == 1


@pytest.mark.parametrize("change", range(8))
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(files: FaultyFiles, change: int, snapshot: bool) -> None:
    progress, _ = opened(files)
    flush(progress, 1)
    progress.close()
    progress, _ = opened(files)
    files.kill_at(change)
    try:
        if snapshot:
            progress.begin_snapshot()
        flush(progress, 2)
    except Killed:
        pass

    state = load(files.crash())

    assert state.is_known
    assert state.floor in {1, 2}


def test_a_reopened_journal_cuts_what_was_torn_before_it_goes_on(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    flush(progress, 1)
    files.overwrite(PATH, files.read(PATH) + b"torn " * 100)

    progress, state = opened(files)
    assert len(state.notes) == 1
    flush(progress, 2)

    state = load(files)
    assert (state.floor, state.notes) == (2, [])


def test_a_settled_journal_survives_a_power_loss(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    flush(progress, 1)
    flush(progress, 2)
    progress.settle()

    for _ in range(10):
        assert load(files.crash(power_loss=True)).floor == 2


def test_the_first_batch_of_a_journal_survives_a_power_loss(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    flush(progress, 1)

    for _ in range(10):
        assert load(files.crash(power_loss=True)).floor == 1


def test_what_an_earlier_process_wrote_is_settled_by_a_rewrite_alone(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    flush(progress, 1)
    flush(progress, 2)
    files = files.crash()
    progress, _ = opened(files, sync=True)

    assert progress.wants_snapshot
    with pytest.raises(StorageError, match="has to be rewritten first"):
        progress.settle()
    progress.begin_snapshot()
    flush(progress, 2)
    progress.settle()

    for _ in range(10):
        assert load(files.crash(power_loss=True)).floor == 2


def test_after_a_failed_sync_a_journal_is_settled_by_a_rewrite_alone(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    flush(progress, 1)
    flush(progress, 2)
    files.fail("sync")

    for _ in range(2):
        with pytest.raises(StorageError):
            progress.settle()
    assert progress.wants_snapshot
    progress.begin_snapshot()
    flush(progress, 3)
    progress.settle()

    for _ in range(10):
        assert load(files.crash(power_loss=True)).floor == 3


def test_a_deleted_journal_does_not_come_back_after_a_power_loss(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    flush(progress, 1)

    progress.delete()

    assert all(not files.crash(power_loss=True).names("d") for _ in range(10))


def test_a_snapshot_survives_a_power_loss(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    progress.begin_snapshot()
    flush(progress, 3)

    for _ in range(10):
        assert load(files.crash(power_loss=True)).floor == 3


def test_a_deleted_journal_is_gone(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    flush(progress, 1)

    progress.delete()

    assert files.names("d") == []
    assert files.open_count == 0


# ------------------------------------------------------------------------------------------------------------- resting


def test_a_journal_that_rested_goes_on_where_it_was(files: FaultyFiles) -> None:
    progress, _ = opened(files)
    flush(progress, 11)
    assert progress.rest() is True
    assert files.open_count == 0
    flush(progress, 12)
    progress.rest()
    progress.rest()
    flush(progress, 13)

    assert load(files.crash()).floor == 13


def test_a_journal_that_is_owed_a_sync_does_not_rest(files: FaultyFiles) -> None:
    progress, _ = opened(files, sync=True)
    flush(progress, 11)
    flush(progress, 12)

    assert progress.rest() is False
    progress.settle()
    assert progress.rest() is True
    assert load(files.crash(power_loss=True)).floor == 12
