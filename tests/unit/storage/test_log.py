"""The log of one topic: accepting, refusing, reading old segments, letting go.

What the durabilities promise is in test_log_durability, restarts are in test_recovery.
"""

from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.protocol.chunks import Cursor
from millstream.testing.files import IO_ERROR, NO_SPACE

KIB = 1 << 10


def body(number: int, size: int = 3 * KIB) -> bytes:
    return (b"%d," % number * size)[:size]


def fill(bench: Any, count: int, size: int = 3 * KIB) -> None:
    for _ in range(count):
        bench.publish(body(bench.log.next_seq, size))
        bench.commit()


# ---------------------------------------------------------------------------------------------------------- accepting


def test_nothing_is_on_the_disk_before_the_first_publish(bench: Any) -> None:
    assert bench.files.names("data") == []
    assert not bench.log.is_used
    assert bench.log.first_seq == bench.log.next_seq == bench.origin


def test_records_go_through_many_chunks_and_segments(small: Any) -> None:
    fill(small, 400)

    assert len(small.segments()) > 5
    small.check()
    small.restart()
    small.check()


def test_a_first_commit_may_span_several_segments(small: Any) -> None:
    small.publish(*(body(number, 9 * KIB) for number in range(40)))
    small.commit()

    assert len(small.segments()) > 2
    small.check()
    small.crash()
    small.check()


@pytest.mark.parametrize("size", [16 * KIB - 34, 16 * KIB - 33, 64 * KIB, 256 * KIB, 256 * KIB + 1, 1 << 20])
def test_a_message_may_be_larger_than_a_chunk_and_than_a_segment(small: Any, size: int) -> None:
    small.publish_batch([body(1, size), b"small", body(2, size)])
    small.publish(body(3, size))
    small.publish_deferred(body(4, size), 5)
    small.commit()
    fill(small, 30)

    small.check()
    small.crash()
    small.check()


def test_a_batch_spans_chunks(small: Any) -> None:
    small.publish_batch([body(number, 1 + number * 37) for number in range(600)])
    small.commit()

    small.check()
    small.crash()
    small.check()


def test_two_segments_never_have_one_base(small: Any) -> None:
    small.publish_batch([body(1, 17 * KIB), b"b"])
    small.commit()
    for times in (1, 2, 3):
        small.files.fail("write", times=times)
        small.publish_batch([body(2, 40 * KIB), body(3, 40 * KIB)])
        with pytest.raises(StorageError):
            small.commit()
        small.files.heal()
        bases = [segment.base for segment in small.log.segments]
        assert bases == sorted(set(bases))
    small.restart()
    small.publish(b"after")
    small.commit()

    bases = [segment.base for segment in small.log.segments]
    assert bases == sorted(set(bases))
    small.check()


def test_a_plain_read_stops_at_a_deferred_record_and_goes_on_behind_it(small: Any) -> None:
    for number in range(60):
        small.publish(body(number))
        small.publish_deferred(b"later %d" % number, number)
    small.commit()

    small.check()
    small.restart()
    small.check()


# ----------------------------------------------------------------------------------------------------------- refusing


@pytest.mark.parametrize("operation", ["write", "open"])
@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("keep_part", [False, True])
@pytest.mark.shows(
    "nsqd: a batch is published whole or not at all", better="also when the disk fails: NSQ may then keep a part of it"
)
def test_a_failed_commit_accepts_nothing_and_the_next_goes_on(
    small: Any, operation: str, after: int, keep_part: bool
) -> None:
    fill(small, 3)
    refused_from = small.log.next_seq
    epoch = small.log.epoch
    small.files.fail(operation, after=after, keep_part=keep_part)

    small.publish(*(body(number, 12 * KIB) for number in range(20)))
    small.publish_deferred(b"later", 7)
    failed = False
    try:
        small.commit()
    except StorageError:
        failed = True
        assert small.log.next_seq == small.log.ready_seq == refused_from
        assert (small.log.epoch, small.log.cut_seq) == (epoch + 1, refused_from)
        assert not small.log.deferred
    small.files.heal()
    fill(small, 12)

    assert failed or operation == "open" or after > 3
    small.check()
    small.crash()
    small.check()


