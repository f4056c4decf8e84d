"""What is known to be damaged, under which names it is set aside, and until when it is told."""

import pytest

from millstream.base.errors import StorageError
from millstream.storage.damage import (
    JOURNAL,
    KINDS,
    METADATA,
    MISSING,
    RECORDS,
    SEGMENT,
    TORN_TAIL,
    Damage,
    DamageBook,
    copy_aside,
    free_name,
    kind_of_aside,
    set_aside_before,
)
from millstream.testing import FaultyFiles


def damage(mark: str, *, is_aside: bool = True) -> Damage:
    return Damage(kind=RECORDS, text=f"{mark} is damaged", mark=mark, is_aside=is_aside)


@pytest.fixture
def files() -> FaultyFiles:
    found = FaultyFiles()
    found.make_directory("d")
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("00000000000003e8.seg.cut-64", TORN_TAIL),
        ("00000000000003e8.seg.bad-4711", RECORDS),
        ("00000000000003e8.seg.bad", SEGMENT),
        ("00000000000003e8.seg.bad.2", SEGMENT),
        ("archive.channel.bad", JOURNAL),
        ("archive.channel.cut-99.3", JOURNAL),
        ("topic.position.bad", JOURNAL),
        ("nsqd.dat.bad", METADATA),
        ("archive.channel.bad.ack", ""),
        ("archive.bad.channel", ""),
        ("00000000000003e8.seg", ""),
        ("notes.bad", ""),
    ],
)
def test_a_name_tells_what_was_set_aside(name: str, kind: str) -> None:
    assert kind_of_aside(name) == kind
    assert kind in {*KINDS, ""}


def test_what_earlier_starts_have_set_aside_is_told_once() -> None:
    names = ["a.channel", "a.channel.bad", "b.channel.bad.ack", "00000000000003e8.seg.cut-64"]

    found = set_aside_before(names, [damage("a.channel.bad")])

    assert [(each.kind, each.mark) for each in found] == [(TORN_TAIL, "00000000000003e8.seg.cut-64")]


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert free_name(["a.bad", "a.bad.2.ack"], "a.bad") == "a.bad.3"
    assert free_name([], "a.bad") == "a.bad"


def test_a_part_is_copied_whole(files: FaultyFiles) -> None:
    data = bytes(range(256)) * 10_000
    files.overwrite("d/a", data)

    copy_aside(files, files.open("d/a"), 7, 2_000_000, "d/a.bad-7")

    assert files.read("d/a.bad-7") == data[7:2_000_000]
    assert files.names("d") == ["a", "a.bad-7"]


def test_half_a_copy_does_not_stay_on_a_full_disk(files: FaultyFiles) -> None:
    files.overwrite("d/a", bytes(3 << 20))
    files.capacity_bytes = files.used_bytes + (2 << 20)

    with pytest.raises(StorageError, match="No space left"):
        copy_aside(files, files.open("d/a"), 0, 3 << 20, "d/a.bad")

    assert files.names("d") == ["a"]


def test_what_is_known_is_no_news() -> None:
    book = DamageBook()
    book.add("clicks", damage("a"))
    assert book.take_unsaid() == [("clicks", damage("a"))]

    book.add("clicks", damage("a"))
    book.add("spam", damage("a"))

    assert book.take_unsaid() == [("spam", damage("a"))]
    assert (book.of("clicks"), book.of("none")) == ([damage("a")], [])


def test_acknowledged_is_not_told_again_and_the_part_stays(files: FaultyFiles) -> None:
    files.overwrite("d/x.seg.bad", b"part")
    book = DamageBook()
    for each in (damage("x.seg.bad"), damage("gap", is_aside=False), damage("gone.seg.bad")):
        book.add("clicks", each)

    done = book.acknowledge(files, "d", "clicks")

    assert [each.mark for each in done] == ["x.seg.bad", "gap", "gone.seg.bad"]
    assert files.names("d") == ["gap.ack", "x.seg.bad.ack"]
    assert files.read("d/x.seg.bad.ack") == b"part"
    assert book.of("clicks") == []
    assert book.acknowledge(files, "d", "clicks") == []


def test_what_a_failing_disk_keeps_from_being_acknowledged_stays(files: FaultyFiles) -> None:
    files.overwrite("d/x.seg.bad", b"part")
    book = DamageBook()
    book.add("clicks", damage("gap", is_aside=False))
    book.add("clicks", damage("x.seg.bad"))
    files.fail("rename")

    with pytest.raises(StorageError):
        book.acknowledge(files, "d", "clicks")

    assert book.of("clicks") == [damage("x.seg.bad")]


def test_a_topic_that_is_gone_is_forgotten() -> None:
    book = DamageBook()
    book.add("clicks", Damage(kind=MISSING, text="", mark="gap", is_aside=False))

    book.forget("clicks")
    book.forget("clicks")

    assert book.of("clicks") == []
