import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from millstream.base.system import SystemClock
from millstream.nsqlookupd.keeper import Keeper
from millstream.nsqlookupd.records import Producer
from millstream.nsqlookupd.registry import Registry
from millstream.protocol.lookup import Identity
from millstream.storage.files import OsFileSystem
from millstream.testing.files import FaultyFiles

DEADLINE_S = 20
IDENTITY = Identity(broadcast_address="h", tcp_port=4150, http_port=4151, version="1.3.0")


def make_registry() -> Registry:
    return Registry(SystemClock(), inactive_after_ms=300_000, tombstone_lifetime_ms=45_000)


def keeper_of(registry: Registry, path: str, files: FaultyFiles | OsFileSystem) -> Keeper:
    return Keeper(registry, files, path, producers_max=10, entries_max=100, gap_s=0.001)


@asynccontextmanager
async def running(keeper: Keeper) -> AsyncIterator[None]:
    task = asyncio.ensure_future(keeper.run())
    async with asyncio.timeout(DEADLINE_S):
        yield
    task.cancel()
    await asyncio.wait([task])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)


@pytest.fixture
def registry() -> Registry:
    registry = make_registry()
    registry.identify(Producer(connection_id=1, remote_address="10.0.0.1:5000", identity=IDENTITY))
    registry.register(1, "t", "c")
    return registry


def topics_in(path: str) -> list[str]:
    again = make_registry()
    keeper_of(again, path, OsFileSystem()).load()
    return again.topics()


async def test_changes_are_written_and_read_again(registry: Registry, tmp_path: Path) -> None:
    path = str(tmp_path / "registry")
    keeper = keeper_of(registry, path, OsFileSystem())
    async with running(keeper):
        registry.register(1, "u")
        await until(lambda: keeper.writes == 1)
        assert topics_in(path) == ["t", "u"]
        registry.register(1, "v")
        await until(lambda: keeper.writes == 2)

    assert topics_in(path) == ["t", "u", "v"]
    assert OsFileSystem().names(str(tmp_path)) == ["registry"]


def test_the_end_writes_what_there_is(registry: Registry, tmp_path: Path) -> None:
    path = str(tmp_path / "registry")
    keeper_of(registry, path, OsFileSystem()).save()

    again = make_registry()
    keeper_of(again, path, OsFileSystem()).load()

    found = again.lookup("t")
    assert found is not None
    assert [one.identity for one in found.producers] == [IDENTITY]


def test_without_a_file_the_registry_starts_empty(tmp_path: Path) -> None:
    assert topics_in(str(tmp_path / "none")) == []
    assert topics_in(str(tmp_path / "no" / "folder")) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"format":"nsqlookupd-registry","version":9}\n{}\n'])
def test_a_file_of_no_use_is_set_aside_and_reported(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "registry"
    path.write_bytes(content)

    assert topics_in(str(path)) == []

    assert (tmp_path / "registry.unusable").read_bytes() == content
    assert not path.exists()
    assert "snapshot.ignored" in caplog.text


def test_what_is_no_file_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert topics_in(str(tmp_path)) == []
    assert topics_in(str(tmp_path / "pipe")) == []

    assert caplog.text.count("snapshot.ignored") == 2


async def test_a_disk_that_fails_is_reported_and_tried_again_at_the_next_change(registry: Registry) -> None:
    files = FaultyFiles()
    files.make_directory("/d")
    files.fail("rename")
    keeper = keeper_of(registry, "/d/registry", files)
    async with running(keeper):
        registry.register(1, "u")
        await until(lambda: keeper.failures == 1)
        files.heal()
        registry.register(1, "v")
        await until(lambda: keeper.writes == 1)

    again = make_registry()
    keeper_of(again, "/d/registry", files).load()
    assert again.topics() == ["t", "u", "v"]
