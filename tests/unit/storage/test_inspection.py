"""What an inspection finds on a data path, and that it leaves everything as it is."""

from collections.abc import Callable
from typing import cast

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.chunks import BufferPool
from millstream.storage.batches import pack_batch
from millstream.storage.contents import NewerFormat
from millstream.storage.files import File
from millstream.storage.inspection import Inspection, Record, TopicReport
from millstream.storage.log import Log
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing import FaultyFiles

DIRECTORY = "data/clicks.topic"
JOURNAL = f"{DIRECTORY}/archive.channel"
TIME_NS = 1_700_000_000_000_000_000
COUNT = 400


def body(number: int) -> bytes:
    return b"%04d" % number * 500


def append(log: Log, number: int, due_ns: int = 0) -> None:
    data = bytearray(body(number))
    if due_ns:
        log.append_deferred(data, 0, len(data), TIME_NS + number, due_ns)
    else:
        log.append(data, 0, len(data), TIME_NS + number)


class Disk(FaultyFiles):
    """A topic of several segments with a channel; nothing is closed, as after a kill."""

    def __init__(self, durability: str = "log") -> None:
        super().__init__()
        self.make_directory("data")
        settings = LogSettings(durability=durability, segment_bytes_max=16 << 10)
        self.store = DiskStore(self, "data", settings, BufferPool())
        self.log = self.store.open_log("clicks", 1000)
        for number in range(COUNT):
            append(self.log, number, 99 if number == 7 else 0)
            self.log.commit()
        progress, _ = self.store.open_progress("clicks", "archive")
        self.progress = progress
        progress.position(1100, 1150, 1200)
        progress.finished(1110, 1120)
        progress.finished(1300, 1310)
        progress.straggler(1007, 123, 0, b"\0\0\0\x22\0\0\0\2" + bytes(8) + b"\0\0" + b"%016x" % 1007 + b"late")
        progress.flush()

    @property
    def segments(self) -> list[str]:
        return [f"{DIRECTORY}/{name}" for name in self.names(DIRECTORY) if name.endswith(".seg")]

    def spoil(self, path: str, at: int) -> None:
        data = bytearray(self.read(path))
        data[at] ^= 1
        self.overwrite(path, bytes(data))


def inspection(disk: FaultyFiles, *, thorough: bool = True, pause: Callable[[], None] | None = None) -> Inspection:
    return Inspection(disk, thorough=thorough, pause=pause or (lambda: None))


def look(disk: Disk, *, thorough: bool = True, pause: Callable[[], None] | None = None) -> TopicReport:
    before = {name: disk.read(f"{DIRECTORY}/{name}") for name in disk.names(DIRECTORY)}
    report = inspection(disk, thorough=thorough, pause=pause).topic("clicks", DIRECTORY)
    if pause is None:
        assert {name: disk.read(f"{DIRECTORY}/{name}") for name in disk.names(DIRECTORY)} == before
    return report


def test_topics_are_those_that_have_a_folder() -> None:
    disk = Disk()
    disk.store.open_log("spam", 5).append(bytearray(b"x"), 0, 1, 1)
    disk.make_directory("data/other.folder")
    disk.make_directory("data/spam.topic")

    for path in ("data", "data/"):
        found = inspection(disk).topics(path)
        assert found == [("clicks", "data/clicks.topic"), ("spam", "data/spam.topic")]
    assert inspection(disk).topics("data/clicks.topic/") == [("clicks", "data/clicks.topic")]
    assert inspection(disk).topics("none") == []


@pytest.mark.parametrize("durability", ["log", "fsync"])
@pytest.mark.parametrize("thorough", [False, True])
def test_what_is_sound_is_reported_as_it_is(durability: str, thorough: bool) -> None:
    report = look(Disk(durability), thorough=thorough)

    assert (report.count, report.damage, report.set_aside) == (COUNT, (), ())
    assert len(report.segments) > 2
    assert [segment.contents.is_sealed for segment in report.segments][:-1] == [True] * (len(report.segments) - 1)
    assert report.size_bytes > COUNT * 2000
    (channel,) = report.channels
    assert (channel.name, channel.floor, channel.cursor) == ("archive", 1100, 1150)
    assert (channel.unfinished, channel.finished_beyond) == (40, 20)
    assert channel.waiting == 1000 + COUNT - 1150 - 10


