"""A file of the operating system; what `FileSystem` promises of it is in `test_files`."""

import os
import resource
import signal
from pathlib import Path

import pytest

from millstream.base.errors import DiskFull, StorageError
from millstream.storage.os_file import OsFile, failure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def opened(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> OsFile:
    return OsFile(str(path), os.open(path, flags, 0o600))


def test_put_writes_a_part_of_a_buffer_where_it_is_told(path: Path) -> None:
    file = opened(path)

    file.put(bytearray(b"0123456789"), 2, 5, 3)
    file.put(bytearray(b"x"), 0, 0, 100)

    assert path.read_bytes() == b"\0\0\x0023456"
    file.close()


def test_put_goes_on_behind_what_the_system_took(path: Path) -> None:
    file = opened(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        with pytest.raises(StorageError, match=f"write {path} - File too large"):
            file.put(bytearray(b"0123456789"), 0, 10, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert path.read_bytes() == b"012345"
    file.close()


def test_a_failed_put_names_the_file_and_the_reason(path: Path) -> None:
    path.touch()
    file = opened(path, os.O_RDONLY)

    with pytest.raises(StorageError, match=f"write {path} - Bad file descriptor"):
        file.put(bytearray(b"x"), 0, 1, 0)
    file.close()
    with pytest.raises(StorageError, match="Bad file descriptor"):
        file.put(bytearray(b"x"), 0, 1, 0)


def test_no_room_is_an_error_of_its_own() -> None:
    full = OsFile("/dev/full", os.open("/dev/full", os.O_RDWR))

    with pytest.raises(DiskFull, match="write /dev/full - No space left on device"):
        full.put(bytearray(b"x"), 0, 1, 0)
    with pytest.raises(DiskFull, match="write /dev/full - No space left on device"):
        full.write(b"x", 0)
    full.close()

    assert type(failure("f", "read", OSError(5, "Input/output error"))) is StorageError
    assert str(failure("f", "read", OSError("odd"))) == "read f - odd"