def test_a_full_disk_refuses_and_takes_again_when_there_is_room(small: Any) -> None:
    fill(small, 10)
    small.files.capacity_bytes = small.files.used_bytes + 2000
    for _ in range(5):
        small.publish(body(1, 20 * KIB))
        with pytest.raises(StorageError, match=NO_SPACE):
            small.commit()
        small.check()
    used = small.files.used_bytes

    small.files.capacity_bytes = None
    fill(small, 10)

    assert used < 31 * KIB
    small.check()
    small.crash()
    small.check()


def test_refused_records_that_could_not_be_cut_off_are_cut_off_before_the_next(small: Any) -> None:
    fill(small, 3, 1 * KIB)
    small.files.fail("write", after=1)
    small.files.fail("truncate", after=1)
    small.publish(*(body(number, 9 * KIB) for number in range(4)))
    with pytest.raises(StorageError):
        small.commit()

    fill(small, 3, 1 * KIB)

    small.crash()
    small.check()
    assert small.log.recovered.notes == []


def test_nothing_new_is_accepted_while_a_refused_segment_cannot_be_removed(small: Any) -> None:
    fill(small, 3, 1 * KIB)
    small.files.fail("write", after=4)
    small.files.fail("remove", after=2, times=3)
    small.publish(*(body(number, 9 * KIB) for number in range(12)))
    with pytest.raises(StorageError, match="write"):
        small.commit()
    assert len(small.segments()) == 3

    small.publish(b"one more")
    with pytest.raises(StorageError, match="remove"):
        small.commit()
    small.files.heal()
    fill(small, 3, 1 * KIB)

    assert len(small.segments()) == 2
    small.crash()
    small.check()
    assert small.log.recovered.notes == []


def test_a_failed_commit_leaves_readers_where_they_were(small: Any) -> None:
    fill(small, 5, 1 * KIB)
    waiting, behind = Cursor(small.log.ready_seq), Cursor(small.origin + 2)
    assert small.log.slice(behind, 3, KIB * 9) is not None
    small.files.fail("write")
    small.publish(b"refused")
    with pytest.raises(StorageError):
        small.commit()
    small.publish(b"accepted")
    small.commit()

    for cursor in (waiting, behind):
        part = small.log.slice(cursor, 1, KIB)
        assert part is not None
        assert part[34:] == b"accepted"


# ------------------------------------------------------------------------------------------------------- reading back


def test_several_cursors_read_old_segments_through_few_chunks(small: Any) -> None:
    fill(small, 300, 6 * KIB)
    cursors = [Cursor(small.origin + place) for place in (0, 3, 70, 71, 140, 220, 290)]

    while any(cursor.sequence < small.log.ready_seq for cursor in cursors):
        for cursor in cursors:
            start = cursor.sequence
            if start < small.log.ready_seq:
                part = small.log.slice(cursor, min(7, small.log.ready_seq - start), 30 * KIB)
                assert part is not None
                assert bytes(part[34 : 34 + 6 * KIB]) == body(start, 6 * KIB)
                assert bytes(part[-6 * KIB :]) == body(cursor.sequence - 1, 6 * KIB)
        small.pool.turn()


def test_a_slice_of_this_turn_stays_as_it_is_when_its_chunk_is_recycled(small: Any) -> None:
    fill(small, 200, 6 * KIB)
    part = small.log.slice(Cursor(small.origin), 3, 1 << 20)
    assert part is not None
    before = bytes(part)

    for place in range(0, 190, 10):
        small.log.slice(Cursor(small.origin + place), 5, 1 << 20)
    fill(small, 100, 6 * KIB)

    assert bytes(part) == before


