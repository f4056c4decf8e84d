import threading
from pathlib import Path

import pytest

from millstream.torture.watch import Change, Watch, has_happened, look

SEGMENT = "0000000000000001.seg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data path as this nsqd has it, with the files of the original beside."""
    topic = tmp_path / "t.topic"
    topic.mkdir()
    (topic / SEGMENT).write_bytes(b"records")
    (topic / "c.channel").write_bytes(b"journal")
    (topic / "grown.channel").write_bytes(bytes(20_000))
    (tmp_path / "t.diskqueue.000000.dat").write_bytes(b"records")
    (tmp_path / "t.diskqueue.meta.dat").write_bytes(b"journal")
    return tmp_path


def replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"other")
    path.with_name("new").replace(path)


HAPPENINGS = {
    Change.NEW_SEGMENT: [
        lambda folder: (folder / "t.topic" / "0000000000000002.seg").touch(),
        lambda folder: (folder / "t.diskqueue.000001.dat").touch(),
    ],
    Change.SEGMENT_GONE: [
        lambda folder: (folder / "t.topic" / SEGMENT).unlink(),
        lambda folder: (folder / "t.diskqueue.000000.dat").unlink(),
    ],
    Change.JOURNAL_WRITTEN: [
        lambda folder: (folder / "t.topic" / "c.channel").write_bytes(b"journal and more"),
        lambda folder: (folder / "t.topic" / "d.channel").touch(),
    ],
    Change.JOURNAL_REPLACED: [
        lambda folder: replace(folder / "t.topic" / "c.channel"),
        lambda folder: replace(folder / "t.diskqueue.meta.dat"),
    ],
    Change.JOURNAL_SHRUNK: [
        lambda folder: replace(folder / "t.topic" / "grown.channel"),
    ],
    Change.ANY: [
        lambda folder: (folder / "nsqd.dat").touch(),
        lambda folder: (folder / "t.topic" / SEGMENT).write_bytes(b"less"),
    ],
}
CASES = [(change, number) for change, list_ in HAPPENINGS.items() for number in range(len(list_))]


@pytest.mark.parametrize(("change", "number"), CASES)
def test_a_change_is_seen_from_a_thread(folder: Path, change: Change, number: int) -> None:
    seen = threading.Event()
    watch = Watch(folder, change, seen.set)
    thread = threading.Thread(target=watch.run)
    thread.start()

    HAPPENINGS[change][number](folder)

    assert seen.wait(20)
    thread.join(20)


@pytest.mark.parametrize("change", [change for change in Change if change is not Change.ANY])
def test_another_change_is_none(folder: Path, change: Change) -> None:
    before = look(folder, change)

    (folder / "nsqd.dat").touch()
    (folder / "t.topic" / SEGMENT).write_bytes(b"records and more")
    if change is Change.JOURNAL_SHRUNK:
        replace(folder / "t.topic" / "c.channel")

    assert not has_happened(change, before, look(folder, change))


def test_a_watch_that_is_stopped_sees_nothing(folder: Path) -> None:
    seen: list[int] = []
    watch = Watch(folder, Change.ANY, lambda: seen.append(1))
    watch.stop()
    (folder / "nsqd.dat").touch()

    assert not watch.run()
    assert seen == []


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert look(tmp_path / "nothing", Change.ANY) == {}
