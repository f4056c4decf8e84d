"""Frames beside a journal: what was written can be read, and files go when nobody needs anything of them."""

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.straggler_table import Row, StragglerTable
from millstream.storage.contents import NewerFormat
from millstream.storage.frames import Frames, owner_of
from millstream.testing import FaultyFiles

STEM = "d/archive"
FILE_BYTES = 1_000
FIRST = f"{STEM}.0000000000000000.frames"


def directory() -> FaultyFiles:
    files = FaultyFiles(seed=3)
    files.make_directory("d")
    files.sync_directory("")
    return files


@pytest.fixture
def files() -> FaultyFiles:
    return directory()


def frame_of(sequence: int, size: int = 100) -> bytes:
    body = (b"%d," % sequence * size)[: size - 34]
    return (size - 4).to_bytes(4, "big") + b"\0\0\0\2" + bytes(8) + b"\0\1" + b"%016x" % sequence + body


class Bench:
    """Frames by sequence, with what a journal would know of them."""

    def __init__(self, files: FaultyFiles, *, sync: bool = False) -> None:
        self.files = files
        self.sync = sync
        self.frames = Frames(files, STEM, sync=sync, file_bytes_max=FILE_BYTES)
        self.rows: dict[int, Row] = {}

    def append(self, *sequences: int, size: int = 100) -> None:
        for sequence in sequences:
            place = self.frames.append(frame_of(sequence, size))
            self.rows[sequence] = Row(sequence, 0, 0, place, size)

    def read(self, sequence: int) -> bytes | None:
        row = self.rows[sequence]
        return self.frames.read(sequence, row.place, row.size)

    def free(self, *sequences: int) -> None:
        for sequence in sequences:
            row = self.rows.pop(sequence)
            self.frames.free(row.place, row.size)

    def saved(self) -> None:
        """The journal was written, and is as durable as it has to be."""
        self.frames.write()
        self.frames.note_dead()
        self.frames.remove_dead()

    def reopen(self, files: FaultyFiles) -> tuple[list[str], list[int]]:
        """As a new process: the notes, and the sequences whose frames are missing."""
        self.files = files
        self.frames = Frames(files, STEM, sync=self.sync, file_bytes_max=FILE_BYTES)
        notes = self.frames.find(files.names("d"))
        table = StragglerTable()
        for row in self.rows.values():
            table.put(row)
        return notes, self.frames.count_live(table)

    def check(self) -> None:
        for sequence, row in self.rows.items():
            assert self.read(sequence) == frame_of(sequence, row.size)

    @property
    def names(self) -> list[str]:
        return self.files.names("d")


@pytest.mark.parametrize("sync", [False, True])
def test_a_frame_is_read_back_before_and_after_it_is_written(files: FaultyFiles, sync: bool) -> None:
    bench = Bench(files, sync=sync)
    bench.append(*range(25))
    bench.append(100, size=5_000)
    bench.check()

    bench.saved()
    bench.check()
    bench.append(*range(30, 40))
    bench.check()

    assert len(bench.names) == 3
    assert files.open_count <= 2
    bench.frames.rest()
    assert files.open_count == 0
    bench.check()


@pytest.mark.parametrize("start", [0, 1, 5])
def test_many_frames_have_the_places_that_they_would_have_one_by_one(files: FaultyFiles, start: int) -> None:
    bench, other = Bench(files), Bench(FaultyFiles())
    bench.append(*range(start))
    other.append(*range(start))
    assert bench.frames.append_all([]) == []
    for first, count in ((start, 1), (start + 1, 4), (start + 5, 30)):
        sizes = [60 + 7 * (sequence % 5) for sequence in range(first, first + count)]
        frames = [frame_of(sequence, size) for sequence, size in zip(range(first, first + count), sizes, strict=True)]

        places = bench.frames.append_all(frames)

        assert places == [other.frames.append(frame) for frame in frames]
        for sequence, place, size in zip(range(first, first + count), places, sizes, strict=True):
            bench.rows[sequence] = Row(sequence, 0, 0, place, size)
    bench.saved()
    for sequence, row in bench.rows.items():
        assert bench.read(sequence) == frame_of(sequence, row.size)


