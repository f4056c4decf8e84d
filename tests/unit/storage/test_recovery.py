"""What a log finds after every kind of stop, and what it does with what is not as it should be."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from millstream.storage.contents import SEGMENT_HEADER_BYTES, NewerFormat
from millstream.storage.segment import Segment
from millstream.testing import Killed

DIRECTORY = "data/clicks.topic"
KIB = 1 << 10


def body(number: int, size: int = 3 * KIB) -> bytes:
    return (b"%d," % number * size)[:size]


def fill(bench: Any, count: int, size: int = 3 * KIB) -> None:
    for _ in range(count):
        bench.publish(body(bench.log.next_seq, size))
        bench.commit()
    bench.sync()


def last(bench: Any) -> str:
    return f"{DIRECTORY}/{bench.segments()[-1]}"


def names(bench: Any, ending: str) -> list[str]:
    return [name for name in bench.files.names(DIRECTORY) if ending in name]


@pytest.fixture(params=["log", "fsync"])
def stopped(request: pytest.FixtureRequest, make_bench: Callable[..., Any]) -> Any:
    """A log with some segments, killed; the last segment has no seal."""
    found = make_bench(durability=request.param)
    fill(found, 100)
    found.files = found.files.crash()
    return found


def goes_on(bench: Any) -> None:
    """The log takes and keeps records as if nothing had been."""
    fill(bench, 50)
    bench.check()
    bench.restart()
    bench.check()
    assert bench.log.recovered.notes == []


def test_a_stop_in_good_order_leaves_nothing_to_say(small: Any) -> None:
    fill(small, 100)
    small.restart()

    assert small.log.recovered.notes == []
    assert all(segment.is_sealed for segment in small.log.segments)
    small.check()
    goes_on(small)


def test_a_kill_after_a_commit_leaves_nothing_to_say(stopped: Any) -> None:
    stopped.open()

    assert stopped.log.recovered.notes == []
    stopped.check()
    goes_on(stopped)


@pytest.mark.parametrize("kept", [1, 33, 34, 35, 2000])
def test_a_torn_tail_is_cut_and_kept_aside(stopped: Any, kept: int) -> None:
    sequence = max(stopped.accepted) + 1
    torn = ((30 + 3000).to_bytes(4, "big") + b"\0\0\0\2" + bytes(9) + b"\1" + b"%016x" % sequence + body(1))[:kept]
    path = last(stopped)
    sound = stopped.files.read(path)
    stopped.files.overwrite(path, sound + torn)

    stopped.open()

    assert stopped.files.read(path) == sound
    assert stopped.files.read(f"{path}.cut-{len(sound)}") == torn
    assert "cut, and kept as" in stopped.log.recovered.notes[0]
    stopped.check()
    goes_on(stopped)


@pytest.mark.parametrize("tail", [bytes(5), bytes(100_000), b"\xff" * 70, b"\x7f" * 5000, bytes(1 << 21)])
def test_zeros_and_garbage_at_the_tail_are_cut(stopped: Any, tail: bytes) -> None:
    path = last(stopped)
    sound = stopped.files.read(path)
    stopped.files.overwrite(path, sound + tail)

    stopped.open()

    assert stopped.files.read(path) == sound
    stopped.check()
    goes_on(stopped)


def test_a_whole_record_behind_the_last_commit_counts_only_where_there_are_no_checksums(stopped: Any) -> None:
    path = last(stopped)
    sequence = max(stopped.accepted) + 1
    unanswered = (31).to_bytes(4, "big") + b"\0\0\0\2" + bytes(9) + b"\1" + b"%016x" % sequence + b"!"
    stopped.files.overwrite(path, stopped.files.read(path) + unanswered)

    stopped.open()

    expected = None if stopped.settings.durability == "fsync" else unanswered
    assert stopped.log.record(sequence) == expected


def test_a_full_disk_does_not_keep_a_log_from_starting(stopped: Any) -> None:
    path = last(stopped)
    stopped.files.overwrite(path, stopped.files.read(path) + b"torn")
    stopped.files.capacity_bytes = stopped.files.used_bytes

    stopped.open()

    assert any("could not be cut" in note for note in stopped.log.recovered.notes)
    stopped.check()
    stopped.files.capacity_bytes = None
    fill(stopped, 20)
    stopped.check()
    stopped.crash()
    stopped.check()


def test_segments_without_an_index_are_walked(stopped: Any) -> None:
    for name in names(stopped, ".idx"):
        stopped.files.remove(f"{DIRECTORY}/{name}")

    stopped.open()

    stopped.check()
    goes_on(stopped)


@pytest.mark.parametrize(
    "spoil", [lambda d: d[:-5], lambda d: d[:30] + b"\xff" + d[31:], lambda d: b"X" + d[1:], bytes]
)
def test_a_spoilt_index_costs_a_walk_and_nothing_else(small: Any, spoil: Callable[[bytes], bytes]) -> None:
    for _ in range(20):
        small.publish_deferred(b"later", 5)
        fill(small, 5)
    small.log.close()
    for name in names(small, ".idx"):
        path = f"{DIRECTORY}/{name}"
        small.files.overwrite(path, spoil(small.files.read(path)) if spoil is not bytes else b"")

    small.open()

    small.check()
    goes_on(small)


def test_an_index_of_an_earlier_segment_of_the_same_base_is_not_believed(small: Any) -> None:
    stem = f"{DIRECTORY}/{small.origin:016x}"
    small.publish(b"short")
    small.commit()
    small.log.close()
    stale = small.files.read(f"{stem}.idx")
    small.files.remove(f"{stem}.seg")
    small.accepted.clear()
    small.open()
    assert small.files.read(f"{stem}.idx") == stale

    small.publish(b"longer", b"and more")
    small.commit()
    small.crash()

    small.check()


@pytest.mark.parametrize("kept", [0, 10, SEGMENT_HEADER_BYTES])
def test_an_empty_last_segment_goes_away(stopped: Any, kept: int) -> None:
    base = max(stopped.accepted) + 1
    empty = Segment(stopped.files, DIRECTORY, base, checked=False)
    empty.create()
    stopped.files.overwrite(empty.path, stopped.files.read(empty.path)[:kept])

    stopped.open()

    assert f"{base:016x}.seg" not in stopped.segments()
    assert stopped.log.next_seq == base
    assert stopped.log.recovered.notes == []
    goes_on(stopped)


def test_a_missing_segment_is_a_gap_that_is_named_and_stepped_over(stopped: Any) -> None:
    victim = stopped.segments()[1]
    following = int(stopped.segments()[2][:16], 16)
    base = int(victim[:16], 16)
    stopped.files.remove(f"{DIRECTORY}/{victim}")

    stopped.open()

    assert f"{following - base} records are missing before" in stopped.log.recovered.notes[0]
    stopped.accepted = {seq: found for seq, found in stopped.accepted.items() if not base <= seq < following}
    stopped.check()
    assert stopped.log.record(base) is None
    assert stopped.log.skip(base) == following


def test_a_damaged_header_is_written_anew_and_what_was_there_is_kept(stopped: Any) -> None:
    victim = f"{DIRECTORY}/{stopped.segments()[1]}"
    data = stopped.files.read(victim)
    stopped.files.overwrite(victim, b"\0" * 20 + data[20:])

    stopped.open()

    assert stopped.files.read(victim + ".bad-0") == (b"\0" * 20 + data[20:])[:SEGMENT_HEADER_BYTES]
    assert stopped.files.read(victim) == data
    assert "no sound header: written anew, and what was there is kept as" in stopped.log.recovered.notes[0]
    stopped.check()
    goes_on(stopped)


@pytest.mark.parametrize("which", [1, -1])
def test_a_segment_with_nothing_to_serve_is_set_aside_and_its_ids_are_not_given_again(stopped: Any, which: int) -> None:
    name = stopped.segments()[which]
    base, following = int(name[:16], 16), [*stopped.segments(), f"{max(stopped.accepted) + 1:016x}"][which:][1:]
    end = int(following[0][:16], 16) if which == 1 else max(stopped.accepted) + 1
    garbage = b"\xee" * len(stopped.files.read(f"{DIRECTORY}/{name}"))
    stopped.files.overwrite(f"{DIRECTORY}/{name}", garbage)

    stopped.open()

    assert stopped.files.read(f"{DIRECTORY}/{name}.bad") == garbage
    assert f"no sound header; it was set aside as {name}.bad" in stopped.log.recovered.notes[0]
    assert stopped.log.next_seq >= max(stopped.accepted) + 1
    stopped.accepted = {seq: found for seq, found in stopped.accepted.items() if not base <= seq < end}
    stopped.check()
    fill(stopped, 20)
    stopped.check()
    stopped.crash()
    stopped.check()


def test_a_segment_that_cannot_even_be_renamed_is_left_out(stopped: Any) -> None:
    name = stopped.segments()[-1]
    base = int(name[:16], 16)
    stopped.files.overwrite(f"{DIRECTORY}/{name}", b"\xee" * 5000)
    stopped.files.fail("rename", reason="No space left on device")

    stopped.open()

    assert "it is left out (rename" in stopped.log.recovered.notes[-1]
    stopped.accepted = {seq: found for seq, found in stopped.accepted.items() if seq < base}
    fill(stopped, 20)
    stopped.check()
    assert stopped.files.read(f"{DIRECTORY}/{name}") == b"\xee" * 5000


def test_damage_between_records_is_copied_stepped_over_and_told(stopped: Any) -> None:
    path = last(stopped)
    base = int(stopped.segments()[-1][:16], 16)
    victim = base + 2
    at = SEGMENT_HEADER_BYTES + 2 * (34 + 3 * KIB)
    data = bytearray(stopped.files.read(path))
    data[at + 20] ^= 1
    stopped.files.overwrite(path, bytes(data))

    stopped.open()

    assert stopped.files.read(f"{path}.bad-{at}") == data[at : at + 34 + 3 * KIB]
    assert stopped.files.read(path) == data
    assert f"damaged bytes at {at}: 1 record is left out, and kept as" in stopped.log.recovered.notes[0]
    assert stopped.log.gaps == [(victim, victim + 1)]
    assert stopped.log.record(victim) is None
    del stopped.accepted[victim]
    stopped.check()
    fill(stopped, 20)
    stopped.crash()
    stopped.check()
    assert [damage.kind for damage in stopped.log.recovered.damage] == ["records"]


def test_where_damage_cannot_be_copied_the_rest_is_served_all_the_same(stopped: Any) -> None:
    path = last(stopped)
    data = bytearray(stopped.files.read(path))
    data[SEGMENT_HEADER_BYTES + 20] ^= 1
    stopped.files.overwrite(path, bytes(data))
    stopped.files.capacity_bytes = stopped.files.used_bytes

    stopped.open()

    assert any("could not be copied" in note for note in stopped.log.recovered.notes)
    del stopped.accepted[int(stopped.segments()[-1][:16], 16)]
    stopped.check()


def test_what_was_acknowledged_is_not_told_again(stopped: Any) -> None:
    path = last(stopped)
    data = bytearray(stopped.files.read(path))
    data[SEGMENT_HEADER_BYTES + 20] ^= 1
    stopped.files.overwrite(path, bytes(data))
    stopped.open()
    aside = f"{path}.bad-{SEGMENT_HEADER_BYTES}"
    stopped.files.rename(aside, aside + ".ack")

    stopped.crash()

    assert (stopped.log.recovered.notes, stopped.log.recovered.damage) == ([], [])
    assert stopped.log.gaps != [] or stopped.settings.durability == "fsync"


def test_a_newer_format_is_refused_and_nothing_is_touched(stopped: Any) -> None:
    path = last(stopped)
    stopped.files.overwrite(path, stopped.files.read(path) + b"torn")
    first = f"{DIRECTORY}/{stopped.segments()[0]}"
    stopped.files.overwrite(first, stopped.files.read(first) + b"torn")
    data = stopped.files.read(path)
    stopped.files.overwrite(path, data[:7] + b"\x02" + data[8:])
    before = {name: stopped.files.read(f"{DIRECTORY}/{name}") for name in stopped.files.names(DIRECTORY)}

    with pytest.raises(NewerFormat, match="newer version"):
        stopped.open()

    assert {name: stopped.files.read(f"{DIRECTORY}/{name}") for name in stopped.files.names(DIRECTORY)} == before


def test_where_segments_overlap_the_later_one_goes_before(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(segment_bytes_max=1 << 20)
    fill(bench, 4, 100)
    bench.files = bench.files.crash()
    base = bench.origin + 2
    later = make_bench(segment_bytes_max=1 << 20)
    later.log.resume_at(base)
    later.publish(b"accepted")
    later.commit()
    name = f"{DIRECTORY}/{base:016x}.seg"
    bench.files.overwrite(name, later.files.read(name))

    bench.open()

    assert "reaches into" in bench.log.recovered.notes[0]
    bench.accepted = {seq: found for seq, found in bench.accepted.items() if seq < base} | later.accepted
    bench.check()
    assert bench.log.next_seq == base + 1
    goes_on(bench)


def test_bodies_may_have_been_allowed_to_be_larger_once(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(body_bytes_max=3 << 20)
    bench.publish(body(1, 2 << 20), b"small", body(2, 3 << 20))
    bench.commit()
    fill(bench, 20)
    kept = bench.accepted
    bench.publish(body(3, 3 << 20))
    bench.commit()
    lower = make_bench(body_bytes_max=1 << 10)
    lower.files, lower.accepted = bench.files.crash(), kept

    lower.open()

    assert lower.log.recovered.notes == []
    lower.check()


def test_a_changed_body_is_found_where_there_are_checksums(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(durability="fsync")
    fill(bench, 3, 100)
    bench.files = bench.files.crash()
    data = bytearray(bench.files.read(last(bench)))
    data[-150] ^= 1
    bench.files.overwrite(last(bench), bytes(data))

    bench.open()

    assert bench.log.gaps == [(bench.origin + 1, bench.origin + 2)]
    assert "1 record is left out, and kept as" in bench.log.recovered.notes[0]
    del bench.accepted[bench.origin + 1]
    bench.check()


def test_a_changed_body_is_served_as_it_is_where_there_are_no_checksums(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    fill(bench, 3, 100)
    bench.files = bench.files.crash()
    data = bytearray(bench.files.read(last(bench)))
    data[-150] ^= 1
    bench.files.overwrite(last(bench), bytes(data))

    bench.open()

    assert bench.log.recovered.notes == []
    assert bench.log.record(bench.origin + 1)[34:] != bench.accepted[bench.origin + 1]
    assert bench.log.next_seq == bench.origin + 3


def test_the_ids_of_a_damaged_end_are_not_given_again_where_the_index_knows_them(
    make_bench: Callable[..., Any],
) -> None:
    bench = make_bench(durability="fsync")
    fill(bench, 3, 100)
    bench.files = bench.files.crash()
    data = bytearray(bench.files.read(last(bench)))
    data[-1] ^= 1
    bench.files.overwrite(last(bench), bytes(data))

    bench.open()

    assert bench.log.next_seq == bench.origin + 3
    assert bench.log.gaps == [(bench.origin + 2, bench.origin + 3)]
    assert "its index knows of 1 more records): cut, and kept as" in bench.log.recovered.notes[0]
    del bench.accepted[bench.origin + 2]
    fill(bench, 5)
    bench.check()
    bench.crash()
    bench.check()


def test_files_of_others_are_left_alone(stopped: Any) -> None:
    for name in ("notes.txt", "00.seg", "000000000000000G.seg", "c.channel"):
        stopped.files.overwrite(f"{DIRECTORY}/{name}", b"mine")

    stopped.open()

    stopped.check()
    assert stopped.files.read(f"{DIRECTORY}/00.seg") == b"mine"


@pytest.mark.parametrize("change", range(12))
def test_a_kill_in_the_middle_of_a_recovery_does_no_harm(stopped: Any, change: int) -> None:
    path = last(stopped)
    stopped.files.overwrite(path, stopped.files.read(path) + b"torn")
    stopped.files.kill_at(change)
    with suppress(Killed):
        stopped.open()

    stopped.crash()

    stopped.check()
    goes_on(stopped)