def test_records_are_read_in_order_and_by_their_sequence() -> None:
    disk = Disk()
    report = look(disk)

    records = list(inspection(disk).records(report))

    assert [record.sequence for record in records] == list(range(1000, 1000 + COUNT))
    assert records[5] == Record(1005, TIME_NS + 5, 1, 0, body(5))
    assert records[7] == Record(1007, TIME_NS + 7, 1, 99, body(7))
    part = inspection(disk).records(report, 1103, 1106)
    assert [record.sequence for record in part] == [1103, 1104, 1105]
    assert list(inspection(disk).records(report, 5000)) == []


def test_stragglers_are_read_from_the_journal() -> None:
    disk = Disk()
    report = look(disk)

    assert list(inspection(disk).stragglers(report, report.channels[0])) == [Record(1007, 0, 0, 123, b"late")]


@pytest.mark.parametrize("durability", ["log", "fsync"])
def test_all_damage_is_named_and_records_around_it_are_read(durability: str) -> None:
    disk = Disk(durability)
    first, _, third = disk.segments[:3]
    last = disk.segments[-1]
    disk.spoil(first, 64 + 2034 * 3 + 20)
    base, following = int(third[-20:-4], 16), int(disk.segments[3][-20:-4], 16) if len(disk.segments) > 3 else 0
    disk.remove(third)
    disk.overwrite(last, disk.read(last) + b"torn")
    disk.overwrite(f"{DIRECTORY}/archive.channel", disk.read(f"{DIRECTORY}/archive.channel") + b"torn")

    report = look(disk)

    texts = "\n".join(report.damage)
    assert "has 2034 damaged bytes at 6166, where 1 of its records were" in texts
    assert f"{following - base} records are missing before" in texts
    assert f"{last[-20:]} ends in 4 bytes that are no sound record" in texts
    assert "archive ends in 4 bytes that are no sound batch" in texts
    assert len(report.damage) == 4
    found = [record.sequence for record in inspection(disk).records(report)]
    assert found == [s for s in range(1000, 1000 + COUNT) if s != 1003 and not base <= s < following]


def test_records_are_read_around_damage_that_nobody_has_looked_for() -> None:
    disk = Disk()
    disk.spoil(disk.segments[1], 64 + 2034 * 3 + 20)

    report = look(disk, thorough=False)

    assert report.damage == ()
    assert len(list(inspection(disk).records(report))) == COUNT - 1


def test_what_journals_miss_at_the_front_is_named() -> None:
    disk = Disk()
    for path in disk.segments[:-1]:
        disk.remove(path)

    report = look(disk)

    missing = report.segments[0].contents.base - 1100
    assert report.damage == (f"{missing} records are missing before {report.segments[0].name}",)


def test_what_was_set_aside_earlier_is_listed() -> None:
    disk = Disk()
    disk.overwrite(f"{DIRECTORY}/archive.channel.bad", b"x")

    assert look(disk).set_aside == ("archive.channel.bad",)


def test_a_segment_of_which_nothing_can_be_read_is_named() -> None:
    disk = Disk()
    disk.overwrite(disk.segments[1], b"\xee" * 5000)
    disk.remove(disk.segments[1].replace(".seg", ".idx"))

    report = look(disk)

    assert report.damage[0].endswith("has no sound header")
    assert len(report.segments) == len(disk.segments) - 1


@pytest.mark.parametrize("name", ["segment", "archive.channel"])
def test_a_newer_version_is_said_to_be_one(name: str) -> None:
    disk = Disk()
    path = disk.segments[0] if name == "segment" else f"{DIRECTORY}/{name}"
    data = disk.read(path)
    disk.overwrite(path, data[:7] + b"\x07" + data[8:])

    with pytest.raises(NewerFormat):
        look(disk)


def test_what_is_being_written_is_no_damage() -> None:
    disk = Disk()
    last = disk.segments[-1]
    whole = disk.read(last)
    disk.overwrite(last, whole[:-900])
    pauses: list[int] = []

    def go_on() -> None:
        pauses.append(1)
        disk.overwrite(last, whole + whole[64:164])

    report = look(disk, pause=go_on)

    assert (report.damage, report.count, pauses) == ((), COUNT, [1])