def test_a_failing_read_is_an_error_and_the_next_succeeds(small: Any) -> None:
    fill(small, 100)
    cursor = Cursor(small.origin)
    small.files.fail("read")

    with pytest.raises(StorageError, match=IO_ERROR):
        small.log.slice(cursor, 1, KIB)

    assert cursor.sequence == small.origin
    part = small.log.slice(cursor, 1, KIB)
    assert part is not None
    assert part[34:] == body(small.origin)


def test_resting_lets_descriptors_go_and_reading_goes_on(small: Any) -> None:
    fill(small, 200)
    small.check()
    opened = small.files.open_count

    small.log.rest()

    assert small.files.open_count == 0 < opened
    small.check()


@pytest.mark.parametrize("durability", ["log", "fsync"])
def test_a_log_that_rested_takes_more_and_loses_nothing(make_bench: Any, durability: str) -> None:
    bench = make_bench(durability=durability)
    for number in range(12):
        bench.publish(b"x" * 5000 + b"%d" % number)
        bench.commit()
        bench.sync()
        bench.log.rest()

    assert bench.files.open_count == 0
    bench.check()
    bench.crash(power_loss=durability == "fsync")
    bench.check()


def test_what_still_has_to_be_synced_does_not_rest(make_bench: Any) -> None:
    bench = make_bench(durability="fsync")
    bench.publish(b"one")
    bench.commit()

    assert bench.log.rest() is False
    assert bench.files.open_count > 0

    job = bench.log.begin_sync()
    assert bench.log.rest() is False
    job.run()
    bench.log.end_sync(job, failed=False)
    assert bench.log.rest() is True
    assert bench.files.open_count == 0


def test_the_heap_does_not_grow_with_the_backlog(small: Any) -> None:
    fill(small, 1000)

    assert sum(chunk.capacity for chunk in small.log.chunks) <= 2 * 256 * KIB
    assert small.log.size_bytes > 1000 * 3 * KIB


# --------------------------------------------------------------------------------------------------------- letting go


def test_a_release_removes_whole_segments_below_the_floor(small: Any) -> None:
    fill(small, 300)
    small.log.release(small.origin + 200)

    assert small.origin < small.log.first_seq <= small.origin + 200
    assert small.segments()[0] == f"{small.log.first_seq:016x}.seg"
    assert small.log.record(small.origin) is None
    assert small.log.slice(Cursor(small.origin), 1, KIB) is None
    assert small.log.skip(small.origin) == small.log.first_seq
    small.check()
    small.restart()
    small.check()


def test_the_last_segment_stays_so_that_sequences_go_on(small: Any) -> None:
    fill(small, 50)
    end = small.log.next_seq
    small.log.release(end)
    small.restart()

    assert len(small.segments()) == 1
    assert small.log.next_seq == end


def test_a_release_between_append_and_commit_keeps_what_is_not_written(small: Any) -> None:
    small.publish(*(body(number, 12 * KIB) for number in range(8)))

    small.log.release(small.origin)
    small.commit()

    small.check()


def test_a_file_that_cannot_be_removed_is_released_at_the_next_start(small: Any) -> None:
    fill(small, 100)
    small.files.fail("remove", times=50)
    small.log.release(small.origin + 90)
    small.files.heal()

    small.restart()
    small.log.release(small.origin + 90)
    assert small.segments()[0] == f"{small.log.first_seq:016x}.seg"
    small.check()


def test_far_is_more_than_two_segments_apart(small: Any) -> None:
    fill(small, 300)

    assert small.log.is_far(small.origin, small.log.next_seq)
    assert not small.log.is_far(small.log.next_seq - 5, small.log.next_seq)


def test_a_deleted_log_holds_nothing_and_keeps_nobody_waiting(small: Any) -> None:
    fill(small, 100)
    small.publish(b"in the last turn")

    small.log.delete()
    small.files.remove_directory(small.log.directory)
    small.log.commit()

    assert small.log.ready_seq == small.log.durable_seq == small.log.next_seq
    assert small.files.names("data") == []
    assert small.files.open_count == 0
