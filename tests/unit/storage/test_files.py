"""The real file system behind the port; the errors of the system become ours."""

import stat
from pathlib import Path

import pytest

from millstream.base.errors import DiskFull, StorageError
from millstream.storage.files import DirectoryLock, FileSystem, OsFileSystem, ReadOnlyFiles


@pytest.fixture
def files() -> FileSystem:
    return OsFileSystem()


def test_what_is_written_is_read_at_its_place(files: FileSystem, tmp_path: Path) -> None:
    file = files.open(str(tmp_path / "a"), create=True)
    file.write(memoryview(b"defg"), 3)
    file.write(b"abc", 0)
    file.sync()
    buffer = bytearray(10)

    assert file.size() == 7
    assert file.read_into(memoryview(buffer), 2) == 5
    assert buffer[:5] == b"cdefg"
    file.truncate(2)
    assert file.size() == 2
    assert file.read_into(memoryview(buffer), 2) == 0
    file.close()
    file.close()


def test_files_are_for_their_owner_alone(files: FileSystem, tmp_path: Path) -> None:
    files.make_directory(str(tmp_path / "d" / "e"))
    files.open(str(tmp_path / "d" / "e" / "a"), create=True).close()

    assert stat.S_IMODE((tmp_path / "d" / "e" / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "d" / "e").stat().st_mode) == 0o700


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced_whole(files: FileSystem, tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"something longer")
    (tmp_path / "a.tmp").write_bytes(b"left over, and longer still")

    files.replace(str(path), b"new", sync=sync)

    assert path.read_bytes() == b"new"
    assert files.names(str(tmp_path)) == ["a"]


def test_removing_what_is_not_there_is_nothing(files: FileSystem, tmp_path: Path) -> None:
    files.remove(str(tmp_path / "none"))
    files.remove_directory(str(tmp_path / "none"))

    assert files.names(str(tmp_path / "none")) == []


def test_a_directory_is_removed_with_its_files(files: FileSystem, tmp_path: Path) -> None:
    files.make_directory(str(tmp_path / "d"))
    files.make_directory(str(tmp_path / "d"))
    files.open(str(tmp_path / "d" / "a"), create=True).close()
    files.sync_directory(str(tmp_path / "d"))
    files.rename(str(tmp_path / "d" / "a"), str(tmp_path / "d" / "b"))

    assert files.names(str(tmp_path / "d")) == ["b"]
    files.remove_directory(str(tmp_path / "d"))
    assert files.names(str(tmp_path)) == []


def test_a_directory_gets_another_name_with_all_that_is_in_it(files: FileSystem, tmp_path: Path) -> None:
    for name in ("d", "other"):
        files.make_directory(str(tmp_path / name))
        files.open(str(tmp_path / name / "a"), create=True).close()

    files.rename(str(tmp_path / "d"), str(tmp_path / "e"))

    assert files.names(str(tmp_path)) == ["e", "other"]
    assert files.names(str(tmp_path / "e")) == ["a"]
    with pytest.raises(StorageError, match="not empty"):
        files.rename(str(tmp_path / "e"), str(tmp_path / "other"))


def test_errors_say_what_where_and_why(files: FileSystem, tmp_path: Path) -> None:
    path = tmp_path / "none" / "a"

    with pytest.raises(StorageError) as raised:
        files.open(str(path), create=True)

    assert str(raised.value) == f"open {path} - No such file or directory"


def test_each_call_on_a_closed_file_is_an_error_of_ours(files: FileSystem, tmp_path: Path) -> None:
    file = files.open(str(tmp_path / "a"), create=True)
    file.close()

    for call in (lambda: file.write(b"a", 0), lambda: file.truncate(1), file.size, file.sync):
        with pytest.raises(StorageError, match="Bad file descriptor"):
            call()
    with pytest.raises(StorageError, match="read"):
        file.read_into(memoryview(bytearray(1)), 0)


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(files: FileSystem, tmp_path: Path, sync: bool) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(StorageError, match="rename"):
        files.replace(str(tmp_path / "a"), b"new", sync=sync)

    assert files.names(str(tmp_path)) == ["a"]


def test_the_room_of_a_disk_is_known(files: FileSystem, tmp_path: Path) -> None:
    free, total = files.room(str(tmp_path))

    assert 0 < free < total
    assert files.room(str(tmp_path / "none")) == (0, 0)


def test_who_only_looks_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    files = ReadOnlyFiles()
    path = str(tmp_path / "a")
    file = files.open(path)
    buffer = bytearray(3)

    assert (file.read_into(memoryview(buffer), 0), buffer) == (3, b"abc")
    for change in (
        lambda: file.write(b"x", 0),
        lambda: file.truncate(0),
        lambda: files.open(path, create=True),
        lambda: files.replace(path, b"x", sync=False),
        lambda: files.rename(path, path + "b"),
        lambda: files.remove(path),
        lambda: files.remove_directory(str(tmp_path)),
        lambda: files.make_directory(str(tmp_path / "d")),
    ):
        with pytest.raises(StorageError):
            change()
    file.close()
    assert (tmp_path / "a").read_bytes() == b"abc"
    assert files.names(str(tmp_path)) == ["a"]


def test_a_full_device_is_an_error_of_ours(files: FileSystem) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    file = files.open("/dev/full")

    with pytest.raises(DiskFull, match="No space left on device"):
        file.write(b"a", 0)
    file.close()


@pytest.mark.parametrize("call", ["rename", "remove", "names", "make_directory", "sync_directory", "remove_directory"])
def test_each_call_maps_its_errors(files: FileSystem, tmp_path: Path, call: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    below = str(tmp_path / "file" / "x")
    arguments = (below, below + "y") if call == "rename" else (below,)

    with pytest.raises(StorageError, match="Not a directory"):
        getattr(files, call)(*arguments)


def test_a_data_path_is_held_by_one_process(tmp_path: Path) -> None:
    lock = DirectoryLock(str(tmp_path))

    with pytest.raises(StorageError, match="possibly in use by another instance of nsqd"):
        DirectoryLock(str(tmp_path))

    lock.release()
    DirectoryLock(str(tmp_path)).release()


def test_a_data_path_that_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        DirectoryLock(str(tmp_path / "none"))
