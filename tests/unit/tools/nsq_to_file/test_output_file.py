import gzip
import zlib
from pathlib import Path

import pytest

from millstream.base.errors import StorageError
from millstream.tools.nsq_to_file.output_file import OutputFile, make_directories, open_output


def opened(path: Path, *, is_exclusive: bool = False, gzip_level: int = 0) -> OutputFile:
    file = open_output(path, is_exclusive=is_exclusive, gzip_level=gzip_level)
    assert file is not None
    return file


def test_a_plain_file_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1\n")

    file = opened(path)
    file.write(b"2\n")
    file.close()

    assert (path.read_bytes(), file.size_bytes) == (b"1\n2\n", 4)


def test_a_torn_last_line_does_not_swallow_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b'{"n":1}\n{"n"')

    file = opened(path)
    file.write(b'{"n":2}\n')
    file.close()

    assert path.read_bytes() == b'{"n":1}\n{"n"\n{"n":2}\n'


def test_an_exclusive_file_is_never_one_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "f").touch()

    assert open_output(tmp_path / "f", is_exclusive=True) is None


@pytest.mark.shows("nsq_to_file: each sync ends a gzip member")
def test_each_sync_ends_a_gzip_member(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    file = opened(path, is_exclusive=True, gzip_level=6)

    file.write(b"1\n")
    file.write(b"2\n")
    file.sync()
    file.sync()
    after_sync = path.read_bytes()
    file.write(b"3\n")
    file.close()

    member = zlib.decompressobj(31)
    assert (member.decompress(path.read_bytes()), gzip.decompress(member.unused_data)) == (b"1\n2\n", b"3\n")
    assert gzip.decompress(after_sync) == b"1\n2\n"
    assert file.size_bytes == 6


def test_an_abandoned_gzip_file_is_readable_up_to_its_last_sync(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    file = opened(path, is_exclusive=True, gzip_level=1)
    file.write(b"safe\n")
    file.sync()
    file.write(bytes(range(256)) * 1_000)

    file.abandon()

    member = zlib.decompressobj(31)
    assert member.decompress(path.read_bytes()) == b"safe\n"
    assert member.eof


def test_a_gzip_file_without_records_is_still_one(tmp_path: Path) -> None:
    opened(tmp_path / "f.gz", is_exclusive=True, gzip_level=6).close()

    assert gzip.decompress((tmp_path / "f.gz").read_bytes()) == b""
    assert (tmp_path / "f.gz").stat().st_size > 0


def test_a_full_disk_is_an_error_with_its_path_and_reason() -> None:
    file = opened(Path("/dev/full"))

    with pytest.raises(StorageError, match="write /dev/full - No space left on device"):
        file.write(b"1\n")
    file.abandon()
    file.abandon()


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Is a directory"):
        open_output(tmp_path, is_exclusive=False)


def test_folders_are_created_for_owner_and_group_alone(tmp_path: Path) -> None:
    make_directories(tmp_path / "a" / "b")
    make_directories(tmp_path / "a" / "b")

    assert [path.stat().st_mode & 0o007 for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0, 0]


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(StorageError, match="Not a directory"):
        make_directories(tmp_path / "a" / "b")
