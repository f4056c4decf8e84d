"""A data path: a directory per topic, a journal per channel."""

from contextlib import suppress
from itertools import count

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.chunks import BufferPool
from millstream.storage.contents import NewerFormat
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing import FaultyFiles
from millstream.testing.files import Killed


def store_on(files: FaultyFiles, durability: str = "log") -> DiskStore:
    return DiskStore(files, "data", LogSettings(durability=durability), BufferPool())


def publish(store: DiskStore, topic: str, body: bytes = b"a") -> None:
    log = store.open_log(topic, 7)
    log.append(bytearray(body), 0, len(body), 1)
    log.commit()


@pytest.mark.parametrize("durability", ["log", "fsync"])
def test_topics_and_channels_are_found_again(durability: str) -> None:
    files = FaultyFiles()
    store = store_on(files, durability)
    for topic in ("clicks", "a.b-c_1"):
        publish(store, topic)
        progress, state = store.open_progress(topic, "archive")
        assert not state.is_known
        progress.position(8, 8, 8)
        progress.flush()

    again = store_on(files.crash(), durability)

    assert again.saved_topics() == ["a.b-c_1", "clicks"]
    assert again.saved_channels("clicks") == ["archive"]
    assert again.open_progress("clicks", "archive")[1].floor == 8
    assert again.open_log("clicks", 0).next_seq == 8
    assert again.notes == []


def test_the_topics_own_position_is_no_channel() -> None:
    files = FaultyFiles()
    store = store_on(files)
    publish(store, "clicks")
    position, _ = store.open_position("clicks")
    position.begin_snapshot()
    position.position(8, 8, 8)
    position.flush()

    assert store.saved_channels("clicks") == []
    assert store.open_position("clicks")[1].floor == 8


def test_a_deleted_topic_leaves_nothing() -> None:
    files = FaultyFiles()
    store = store_on(files)
    publish(store, "clicks")

    store.delete_topic("clicks")

    assert store.saved_topics() == []
    assert files.used_bytes == 0


def test_a_deleted_topic_does_not_come_back_after_a_power_loss() -> None:
    files = FaultyFiles()
    files.make_directory("data")
    files.sync_directory("")
    store = store_on(files, "fsync")
    log = store.open_log("clicks", 7)
    log.append(bytearray(b"a"), 0, 1, 1)
    log.commit()
    job = log.begin_sync()
    assert job is not None
    job.run()

    store.delete_topic("clicks")

    assert all(not store_on(files.crash(power_loss=True)).saved_topics() for _ in range(10))


def on_disk(durability: str) -> FaultyFiles:
    """A topic of several segments, which no power loss takes."""
    files = filled(durability)
    opened(files, durability)
    for name in ("", "data", "data/clicks.topic"):
        files.sync_directory(name)
    for name in files.names("data/clicks.topic"):
        files.open(f"data/clicks.topic/{name}").sync()
    return files.crash()


def is_killed_while_deleting(files: FaultyFiles, change: int, durability: str) -> bool:
    """Kill a process at a change that it makes while it deletes the topic; False when there are not that many."""
    store = opened(files, durability)
    files.kill_at(change)
    with suppress(Killed):
        store.delete_topic("clicks")
        return False
    return True


@pytest.mark.parametrize(("durability", "power_loss"), [("log", False), ("fsync", False), ("fsync", True)])
def test_a_deletion_that_is_interrupted_is_done_or_not_begun(durability: str, power_loss: bool) -> None:
    start = on_disk(durability)
    whole = start.names("data/clicks.topic")
    outcomes = set()
    for change in count():
        files = start.crash()
        if not is_killed_while_deleting(files, change, durability):
            break
        for _ in range(10 if power_loss else 1):
            found = files.crash(power_loss=power_loss)
            store = store_on(found, durability)
            store.remove_deleted()
            outcomes.add(tuple(store.saved_topics()))
            if store.saved_topics():
                assert found.names("data/clicks.topic") == whole
                assert kinds(opened(found, durability)) == []
            else:
                assert (found.names("data"), found.used_bytes) == ([], 0)

    assert change > len(whole)
    assert outcomes == {("clicks",), ()}


