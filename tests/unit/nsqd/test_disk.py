"""`nsqd.disk`: a disk that fills up and gets room again, and who is told of it."""

from typing import Any

import pytest

from millstream.base.errors import DiskFull, StorageError
from millstream.nsqd.disk import RESERVE_BYTES_MAX, RESERVE_NAME, DiskGuard, DiskReserved
from millstream.testing import FaultyFiles

MIB = 1 << 20
RESERVE = f"data/{RESERVE_NAME}"


class Disk(FaultyFiles):
    """So large, with so much of it free beside what is in `data`."""

    def __init__(self, size: int = 1000 * MIB) -> None:
        super().__init__()
        self.make_directory("data")
        self.capacity_bytes = size
        self.overwrite("others", b"")
        self.size = size

    def leave(self, free: int) -> None:
        """Let others take all but so much."""
        self.capacity_bytes = self.used_bytes + free

    def room(self, path: str) -> tuple[int, int]:
        return super().room(path)[0], self.size


def guard_of(disk: Disk, *, warn_free: int = 50 * MIB, min_free: int = 10 * MIB) -> DiskGuard:
    guard = DiskGuard(disk, "data", warn_free=warn_free, min_free=min_free)
    guard.poll()
    return guard


def states(disk: Disk, guard: DiskGuard, *free_mib: float) -> list[tuple[bool, bool]]:
    found = []
    for free in free_mib:
        disk.leave(int(free * MIB))
        guard.poll()
        found.append((guard.is_low, guard.is_refusing))
    return found


@pytest.mark.shows("nsqd --disk-warn-free", beyond="warns when the disk has less room than this")
def test_a_disk_fills_up_and_gets_room_again() -> None:
    disk = Disk()
    guard = guard_of(disk)

    assert states(disk, guard, 100, 50, 49, 60, 10, 9) == [
        *[(False, False)] * 2,
        *[(True, False)] * 3,
        (True, True),
    ]
    # A quarter more than the marks, so that it does not go on and off.
    assert states(disk, guard, 11, 12.4, 12.5, 51, 62, 63) == [
        *[(True, True)] * 2,
        *[(True, False)] * 3,
        (False, False),
    ]


def test_who_wants_to_publish_is_told_why_not() -> None:
    disk = Disk()
    guard = guard_of(disk)
    guard.admit()
    assert guard.text == ""
    disk.leave(3 * MIB)
    guard.poll()

    with pytest.raises(DiskReserved, match=r"nearly full: 3\.0 MiB left, publishing goes on at 12\.5 MiB"):
        guard.admit()


def test_sessions_are_told_of_each_change_once() -> None:
    disk = Disk()
    guard = guard_of(disk)
    changes: list[bool] = []
    guard.on_change = lambda: changes.append(guard.is_refusing)

    states(disk, guard, 100, 5, 4, 11, 20, 30, 5)

    assert changes == [True, False, True]


@pytest.mark.parametrize(
    ("size_mib", "min_mib", "warn_mib"), [(8, 0.25, 0.5), (320, 10, 20), (640, 10, 40), (10**6, 10, 50)]
)
def test_on_a_small_disk_the_marks_are_a_part_of_it(size_mib: int, min_mib: float, warn_mib: float) -> None:
    guard = guard_of(Disk(size_mib * MIB))

    assert (guard.min_bytes, guard.warn_bytes) == (min_mib * MIB, warn_mib * MIB)


def test_the_warning_never_comes_after_the_refusal() -> None:
    guard = guard_of(Disk(), warn_free=1 * MIB)

    assert guard.warn_bytes == guard.min_bytes == 10 * MIB


def test_without_marks_nothing_is_refused_and_nothing_reserved() -> None:
    disk = Disk()
    guard = guard_of(disk, warn_free=0, min_free=0)

    assert states(disk, guard, 1, 0) == [(False, False)] * 2
    assert disk.names("data") == []


def test_where_the_system_does_not_say_nothing_is_refused() -> None:
    disk = FaultyFiles()
    disk.make_directory("data")

    guard = DiskGuard(disk, "data", warn_free=MIB, min_free=MIB)
    guard.poll()

    assert (guard.is_low, guard.is_refusing, disk.names("data")) == (False, False, [])