def test_frames_are_read_in_any_order(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(60))
    bench.saved()

    for sequence in [*range(59, -1, -1), *range(0, 60, 7), *range(60)]:
        assert bench.read(sequence) == frame_of(sequence)


def test_what_is_not_the_frame_of_a_sequence_is_none(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(1, 2)
    bench.saved()
    place = bench.rows[2].place

    assert bench.frames.read(1, place, 100) is None
    assert bench.frames.read(2, place, 99) is None
    assert bench.frames.read(2, place, 200) is None
    assert bench.frames.read(2, 1 << 40, 100) is None
    assert bench.frames.read(2, place, 3) is None


def test_a_file_without_frames_that_are_needed_goes_once_the_journal_was_written(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(35))
    bench.saved()

    bench.free(*range(20))
    assert len(bench.names) == 4
    bench.saved()

    assert len(bench.names) == 2
    bench.check()


def test_a_frame_that_is_needed_after_all_keeps_its_file(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(20))
    bench.saved()
    row = bench.rows[0]
    bench.free(*range(10))
    bench.frames.note_dead()

    bench.frames.keep(row.place, row.size)
    bench.frames.remove_dead()

    assert bench.frames.read(0, row.place, row.size) == frame_of(0)


def test_a_file_that_grows_is_kept_for_more_until_it_is_half_full_or_all_ends(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(1)
    bench.saved()
    bench.free(1)
    bench.saved()
    assert bench.names == [FIRST[2:]]

    bench.append(*range(2, 9))
    bench.saved()
    bench.free(*range(2, 9))
    bench.saved()
    assert bench.names == []

    bench.append(9)
    bench.saved()
    bench.free(9)
    bench.saved()
    assert len(bench.names) == 1
    bench.frames.note_dead()
    bench.frames.remove_dead(is_last=True)
    assert bench.names == []


def test_what_was_cleared_takes_no_space(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(25))
    bench.saved()
    bench.append(*range(25, 30))

    bench.frames.clear()
    bench.rows.clear()
    bench.saved()
    bench.append(50)
    bench.saved()

    assert len(bench.names) == 1
    bench.check()


def test_too_much_that_nobody_needs_makes_the_thinnest_file_known(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(45))
    bench.saved()
    assert bench.frames.thin is None

    bench.free(*range(9), *range(10, 18), *range(22, 39))
    thin = bench.frames.thin

    assert thin == (0, FILE_BYTES)
    bench.append(9)
    bench.frames.free(900, 100)
    assert bench.frames.thin != thin
    bench.saved()
    assert FIRST[2:] not in bench.names


def test_a_thin_file_that_cannot_be_emptied_is_left_alone(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(45))
    bench.saved()
    bench.free(*range(9), *range(10, 40))
    thin = bench.frames.thin

    bench.frames.leave()

    assert thin == (0, FILE_BYTES)
    assert bench.frames.thin != thin


def test_many_small_files_are_too_many(files: FaultyFiles) -> None:
    bench = Bench(files)
    for sequence in range(12):
        bench.append(sequence)
        bench.saved()
        assert bench.reopen(files) == ([], [])

    assert len(bench.names) == 12
    assert bench.frames.thin is not None


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(("operation", "after"), [("open", 0), ("write", 0), ("write", 1), ("sync", 0), ("sync", 1)])
def test_what_could_not_be_written_is_still_there_and_written_the_next_time(operation: str, after: int) -> None:
    files = directory()
    bench = Bench(files, sync=True)
    bench.append(*range(5))
    bench.saved()
    bench.append(*range(5, 15))
    files.fail(operation, after=after, keep_part=operation == "write")

    with pytest.raises(StorageError):
        bench.frames.write()
    bench.check()
    bench.saved()

    for _ in range(10):
        assert bench.reopen(files.crash(power_loss=True)) == ([], [])
        bench.check()


def test_much_that_waits_is_written_without_being_asked_unless_the_disk_fails(files: FaultyFiles) -> None:
    bench = Bench(files)
    files.fail("write", times=1)
    bench.append(1, size=1_200_000)
    assert bench.names == ["archive.0000000000000000.frames"]
    assert len(files.read(FIRST)) == 0
    bench.append(2, size=1_200_000)

    assert len(files.read(FIRST)) > 1_200_000
    bench.check()


def test_what_was_written_in_fsync_survives_a_loss_of_power(files: FaultyFiles) -> None:
    bench = Bench(files, sync=True)
    bench.append(*range(25))
    bench.frames.write()

    for _ in range(20):
        assert bench.reopen(files.crash(power_loss=True)) == ([], [])
        bench.check()


def test_what_an_earlier_process_wrote_is_on_the_disk_when_it_was_found_in_fsync(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(25))
    bench.saved()
    bench.sync = True
    bench.reopen(files.crash())
    bench.files.sync_directory("d")
    found = bench.files

    for _ in range(20):
        assert bench.reopen(found.crash(power_loss=True)) == ([], [])
        bench.check()


# --------------------------------------------------------------------------------------------------------------- start


def test_places_go_on_behind_everything_that_is_there_or_known(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(1, 2)
    bench.saved()
    files.overwrite(FIRST, files.read(FIRST) + b"torn")
    bench.reopen(files)
    bench.append(3)
    bench.saved()
    assert bench.rows[3].place == 204

    bench.rows[9] = Row(9, 0, 0, 9_000, 100)
    notes, missing = bench.reopen(files)
    bench.append(4)

    assert (notes, missing) == ([], [9])
    assert bench.rows[4].place > 9_000
    del bench.rows[9]
    bench.check()


def test_frames_that_a_file_has_lost_are_missing(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(8))
    bench.saved()
    files.overwrite(FIRST, files.read(FIRST)[:350])

    _, missing = bench.reopen(files)

    assert missing == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("content", [b"", b"MST", b"MSTRFRM\x01"])
def test_a_file_that_was_killed_at_its_birth_is_removed(files: FaultyFiles, content: bytes) -> None:
    files.overwrite(FIRST, content)
    bench = Bench(files)

    assert bench.reopen(files) == ([], [])
    assert bench.names == []
    bench.append(1)
    bench.saved()
    bench.check()


def test_a_newer_file_is_refused(files: FaultyFiles) -> None:
    files.overwrite(FIRST, b"MSTRFRM\x02whatever")

    with pytest.raises(NewerFormat):
        Bench(files).reopen(files)
    assert files.open_count == 0


def test_a_file_without_a_sound_header_is_set_aside(files: FaultyFiles) -> None:
    files.overwrite(FIRST, b"something else altogether")
    bench = Bench(files)

    notes, _ = bench.reopen(files)

    assert len(notes) == 1
    assert bench.names == [FIRST[2:] + ".bad"]


def test_files_of_other_channels_are_none_of_ours(files: FaultyFiles) -> None:
    for name in ("archive.1.0000000000000000.frames", "archive.frames", "archive.000.frames", "archive.channel"):
        files.overwrite(f"d/{name}", b"MSTRFRM\x01" + frame_of(1))
    bench = Bench(files)

    bench.reopen(files)
    bench.saved()

    assert len(bench.names) == 4
    assert bench.frames.append(frame_of(1)) == 0


def test_a_name_says_whose_frames_a_file_has() -> None:
    assert owner_of("a.b.00000000000000ff.frames") == ("a.b", 255)
    assert owner_of("a.00000000000000ff.frames.bad") == ("", 0)
    assert owner_of("a.00000000000000FF.frames") == ("", 0)
    assert owner_of("00000000000000ff.frames") == ("", 0)


def test_deleted_frames_are_gone(files: FaultyFiles) -> None:
    bench = Bench(files)
    bench.append(*range(25))
    bench.saved()
    bench.append(*range(25, 50))

    bench.frames.delete()

    assert (bench.names, files.open_count) == ([], 0)