def test_a_topic_is_deleted_again_while_the_rest_of_the_first_is_there() -> None:
    files = filled()
    store = opened(files)
    files.fail("remove", after=1, reason="Input/output error")
    with pytest.raises(StorageError, match="Input/output error"):
        store.delete_topic("clicks")
    assert (store.saved_topics(), files.names("data")) == ([], ["clicks.topic.deleted"])

    publish(store, "clicks")
    assert files.names("data") == ["clicks.topic", "clicks.topic.deleted"]
    store.delete_topic("clicks")

    assert (files.names("data"), files.used_bytes) == ([], 0)


def test_a_topic_is_deleted_where_there_is_no_room_for_another_name() -> None:
    files = filled("fsync")
    store = opened(files, "fsync")
    files.fail("rename", reason="No space left on device")

    store.delete_topic("clicks")

    assert (files.names("data"), files.used_bytes) == ([], 0)


def test_what_cannot_be_removed_of_a_deleted_topic_is_noted_and_stops_nobody() -> None:
    files = filled()
    files.rename("data/clicks.topic", "data/clicks.topic.deleted")
    store = store_on(files)
    files.fail("remove", reason="Input/output error")

    store.remove_deleted()

    (note,) = store.notes
    assert note.startswith("what is left of a deleted topic takes room: remove data/clicks.topic.deleted/")
    again = store_on(files.crash())
    again.remove_deleted()
    assert (again.notes, again.saved_topics()) == ([], [])


def test_what_was_not_as_it_should_be_is_noted() -> None:
    files = FaultyFiles()
    publish(store_on(files), "clicks")
    path = f"data/clicks.topic/{7:016x}.seg"
    files.overwrite(path, files.read(path) + b"torn")
    files.overwrite("data/clicks.topic/archive.channel", b"not a journal")
    store = store_on(files.crash())

    store.open_log("clicks", 0)
    store.open_progress("clicks", "archive")

    assert len(store.notes) == 2


def test_frames_that_a_deleted_channel_has_left_are_removed() -> None:
    files = FaultyFiles()
    store = store_on(files)
    publish(store, "clicks")
    for channel in ("archive", "archive.1"):
        progress, _ = store.open_progress("clicks", channel)
        progress.straggler(1, 0, 1, b"frame")
        progress.position(8, 8, 8)
        progress.flush()
    files.remove("data/clicks.topic/archive.channel")

    assert store.saved_channels("clicks") == ["archive.1"]

    frames = [name for name in files.names("data/clicks.topic") if name.endswith(".frames")]
    assert frames == ["archive.1.0000000000000000.frames"]


def filled(durability: str = "log", *, messages: int = 300) -> FaultyFiles:
    """A topic of several segments, of which the oldest are done with; and what a kill leaves of it."""
    files = FaultyFiles()
    store = DiskStore(files, "data", LogSettings(durability=durability, segment_bytes_max=16 << 10), BufferPool())
    log = store.open_log("clicks", 1000)
    progress, _ = store.open_progress("clicks", "archive")
    for _ in range(messages):
        log.append(bytearray(4 << 10), 0, 4 << 10, 1)
        log.commit()
    progress.position(1100, 1150, 1150)
    progress.flush()
    log.release(1100)
    return files.crash()


def opened(files: FaultyFiles, durability: str = "log") -> DiskStore:
    store = store_on(files, durability)
    store.open_log("clicks", 5)
    store.open_position("clicks")
    for channel in store.saved_channels("clicks"):
        store.open_progress("clicks", channel, is_listed=True)
    return store


def kinds(store: DiskStore) -> list[str]:
    return [damage.kind for damage in store.damage.of("clicks")]


def segments(files: FaultyFiles) -> list[str]:
    return [f"data/clicks.topic/{name}" for name in files.names("data/clicks.topic") if name.endswith(".seg")]


@pytest.mark.parametrize("durability", ["log", "fsync"])
def test_what_was_released_is_not_missed(durability: str) -> None:
    store = opened(filled(durability), durability)

    assert (store.notes, kinds(store)) == ([], [])


