import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from millstream.base.errors import StorageError
from millstream.tools.nsq_to_file.file_series import FileSeries

Contents = Callable[[], dict[str, bytes]]
MakeSeries = Callable[..., FileSeries]


class MovableClock(Protocol):
    def advance(self, *, seconds: float) -> None: ...


def test_records_are_lines_and_counted_as_synced_when_they_are(series: MakeSeries, contents: Contents) -> None:
    files = series()

    files.write([b"1", b"2"])
    before = files.synced
    files.write([b"3"], sync=True)

    assert (before, files.synced) == (0, 3)
    assert contents() == {"clicks.h.2026-11-22_18.log": b"1\n2\n3\n"}
    files.close()


@pytest.mark.shows("nsq_to_file: rotation by date, age and size")
def test_a_new_hour_is_a_new_file_and_the_old_one_is_synced(
    series: MakeSeries, contents: Contents, clock: MovableClock
) -> None:
    files = series()
    files.write([b"1"])

    clock.advance(seconds=1_800)
    files.write([b"2"])

    assert files.synced == 1
    files.close()
    assert files.synced == 2
    assert contents() == {"clicks.h.2026-11-22_18.log": b"1\n", "clicks.h.2026-11-22_19.log": b"2\n"}


def test_a_gzip_file_that_is_there_is_left_alone(series: MakeSeries, tmp_path: Path) -> None:
    torn = tmp_path / "clicks.h-000000.2026-11-22_18.log.gz"
    torn.write_bytes(b"\x1f\x8b torn")

    files = series(gzip=True)
    files.write([b"1"])
    files.close()
    files.write([b"2"])
    files.close()

    names = [f"clicks.h-00000{revision}.2026-11-22_18.log.gz" for revision in (1, 2)]
    assert [gzip.decompress((tmp_path / name).read_bytes()) for name in names] == [b"1\n", b"2\n"]
    assert torn.read_bytes() == b"\x1f\x8b torn"


def test_without_revisions_a_closed_file_is_continued(series: MakeSeries, contents: Contents) -> None:
    files = series()
    files.write([b"1"])
    files.close()
    files.write([b"2"])
    files.close()

    assert contents() == {"clicks.h.2026-11-22_18.log": b"1\n2\n"}


@pytest.mark.shows("nsq_to_file --rotate-size", "nsq_to_file: rotation by date, age and size")
def test_a_file_exceeds_the_size_by_one_record_at_most(series: MakeSeries, contents: Contents) -> None:
    files = series(rotate_size_bytes=5, filename_format="<TOPIC><REV>")

    files.write([b"12", b"34", b"56", b"78", b"9"])
    files.close()

    assert contents() == {"clicks-000000": b"12\n34\n", "clicks-000001": b"56\n78\n", "clicks-000002": b"9\n"}


def test_a_restart_continues_a_file_that_is_not_too_large(
    series: MakeSeries, contents: Contents, tmp_path: Path
) -> None:
    (tmp_path / "clicks-000000").write_bytes(b"123456\n")
    (tmp_path / "clicks-000001").write_bytes(b"12\n")
    files = series(rotate_size_bytes=5, filename_format="<TOPIC><REV>")

    files.write([b"34", b"56"])
    files.close()

    assert contents() == {"clicks-000000": b"123456\n", "clicks-000001": b"12\n34\n", "clicks-000002": b"56\n"}


@pytest.mark.shows("nsq_to_file --rotate-interval", "nsq_to_file: rotation by date, age and size")
def test_an_old_file_is_rotated(series: MakeSeries, contents: Contents, clock: MovableClock) -> None:
    files = series(rotate_interval_ms=60_000, filename_format="<TOPIC><REV>")
    files.write([b"1"])
    clock.advance(seconds=60)
    files.write([b"2"])
    clock.advance(seconds=1)
    files.write([b"3"])
    files.close()

    assert contents() == {"clicks-000000": b"1\n2\n", "clicks-000001": b"3\n"}


@pytest.mark.shows("nsq_to_file: empty files")
def test_a_tick_syncs_and_makes_the_file_of_the_hour(
    series: MakeSeries, contents: Contents, clock: MovableClock
) -> None:
    files = series()
    files.tick()
    files.write([b"1"])
    files.tick()
    synced = files.synced
    clock.advance(seconds=3_600)
    files.tick()
    files.close()

    assert synced == 1
    assert contents() == {"clicks.h.2026-11-22_18.log": b"1\n", "clicks.h.2026-11-22_19.log": b""}


@pytest.mark.shows("nsq_to_file --skip-empty-files", "nsq_to_file: empty files")
def test_empty_files_can_be_skipped(series: MakeSeries, contents: Contents, clock: MovableClock) -> None:
    files = series(skip_empty_files=True)
    files.tick()
    before = contents()
    files.write([b"1"])
    clock.advance(seconds=3_600)
    files.tick()

    assert files.synced == 1
    assert (before, contents()) == ({}, {"clicks.h.2026-11-22_18.log": b"1\n"})


def test_files_may_be_in_folders_of_their_own(series: MakeSeries, contents: Contents) -> None:
    files = series(filename_format="<TOPIC>/<DATETIME>.log", datetime_format="%Y/%m/%d")
    files.write([b"1"])
    files.close()

    assert contents() == {"clicks/2026/11/22.log": b"1\n"}


def test_after_a_disk_error_nothing_counts_as_synced_any_more(series: MakeSeries, tmp_path: Path) -> None:
    (tmp_path / "clicks.log").symlink_to("/dev/full")
    files = series(filename_format="<TOPIC>.log")

    with pytest.raises(StorageError, match="No space left on device"):
        files.write([b"1"])
    (tmp_path / "clicks.log").unlink()
    for call in (files.sync, files.tick, files.close, lambda: files.write([b"2"])):
        with pytest.raises(StorageError, match=r"given up after: write .* No space left on device"):
            call()
    files.abandon()

    assert files.synced == 0
