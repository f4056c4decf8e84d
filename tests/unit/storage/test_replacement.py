from contextlib import suppress

import pytest

from millstream.base.errors import StorageError
from millstream.storage.replacement import Replacement
from millstream.testing import FaultyFiles, Killed

PATH = "d/journal"


@pytest.fixture
def files() -> FaultyFiles:
    found = FaultyFiles(seed=5)
    found.make_directory("d")
    found.sync_directory("")
    found.replace(PATH, b"old", sync=True)
    return found


def replace(files: FaultyFiles, *, sync: bool) -> Replacement:
    replacement = Replacement(files, PATH, sync=sync)
    replacement.write(b"the new ")
    replacement.write(b"content")
    return replacement


def test_the_new_content_is_there_when_it_was_put_in_place(files: FaultyFiles) -> None:
    replacement = replace(files, sync=False)
    assert files.read(PATH) == b"old"

    replacement.put_in_place()

    assert files.read(PATH) == b"the new content"
    assert (replacement.size, files.names("d"), files.open_count) == (15, ["journal"], 0)


def test_what_was_abandoned_leaves_nothing(files: FaultyFiles) -> None:
    replace(files, sync=False).abandon()

    assert files.read(PATH) == b"old"
    assert (files.names("d"), files.open_count) == (["journal"], 0)


def test_nothing_cannot_be_put_in_place(files: FaultyFiles) -> None:
    with pytest.raises(StorageError):
        Replacement(files, PATH, sync=False).put_in_place()


@pytest.mark.parametrize("change", range(7))
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(files: FaultyFiles, change: int) -> None:
    files.kill_at(change)
    with suppress(Killed):
        replace(files, sync=True).put_in_place()

    assert files.crash().read(PATH) in {b"old", b"the new content"}


def test_what_was_put_in_place_with_a_sync_survives_a_loss_of_power(files: FaultyFiles) -> None:
    replace(files, sync=True).put_in_place()

    assert all(files.crash(power_loss=True).read(PATH) == b"the new content" for _ in range(10))
