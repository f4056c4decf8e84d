"""`tools.replay.archives`: lines of plain and packed files, also of those that end too early."""

import gzip
from pathlib import Path

import pytest

from millstream.tools.replay.archives import ArchiveFailed, batches_of, counted, lines_of


def test_plain_and_packed_files_have_the_same_lines(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(b"a\n\nb\r\nlast")
    packed.write_bytes(gzip.compress(b"a\n\n") + gzip.compress(b"b\r\nlast"))

    assert list(lines_of(plain)) == list(lines_of(packed)) == [b"a", b"b\r", b"last"]


def test_a_stream_that_breaks_off_ends_the_file(tmp_path: Path) -> None:
    path = tmp_path / "torn"
    path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n" * 10_000)[:-20])

    assert next(lines_of(path)) == b"a"
    assert set(list(lines_of(path))[1:]) <= {b"b"}


def test_a_damaged_stream_is_an_error_that_says_how_far_it_came(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    content = bytearray(gzip.compress(b"a\n") + gzip.compress(b"b" * 100))
    content[-5] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(ArchiveFailed, match="after 1 lines"):
        list(lines_of(path))


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArchiveFailed, match="No such file"):
        list(lines_of(tmp_path / "none"))


def test_batches_keep_both_bounds_and_skip_what_was_sent(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"0\n1\n2\n")
    second.write_bytes(b"long" * 10 + b"\n3\n")

    by_count = list(batches_of([first, second], skip=1, count_max=2, bytes_max=1_000))
    by_bytes = list(batches_of([first, second], skip=0, count_max=100, bytes_max=10))

    assert by_count == [[b"1", b"2"], [b"long" * 10, b"3"]]
    assert by_bytes == [[b"0", b"1", b"2"], [b"long" * 10], [b"3"]]


def test_a_batch_is_counted_and_sized() -> None:
    assert counted([b"a", b"bc"]) == b"\0\0\0\2" + b"\0\0\0\1a" + b"\0\0\0\2bc"
