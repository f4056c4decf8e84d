"""Files in memory that fail when told, and behave as the real ones otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import DiskFull, StorageError
from millstream.storage.files import FileSystem
from millstream.testing import FaultyFiles, Killed
from millstream.testing.files import IO_ERROR, NO_SPACE


@pytest.fixture
def files() -> FaultyFiles:
    found = FaultyFiles(seed=3)
    found.make_directory("d")
    found.sync_directory("")
    return found


def write(files: FaultyFiles, path: str, data: bytes, *, sync: bool = False) -> None:
    file = files.open(path, create=True)
    file.write(data, 0)
    if sync:
        file.sync()
    file.close()


def test_they_have_the_shape_of_a_file_system(files: FaultyFiles) -> None:
    port: FileSystem = files

    assert port.names("d") == []


def test_the_planned_write_fails_and_no_other(files: FaultyFiles) -> None:
    file = files.open("d/a", create=True)
    files.fail("write", after=1, reason=NO_SPACE)

    file.write(b"1", 0)
    with pytest.raises(StorageError, match="write d/a - No space left on device"):
        file.write(b"2", 1)
    file.write(b"3", 1)

    assert files.read("d/a") == b"13"


def test_a_failing_write_keeps_a_part_when_told() -> None:
    kept = set()
    for seed in range(20):
        files = FaultyFiles(seed=seed)
        file = files.open("a", create=True)
        files.fail("write", keep_part=True)
        with pytest.raises(StorageError, match=IO_ERROR):
            file.write(b"abcd", 0)
        kept.add(files.read("a"))

    assert {b"", b"ab", b"abcd"} <= kept <= {b"", b"a", b"ab", b"abc", b"abcd"}


def test_a_full_disk_is_told_from_a_failing_one(files: FaultyFiles) -> None:
    file = files.open("d/a", create=True)
    files.capacity_bytes = 3
    assert files.room("d") == (3, 3)

    with pytest.raises(DiskFull):
        file.write(b"four", 0)

    assert files.room("d") == (0, 3)
    files.heal()
    assert files.room("d") == (0, 0)


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(files: FaultyFiles) -> None:
    files.fail("rename")

    with pytest.raises(StorageError):
        files.replace("d/a", b"new", sync=True)

    assert files.names("d") == []


def test_a_full_disk_takes_what_fits_and_takes_the_rest_when_there_is_room_again() -> None:
    files = FaultyFiles(capacity_bytes=5)
    file = files.open("a", create=True)
    file.write(b"abc", 0)

    with pytest.raises(StorageError, match=NO_SPACE):
        file.write(b"defg", 3)
    assert files.read("a") == b"abcde"
    file.write(b"xyz", 0)
    files.capacity_bytes = 10
    file.write(b"fg", 5)

    assert files.read("a") == b"xyzdefg"


def test_removing_a_file_makes_room() -> None:
    files = FaultyFiles(capacity_bytes=4)
    write(files, "a", b"abcd")
    files.remove("a")

    write(files, "b", b"efgh")

    assert files.used_bytes == 4


@pytest.mark.parametrize("operation", ["open", "read", "truncate", "sync", "rename", "remove"])
def test_each_operation_can_fail_once(files: FaultyFiles, operation: str) -> None:
    write(files, "d/a", b"abc")
    file = files.open("d/a")
    calls = {
        "open": lambda: files.open("d/b", create=True),
        "read": lambda: file.read_into(memoryview(bytearray(1)), 0),
        "truncate": lambda: file.truncate(1),
        "sync": file.sync,
        "rename": lambda: files.rename("d/a", "d/c"),
        "remove": lambda: files.remove("d/a"),
    }
    files.fail(operation)

    with pytest.raises(StorageError, match=IO_ERROR):
        calls[operation]()
    assert files.read("d/a") == b"abc"
    calls[operation]()


def test_healing_ends_all_faults(files: FaultyFiles) -> None:
    files.fail("write", times=9)
    files.capacity_bytes = 0
    files.kill_at(2)

    files.heal()

    for _ in range(3):
        write(files, "d/a", b"abc")


def test_a_kill_keeps_all_that_was_written(files: FaultyFiles) -> None:
    write(files, "d/a", b"abc")

    found = files.crash()
    write(files, "d/a", b"xyz")

    assert found.read("d/a") == b"abc"
    assert found.names("d") == ["a"]


def test_a_kill_tears_the_write_under_way_and_ends_the_process(files: FaultyFiles) -> None:
    file = files.open("d/a", create=True)
    files.kill_at(1)

    file.write(b"abc", 0)
    with pytest.raises(Killed):
        file.write(b"defgh", 3)
    with pytest.raises(Killed):
        file.write(b"never", 8)

    assert b"abcdefgh".startswith(files.crash().read("d/a"))


def test_a_power_loss_keeps_what_was_synced_under_a_synced_name(files: FaultyFiles) -> None:
    write(files, "d/a", b"abc", sync=True)
    files.sync_directory("d")
    files.remove("d/a")
    write(files, "d/b", b"abc", sync=True)
    outcomes = set()

    for _ in range(50):
        found = files.crash(power_loss=True)
        assert all(found.read(f"d/{name}") == b"abc" for name in found.names("d"))
        outcomes.add(tuple(found.names("d")))

    assert outcomes == {(), ("a",), ("b",), ("a", "b")}


def test_what_was_removed_before_its_directory_was_synced_is_gone(files: FaultyFiles) -> None:
    write(files, "d/a", b"abc", sync=True)
    files.sync_directory("d")
    files.remove("d/a")
    files.sync_directory("d")

    assert all(files.crash(power_loss=True).names("d") == [] for _ in range(10))


def test_a_replaced_file_is_the_old_or_the_new_one_until_its_directory_is_synced(files: FaultyFiles) -> None:
    files.replace("d/a", b"old", sync=True)
    files.replace("d/a", b"new", sync=False)

    assert {files.crash(power_loss=True).read("d/a") for _ in range(100)} >= {b"old", b"new"}
    files.replace("d/a", b"new", sync=True)
    assert {files.crash(power_loss=True).read("d/a") for _ in range(10)} == {b"new"}


def test_a_directory_and_what_is_in_it_is_as_its_parent_has_it(files: FaultyFiles) -> None:
    files.make_directory("d/e")
    files.replace("d/e/a", b"abc", sync=True)

    assert {tuple(files.crash(power_loss=True).names("d")) for _ in range(20)} == {(), ("e",)}
    files.sync_directory("d")
    assert {tuple(files.crash(power_loss=True).names("d/e")) for _ in range(10)} == {("a",)}
    files.remove_directory("d/e")
    assert {tuple(files.crash(power_loss=True).names("d")) for _ in range(20)} == {(), ("e",)}
    files.sync_directory("d")
    assert {tuple(files.crash(power_loss=True).names("d/e")) for _ in range(10)} == {()}


def test_a_renamed_directory_is_whole_under_one_of_its_names(files: FaultyFiles) -> None:
    files.make_directory("d/e")
    files.replace("d/e/a", b"abc", sync=True)
    files.replace("d/e/b", b"def", sync=True)
    files.sync_directory("d")

    files.rename("d/e", "d/f")

    assert (files.names("d"), files.read("d/f/a")) == (["f"], b"abc")
    assert files.crash().names("d") == ["f"]
    for _ in range(20):
        found = files.crash(power_loss=True)
        (name,) = found.names("d")
        assert found.names(f"d/{name}") == ["a", "b"]
    assert {tuple(files.crash(power_loss=True).names("d")) for _ in range(20)} == {("e",), ("f",)}
    assert {tuple(files.crash().crash(power_loss=True).names("d")) for _ in range(20)} == {("e",), ("f",)}
    files.sync_directory("d")
    assert {tuple(files.crash(power_loss=True).names("d/f")) for _ in range(20)} == {("a", "b")}
    assert {tuple(files.crash(power_loss=True).names("d/e")) for _ in range(20)} == {()}


def test_a_directory_made_where_another_was_leaves_that_its_new_name(files: FaultyFiles) -> None:
    files.make_directory("d/e")
    files.replace("d/e/a", b"abc", sync=True)
    files.sync_directory("d")
    files.rename("d/e", "d/f")
    files.make_directory("d/e")
    files.replace("d/e/b", b"def", sync=True)

    found = [files.crash(power_loss=True) for _ in range(50)]

    assert {(tuple(one.names("d/e")), tuple(one.names("d/f"))) for one in found} == {
        (("b",), ("a",)),
        ((), ("a",)),
    }


def test_a_directory_is_not_renamed_over_another(files: FaultyFiles) -> None:
    for name in ("d/e", "d/f"):
        files.make_directory(name)

    with pytest.raises(StorageError, match="not empty"):
        files.rename("d/e", "d/f")


def test_a_sync_says_nothing_of_what_an_earlier_one_could_not_bring_to_the_disk(files: FaultyFiles) -> None:
    write(files, "d/a", b"abc", sync=True)
    files.sync_directory("d")
    file = files.open("d/a")
    file.write(b"x", 0)
    files.fail("sync")
    with pytest.raises(StorageError):
        file.sync()
    file.write(b"def", 3)
    file.sync()

    assert {files.crash(power_loss=True).read("d/a") for _ in range(50)} == {b"abcdef", b"xbcdef"}


def test_a_power_loss_keeps_all_of_an_unsynced_write_or_a_part_or_zeros(files: FaultyFiles) -> None:
    write(files, "d/a", b"abc", sync=True)
    files.sync_directory("d")
    file = files.open("d/a")
    file.write(b"def", 3)

    found = {files.crash(power_loss=True).read("d/a") for _ in range(200)}

    assert found == {b"abc", b"abcd", b"abcde", b"abcdef", b"abc\0\0\0"}


def test_a_power_loss_after_a_kill_still_knows_what_was_synced(files: FaultyFiles) -> None:
    write(files, "d/a", b"abc", sync=True)
    files.sync_directory("d")

    assert files.crash().crash(power_loss=True).read("d/a") == b"abc"


def test_a_missing_file_or_directory_is_an_error(files: FaultyFiles) -> None:
    for call in (lambda: files.open("d/none"), lambda: files.open("none/a", create=True), lambda: files.read("d/none")):
        with pytest.raises(StorageError, match="No such file or directory"):
            call()
    with pytest.raises(StorageError):
        files.sync_directory("none")


def test_a_closed_file_is_not_used_again(files: FaultyFiles) -> None:
    file = files.open("d/a", create=True)
    file.close()
    file.close()

    assert files.open_count == 0
    with pytest.raises(StorageError, match="Bad file descriptor"):
        file.write(b"a", 0)


def test_a_replaced_file_is_whole_whenever_the_process_dies(files: FaultyFiles) -> None:
    write(files, "d/a", b"old")
    for change in range(5):
        victim = files.crash()
        victim.kill_at(change)
        try:
            victim.replace("d/a", b"newer", sync=True)
        except Killed:
            pass

        assert victim.crash().read("d/a") in {b"old", b"newer"}


def test_a_directory_is_removed_with_its_files(files: FaultyFiles) -> None:
    write(files, "d/a", b"abc")

    files.remove_directory("d")

    assert files.names("d") == []
    assert files.used_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=20))), st.integers(0, 30))
def test_writes_at_any_offset_give_what_a_real_file_has(writes: list[tuple[int, bytes]], size: int) -> None:
    files = FaultyFiles()
    file = files.open("a", create=True)
    expected = bytearray()

    for offset, data in writes:
        file.write(data, offset)
        if data:
            expected.extend(bytes(max(0, offset - len(expected))))
            expected[offset : offset + len(data)] = data
    file.truncate(size)
    expected = expected[:size] + bytes(max(0, size - len(expected)))

    buffer = bytearray(40)
    assert file.read_into(memoryview(buffer), 0) == file.size() == size
    assert buffer[:size] == expected