@pytest.mark.parametrize(("size_mib", "reserved"), [(8, MIB // 8), (10**5, RESERVE_BYTES_MAX)])
def test_room_is_reserved_while_there_is_enough(size_mib: int, reserved: int) -> None:
    disk = Disk(size_mib * MIB)
    guard_of(disk)

    assert disk.names("data") == [RESERVE_NAME]
    assert len(disk.read(RESERVE)) == reserved


def test_a_full_disk_is_not_made_fuller() -> None:
    disk = Disk()
    disk.leave(5 * MIB)

    guard_of(disk)

    assert disk.names("data") == []


def given_up(disk: Disk) -> DiskGuard:
    """Somebody else has filled the disk, and a journal found no room."""
    guard = guard_of(disk)
    disk.leave(0)
    guard.poll()
    guard.give_up_reserve()
    return guard


def test_the_reserve_is_given_up_for_journals_and_made_again_when_there_is_room() -> None:
    disk = Disk()
    guard = given_up(disk)
    assert disk.names("data") == []
    assert guard.free_bytes == RESERVE_BYTES_MAX
    assert guard.is_refusing

    # With so much there is room for publishes, and not yet for the reserve as well.
    disk.leave(13 * MIB)
    for _ in range(20):
        guard.poll()
    assert (guard.is_refusing, disk.names("data")) == (True, [])
    assert "publishing goes on at 13.5 MiB" in guard.text

    disk.leave(14 * MIB)
    guard.poll()
    assert (guard.is_refusing, disk.names("data")) == (False, [RESERVE_NAME])


def test_a_reserve_that_was_given_up_is_not_taken_back_at_once() -> None:
    disk = Disk()
    guard = given_up(disk)
    disk.leave(500 * MIB)

    polls = 0
    while guard.is_refusing:
        guard.poll()
        polls += 1

    assert 5 < polls < 30


def test_where_there_is_no_reserve_there_is_nothing_to_give_up() -> None:
    disk = Disk()
    disk.leave(5 * MIB)
    guard = guard_of(disk)

    guard.give_up_reserve()

    assert guard.is_refusing
    assert states(disk, guard, 100) == [(False, False)]


def test_the_reserve_of_the_process_before_is_found() -> None:
    disk = Disk()
    guard_of(disk)
    disk.leave(0)

    guard = guard_of(disk)
    guard.give_up_reserve()

    assert disk.names("data") == []


def test_what_is_no_longer_wanted_is_removed() -> None:
    disk = Disk()
    guard_of(disk)

    guard = guard_of(disk, min_free=0)

    assert (disk.names("data"), guard.is_refusing) == ([], False)


@pytest.mark.parametrize("operation", ["write", "rename"])
def test_a_reserve_that_cannot_be_made_is_done_without(operation: str) -> None:
    disk = Disk()
    disk.fail(operation, times=100)

    guard = guard_of(disk)
    guard.poll()

    assert (disk.names("data"), guard.is_refusing) == ([], False)


def test_a_reserve_that_cannot_be_removed_is_kept() -> None:
    disk = Disk()
    guard = guard_of(disk)
    disk.fail("remove")

    guard.give_up_reserve()

    assert (disk.names("data"), guard.is_refusing) == ([RESERVE_NAME], False)


def test_marks_can_be_changed_while_it_runs() -> None:
    disk = Disk()
    guard = guard_of(disk)
    disk.leave(9 * MIB)
    guard.poll()
    assert guard.is_refusing

    guard.set_marks(warn_free=0, min_free=2 * MIB)

    assert (guard.is_low, guard.is_refusing) == (False, False)


def test_an_error_of_the_guard_is_one_of_a_full_disk() -> None:
    assert issubclass(DiskReserved, DiskFull)
    assert issubclass(DiskFull, StorageError)


@pytest.mark.shows("nsqd --disk-min-free", beyond="publishers are refused while the disk has less room than this")
async def test_publishers_are_refused_with_their_own_error_until_there_is_room(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.publish("t", b"x")
        assert await peer.text() == "OK"
        one.disk.free_bytes = MIB
        await one.until(lambda: one.host.disk.is_refusing)

        assert await one.ask("POST", "/pub?topic=t", b"x") == (503, b'{"message":"DISK_FULL"}')
        assert await one.ask("POST", "/mpub?topic=t", b"x\ny") == (503, b'{"message":"DISK_FULL"}')
        peer.publish("t", b"x")
        assert (await peer.text()).startswith("E_PUB_FAILED PUB failed disk of ")
        assert await peer.is_closed()
        status, text = await one.ask("GET", "/ping")
        assert (status, text[:14]) == (500, b"NOK - disk of ")
        # In memory there is room, and whoever reads goes on.
        assert (await one.ask("POST", "/pub?topic=t%23ephemeral", b"x"))[0] == 200
        reader = await one.connect()
        reader.subscribe("t", "c", ready=1)
        assert await reader.text() == "OK"
        message_id, body, _ = await reader.message()
        assert body == b"x"
        reader.send(b"FIN %s\n" % message_id)
        await one.until(lambda: one.host.broker.topics["t"].channels["c"].in_flight_count == 0)

        one.disk.free_bytes = None
        await one.until(lambda: not one.host.disk.is_refusing)
        assert (await one.ask("POST", "/pub?topic=t", b"x"))[0] == 200
        assert (await one.ask("GET", "/ping"))[1] == b"OK"
        assert one.host.publish_failures == 3


async def test_a_journal_that_finds_no_room_gets_the_reserve(start: Any) -> None:
    async with start() as one:
        await one.until(lambda: RESERVE_NAME in one.disk.names(one.host.options.data_path))
        await one.ask("POST", "/pub?topic=t", b"x")
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        one.disk.is_full = True
        await one.ask("POST", "/channel/empty?topic=t&channel=c")

        await one.until(lambda: one.host.disk.is_refusing)

        assert RESERVE_NAME not in one.disk.names(one.host.options.data_path)
        one.disk.is_full = False
        await one.until(lambda: one.host.health == "OK")
        assert RESERVE_NAME in one.disk.names(one.host.options.data_path)