def test_a_journal_that_is_being_written_is_no_damage() -> None:
    disk = Disk()

    class Growing:
        """The journal, with a batch more behind every question."""

        def __init__(self, file: File) -> None:
            self._file = file

        def size(self) -> int:
            found = self._file.size()
            disk.progress.finished(1320, 1330)
            disk.progress.flush()
            return found

        def read_into(self, buffer: memoryview, offset: int) -> int:
            return self._file.read_into(buffer, offset)

        def close(self) -> None:
            self._file.close()

    class Busy(Disk):
        def __init__(self) -> None:
            self.__dict__ = disk.__dict__

        def open(self, path: str, *, create: bool = False) -> File:
            file = FaultyFiles.open(self, path, create=create)
            return cast("File", Growing(file)) if path == JOURNAL and not create else file

    report = inspection(Busy()).topic("clicks", DIRECTORY)

    assert report.damage == ()
    assert report.channels[0].finished_beyond == 20


def test_the_end_of_a_journal_that_is_half_written_is_no_damage() -> None:
    disk = Disk()
    disk.progress.finished(1320, 1330)
    disk.progress.flush()
    whole = disk.read(JOURNAL)
    disk.overwrite(JOURNAL, whole[:-5])
    batch = pack_batch(b"F" + (1340).to_bytes(8, "big") + (1350).to_bytes(8, "big"))
    pauses: list[int] = []

    def go_on() -> None:
        pauses.append(1)
        disk.overwrite(JOURNAL, whole + batch[:-5])

    report = look(disk, pause=go_on)

    assert (report.damage, report.channels[0].finished_beyond, pauses) == ((), 30, [1])


def test_damage_within_a_journal_is_told_although_it_grows() -> None:
    disk = Disk()
    disk.progress.finished(1320, 1330)
    disk.progress.flush()
    disk.spoil(JOURNAL, 8 + 12)

    def go_on() -> None:
        batch = pack_batch(b"F" + (1340).to_bytes(8, "big") + (1350).to_bytes(8, "big"))
        disk.overwrite(JOURNAL, disk.read(JOURNAL) + batch)

    report = look(disk, pause=go_on)

    assert report.damage == ("archive is damaged at 8",)


def test_a_torn_journal_stays_one_however_often_it_is_looked_at() -> None:
    disk = Disk()
    disk.overwrite(JOURNAL, disk.read(JOURNAL) + b"torn")

    report = look(disk)

    assert report.damage == ("archive ends in 4 bytes that are no sound batch",)


def test_a_torn_tail_stays_one_however_often_it_is_looked_at() -> None:
    disk = Disk()
    last = disk.segments[-1]
    disk.overwrite(last, disk.read(last)[:-900])
    pauses: list[int] = []

    report = look(disk, pause=lambda: pauses.append(1))

    assert len(report.damage) == 1
    assert 1 < len(pauses) < 10


@pytest.mark.parametrize("looked_at", [0, 1, 2])
def test_what_a_daemon_gives_back_meanwhile_is_not_missed(looked_at: int) -> None:
    disk = Disk()
    given_back = disk.segments[:3]

    class Vanishing(Disk):
        def __init__(self) -> None:
            self.__dict__ = disk.__dict__

        def open(self, path: str) -> File:
            if path == given_back[looked_at]:
                for gone in given_back:
                    self.remove(gone)
            return FaultyFiles.open(self, path)

    report = Inspection(Vanishing(), thorough=True, pause=lambda: None).topic("clicks", DIRECTORY)

    assert report.damage == ()
    assert f"{DIRECTORY}/{report.segments[0].name}" == disk.segments[0]
    assert disk.segments[0] not in given_back


def test_what_looks_like_a_record_is_found_in_any_file() -> None:
    disk = Disk()
    whole = disk.read(disk.segments[1])
    disk.overwrite("data/part", b"\xee" * 70 + whole[64 + 1000 : 64 + 2034 * 4 + 100])
    first = int(disk.segments[1][-20:-4], 16)

    found = list(inspection(disk).salvage("data/part"))

    assert [record.sequence for record in found] == [first + 1, first + 2, first + 3]
    assert [record.body for record in found] == [body(first - 1000 + place) for place in (1, 2, 3)]
    with pytest.raises(StorageError):
        list(inspection(disk).salvage("data/none"))
