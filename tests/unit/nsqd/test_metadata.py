"""`nsqd.metadata` on a real directory."""

from pathlib import Path

import pytest

from millstream.base.errors import StorageError
from millstream.engine.metadata import TopicMetadata
from millstream.nsqd.metadata import MetadataFile
from millstream.storage.files import OsFileSystem
from millstream.testing import FaultyFiles

TOPICS = [TopicMetadata("a", True, {"c": False, "d": True}), TopicMetadata("b")]


@pytest.mark.parametrize("sync", [False, True])
def test_what_was_written_is_read_again(tmp_path: Path, sync: bool) -> None:
    MetadataFile(OsFileSystem(), str(tmp_path), sync=sync).write(TOPICS)

    assert MetadataFile(OsFileSystem(), str(tmp_path), sync=sync).read() == TOPICS
    assert [found.name for found in tmp_path.iterdir()] == ["nsqd.dat"]


def test_no_file_is_no_topics(tmp_path: Path) -> None:
    assert MetadataFile(OsFileSystem(), str(tmp_path), sync=False).read() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"topics":5}', b"[" * 100_000, bytes(4096)])
def test_a_file_of_no_use_is_set_aside_and_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "nsqd.dat").write_bytes(content)
    file = MetadataFile(OsFileSystem(), str(tmp_path), sync=False)

    assert file.read() == []

    assert [found.name for found in tmp_path.iterdir()] == ["nsqd.dat.bad"]
    assert (tmp_path / "nsqd.dat.bad").read_bytes() == content
    (damage,) = file.damage
    assert (damage.kind, damage.mark) == ("metadata", "nsqd.dat.bad")
    assert "without messages, are forgotten; it was set aside as nsqd.dat.bad" in damage.text


def test_a_second_one_does_not_take_the_place_of_the_first(tmp_path: Path) -> None:
    file = MetadataFile(OsFileSystem(), str(tmp_path), sync=False)
    for content in (b"first", b"second"):
        (tmp_path / "nsqd.dat").write_bytes(content)
        file.read()

    assert (tmp_path / "nsqd.dat.bad").read_bytes() == b"first"
    assert (tmp_path / "nsqd.dat.bad.2").read_bytes() == b"second"
    assert [damage.mark for damage in file.damage] == ["nsqd.dat.bad", "nsqd.dat.bad.2"]


def test_a_file_that_cannot_be_read_or_set_aside_is_left_as_it_is() -> None:
    files = FaultyFiles()
    files.make_directory("data")
    files.overwrite("data/nsqd.dat", b"{")
    for operation, text in (("read", "read data/nsqd.dat"), ("rename", r"nsqd\.dat is no JSON .*move it away")):
        files.fail(operation)

        with pytest.raises(StorageError, match=text):
            MetadataFile(files, "data", sync=False).read()

        assert files.names("data") == ["nsqd.dat"]


@pytest.mark.shows("nsqd: nsqd.dat")
def test_nsqs_own_file_is_understood(tmp_path: Path) -> None:
    (tmp_path / "nsqd.dat").write_bytes(
        b'{"topics":[{"name":"t","paused":false,"channels":[{"name":"c","paused":true}]}],"version":"1.3.0"}'
    )

    assert MetadataFile(OsFileSystem(), str(tmp_path), sync=False).read() == [TopicMetadata("t", False, {"c": True})]
