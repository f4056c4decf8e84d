import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.client import Reader, ReaderOptions
from millstream.tools.nsq_to_file.archive import Archive
from millstream.tools.nsq_to_file.file_series import FileSeries

Contents = Callable[[], dict[str, bytes]]
MakeSeries = Callable[..., FileSeries]
NEVER_MS = 3_600_000
FILE = "clicks.log"


class WatchedFiles(FileSeries):
    """Sets `wrote` when a batch was written."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.wrote = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def write(self, records: Sequence[bytes], *, sync: bool = False) -> None:
        super().write(records, sync=sync)
        self._loop.call_soon_threadsafe(self.wrote.set)


async def written(files: FileSeries) -> None:
    assert isinstance(files, WatchedFiles)
    async with asyncio.timeout(20):
        await files.wrote.wait()
    files.wrote.clear()


def archive(nsqd: Any, files: FileSeries, *, max_in_flight: int = 100, sync_interval_ms: int = NEVER_MS) -> Archive:
    options = ReaderOptions(max_in_flight=max_in_flight, close_timeout_ms=2_000)
    reader = Reader("clicks", "archive", nsqd_tcp_addresses=[nsqd.address], options=options)
    return Archive(reader, files, max_in_flight=max_in_flight, sync_interval_ms=sync_interval_ms)


@pytest.mark.shows("nsq_to_file --max-in-flight")
async def test_messages_are_finished_when_as_many_are_held_as_may_be(
    nsqd: Any, series: MakeSeries, contents: Contents
) -> None:
    stopped = asyncio.Event()
    files = series(filename_format=FILE)
    async with asyncio.TaskGroup() as group:
        group.create_task(archive(nsqd, files, max_in_flight=3).run(stopped))
        await nsqd.ready()
        nsqd.deliver(1)
        nsqd.deliver(2, 3)
        await nsqd.until(lambda: nsqd.finished == [1, 2, 3])
        on_disk = contents()
        stopped.set()

    assert on_disk == {FILE: b'{"n":1}\n{"n":2}\n{"n":3}\n'}


async def test_a_starved_reader_is_fed_before_the_interval_ends(nsqd: Any, series: MakeSeries) -> None:
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(archive(nsqd, series(), max_in_flight=20).run(stopped))
        await nsqd.ready()
        nsqd.deliver(*range(17))
        await nsqd.until(lambda: nsqd.finished == list(range(17)))
        stopped.set()


@pytest.mark.shows("nsq_to_file --sync-interval", "nsq_to_file: FIN comes after fsync")
async def test_the_interval_finishes_what_is_held(nsqd: Any, series: MakeSeries) -> None:
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(archive(nsqd, series(), sync_interval_ms=50).run(stopped))
        await nsqd.ready()
        nsqd.deliver(1)
        await nsqd.until(lambda: nsqd.finished == [1])
        nsqd.deliver(2)
        await nsqd.until(lambda: nsqd.finished == [1, 2])
        stopped.set()


async def test_a_stop_finishes_what_is_held_before_the_connection_closes(
    nsqd: Any, series: MakeSeries, contents: Contents
) -> None:
    stopped = asyncio.Event()
    files = series(WatchedFiles, filename_format=FILE)
    async with asyncio.TaskGroup() as group:
        group.create_task(archive(nsqd, files).run(stopped))
        await nsqd.ready()
        nsqd.deliver(1, 2)
        await written(files)
        finished_before = nsqd.finished
        stopped.set()

    assert finished_before == []
    assert nsqd.lines[-3:] == ["CLS", "FIN 0000000000000001", "FIN 0000000000000002"]
    assert contents() == {FILE: b'{"n":1}\n{"n":2}\n'}


async def test_reopening_finishes_what_is_held_and_begins_another_file(
    nsqd: Any, series: MakeSeries, contents: Contents
) -> None:
    stopped = asyncio.Event()
    files = series(WatchedFiles, gzip=True)
    one = archive(nsqd, files)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.run(stopped))
        await nsqd.ready()
        nsqd.deliver(1)
        await written(files)
        one.reopen()
        await nsqd.until(lambda: nsqd.finished == [1])
        nsqd.deliver(2)
        await written(files)
        stopped.set()

    assert nsqd.finished == [1, 2]
    assert list(contents()) == [f"clicks.h-00000{revision}.2026-11-22_18.log.gz" for revision in (0, 1)]


@pytest.mark.shows("nsq_to_file: FIN comes after fsync")
async def test_a_full_disk_finishes_nothing(nsqd: Any, series: MakeSeries, tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to("/dev/full")
    running = asyncio.create_task(archive(nsqd, series(filename_format=FILE), max_in_flight=1).run(asyncio.Event()))
    await nsqd.ready()
    nsqd.deliver(1)

    with pytest.raises(ExceptionGroup) as failed:
        await running

    assert failed.group_contains(StorageError, match="No space left on device")
    assert nsqd.finished == []
