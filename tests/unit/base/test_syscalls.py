"""Writes whose failures are numbers."""

import errno
import os
from pathlib import Path

import pytest

from millstream.base.syscalls import write_at, write_to


@pytest.mark.parametrize("data", [b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4], b""])
def test_what_was_written_is_counted(data: bytes | bytearray | memoryview) -> None:
    reading, writing = os.pipe()
    try:
        assert write_to(writing, data) == len(data)
        os.close(writing)
        assert os.read(reading, 10) == bytes(data)
    finally:
        os.close(reading)


def test_a_part_of_the_data_goes_where_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        assert write_at(descriptor, bytearray(b"0123456789"), 2, 3, 4) == 3
    finally:
        os.close(descriptor)

    assert path.read_bytes() == b"\0\0\0\x00234"


def test_failures_are_numbers_below_zero() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while write_to(writing, bytes(4096)) > 0:
        pass
    assert -write_to(writing, bytes(4096)) in {errno.EAGAIN, errno.EWOULDBLOCK}
    os.close(reading)
    assert write_to(writing, b"x") == -errno.EPIPE
    assert write_at(writing, b"x", 0, 1, 0) == -errno.ESPIPE
    os.close(writing)

    assert write_to(-1, b"x") == -errno.EBADF
    assert write_at(-1, b"x", 0, 1, 0) == -errno.EBADF