def test_the_first_records_of_a_log_are_not_missed_before_it() -> None:
    files = FaultyFiles()
    store = store_on(files)
    progress, _ = store.open_progress("clicks", "archive")
    files.make_directory("data/clicks.topic")
    progress.position(1, 1, 1)
    progress.flush()
    publish(store, "clicks")

    assert kinds(opened(files.crash())) == []


def test_segments_missing_at_the_front_are_told_by_what_the_journals_say() -> None:
    files = filled()
    first, second = segments(files)[:2]
    files.remove(first)

    store = opened(files)

    missing = int(second[-20:-4], 16) - 1100
    assert store.notes == [f"{missing} records are missing before {second}, by what archive.channel says"]
    assert kinds(store) == ["missing"]


def test_that_all_segments_are_missing_is_told_where_something_was_not_finished() -> None:
    files = filled()
    for path in segments(files):
        files.remove(path)

    store = opened(files)

    assert store.notes == [
        "data/clicks.topic has no records, and 50 are not finished by what archive.channel says",
    ]
    # In memory nothing was promised.
    assert opened(files, "memory").notes == []


def test_a_listed_channel_without_a_journal_is_told() -> None:
    files = filled()
    files.remove("data/clicks.topic/archive.channel")
    store = store_on(files)
    store.open_log("clicks", 5)

    _, state = store.open_progress("clicks", "archive", is_listed=True)
    store.open_progress("clicks", "new")

    assert not state.is_known
    assert store.notes == ["data/clicks.topic/archive.channel is missing: it starts at the oldest record"]
    assert kinds(store) == ["journal"]


def test_what_a_read_finds_damaged_gets_into_the_book() -> None:
    files = filled()
    path = segments(files)[1]
    data = bytearray(files.read(path))
    data[64 + 20] ^= 1
    files.overwrite(path, bytes(data))
    store = store_on(files)
    log = store.open_log("clicks", 5)
    assert store.damage.take_unsaid() == []

    assert log.record(int(path[-20:-4], 16)) is None

    assert [(topic, damage.mark) for topic, damage in store.damage.take_unsaid()] == [
        ("clicks", f"{path[-20:]}.bad-64")
    ]


def test_acknowledged_damage_stays_so_over_a_restart() -> None:
    files = filled(messages=600)
    first, _, third = segments(files)[:3]
    files.remove(first)
    files.remove(third)
    files.overwrite("data/clicks.topic/other.channel", b"\xee" * 50)
    store = opened(files)
    assert kinds(store) == ["missing", "missing", "journal"]

    assert [damage.kind for damage in store.acknowledge("clicks")] == ["missing", "missing", "journal"]

    assert kinds(store) == []
    again = opened(files.crash())
    assert (again.notes, kinds(again)) == ([], [])
    assert again.acknowledge("clicks") == []


@pytest.mark.parametrize("name", ["00000000000003e8.seg", "archive.channel", "topic.position"])
def test_before_anything_is_touched_a_newer_version_is_refused(name: str) -> None:
    files = FaultyFiles()
    store = store_on(files)
    for topic in ("aaa", "zzz"):
        publish(store, topic)
    store.refuse_newer()
    magic = b"MSTRLOG\x02" if name.endswith(".seg") else b"MSTRCHN\x03"
    files.overwrite(f"data/zzz.topic/{name}", magic + bytes(100))
    files.overwrite("data/aaa.topic/0000000000000007.seg", files.read("data/aaa.topic/0000000000000007.seg") + b"torn")
    before = files.change_count

    with pytest.raises(NewerFormat, match=f"zzz.topic/{name} - was written by a newer version"):
        store_on(files).refuse_newer()

    assert files.change_count == before


def test_a_deleted_topic_is_damaged_no_more() -> None:
    files = filled()
    files.remove(segments(files)[1])
    store = opened(files)
    assert kinds(store) == ["missing"]

    store.delete_topic("clicks")

    assert kinds(store) == []


def test_a_failing_disk_keeps_what_could_not_be_acknowledged() -> None:
    files = filled()
    path = segments(files)[-1]
    files.overwrite(path, files.read(path) + b"torn")
    store = opened(files)
    files.fail("rename")

    with pytest.raises(StorageError):
        store.acknowledge("clicks")

    assert kinds(store) == ["torn_tail"]
