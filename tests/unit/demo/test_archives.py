import gzip
from pathlib import Path

from millstream.demo.archives import archived_lines


def test_lines_of_all_files_of_a_topic_are_read(tmp_path: Path) -> None:
    (tmp_path / "clicks.host.2026-01-01_00.log").write_bytes(b"one\ntwo\n")
    (tmp_path / "clicks.host-000000.2026-01-01_01.log.gz").write_bytes(
        gzip.compress(b"three\n") + gzip.compress(b"4\n")
    )
    (tmp_path / "other.host.2026-01-01_00.log").write_bytes(b"no\n")

    assert sorted(archived_lines(tmp_path, "clicks")) == [b"4", b"one", b"three", b"two"]


def test_what_a_killed_archiver_left_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole, torn = gzip.compress(b"one\n"), gzip.compress(b"".join(b"%d\n" % number for number in range(50_000)))
    (tmp_path / "clicks.a.log.gz").write_bytes(whole + torn[: len(torn) // 2])
    (tmp_path / "clicks.b.log").write_bytes(b"two\nthr")

    lines = list(archived_lines(tmp_path, "clicks"))

    assert lines[0] == b"one"
    assert lines[-1] == b"two"
    assert 1_000 < len(lines) < 50_002


def test_garbage_behind_a_member_ends_the_file(tmp_path: Path) -> None:
    (tmp_path / "clicks.a.log.gz").write_bytes(gzip.compress(b"one\n") + b"garbage")

    assert list(archived_lines(tmp_path, "clicks")) == [b"one"]


def test_large_members_are_read_in_pieces(tmp_path: Path) -> None:
    body = b"".join(b"line %d\n" % number for number in range(200_000))
    (tmp_path / "clicks.a.log.gz").write_bytes(gzip.compress(body))

    assert sum(1 for _ in archived_lines(tmp_path, "clicks")) == 200_000
