"""What OK means in durability `fsync` and in durability `memory`: when a record counts, and what a failure takes."""

from collections.abc import Callable
from typing import Any

import pytest

from millstream.base.errors import StorageError
from millstream.testing.files import NO_SPACE

KIB = 1 << 10


def body(number: int, size: int = 3 * KIB) -> bytes:
    return (b"%d," % number * size)[:size]


def fill(bench: Any, count: int, size: int = 3 * KIB) -> None:
    for _ in range(count):
        bench.publish(body(bench.log.next_seq, size))
        bench.commit()


# --------------------------------------------------------------------------------------------------- durability fsync


@pytest.fixture
def synced(make_bench: Callable[..., Any]) -> Any:
    return make_bench(durability="fsync")


def test_what_is_not_synced_is_neither_delivered_nor_acknowledged(synced: Any) -> None:
    synced.publish(b"a")
    synced.commit()
    assert (synced.log.ready_seq, synced.log.durable_seq) == (synced.origin, synced.origin)
    job = synced.log.begin_sync()
    synced.publish(b"b")
    synced.commit()
    synced.publish(b"c")

    job.run()
    synced.log.end_sync(job, failed=False)

    assert synced.log.ready_seq == synced.log.durable_seq == synced.origin + 1
    synced.commit()
    synced.sync()
    assert synced.log.begin_sync() is None
    synced.check()


def test_a_sync_covers_only_what_is_in_the_files(synced: Any) -> None:
    synced.publish(b"a")
    synced.commit()
    synced.publish(b"appended, not committed")

    synced.sync()

    assert synced.log.durable_seq == synced.origin + 1


def test_what_was_synced_survives_a_power_loss(synced: Any) -> None:
    for _ in range(4):
        synced.publish(*(body(number) for number in range(30)))
        synced.commit()
        synced.sync()
    accepted = dict(synced.accepted)
    synced.publish(*(body(number) for number in range(30)))
    synced.commit()

    for _ in range(10):
        synced.crash(power_loss=True)
        synced.accepted = accepted | {
            seq: found for seq, found in synced.accepted.items() if synced.log.record(seq) is not None
        }
        synced.check()


def test_what_a_killed_process_left_is_durable_once_it_was_found(synced: Any) -> None:
    synced.publish(*(body(number) for number in range(60)))
    synced.commit()

    synced.crash()
    synced.check()

    for _ in range(10):
        synced.crash(power_loss=True)
        synced.check()


def test_a_failed_sync_refuses_all_that_is_not_durable(synced: Any) -> None:
    synced.publish(*(body(number) for number in range(30)))
    synced.commit()
    synced.sync()
    kept, durable = dict(synced.accepted), synced.log.durable_seq
    synced.publish(*(body(100 + number) for number in range(60)))
    synced.commit()
    job = synced.log.begin_sync()
    synced.publish(b"committed meanwhile")
    synced.commit()
    synced.publish(b"appended meanwhile")
    synced.files.fail("sync", times=9)

    with pytest.raises(StorageError):
        job.run()
    synced.log.end_sync(job, failed=True)

    assert synced.log.next_seq == synced.log.ready_seq == synced.log.cut_seq == durable
    synced.files.heal()
    synced.accepted, synced.pending = kept, {}
    synced.publish(*(body(200 + number) for number in range(60)))
    synced.commit()
    synced.sync()
    synced.check()
    synced.crash(power_loss=True)
    synced.check()


def test_refused_records_that_a_failing_disk_kept_in_the_file_do_not_come_back(synced: Any) -> None:
    synced.publish(b"kept")
    synced.commit()
    synced.sync()
    kept = dict(synced.accepted)
    synced.publish_deferred(b"refused", 5)
    synced.commit()
    synced.files.fail("truncate")
    synced.log.end_sync(synced.log.begin_sync(), failed=True)
    synced.files.heal()

    synced.restart()

    synced.accepted, synced.due = kept, {}
    synced.check()
    assert synced.log.next_seq == synced.origin + 1


def test_refused_records_are_not_read_from_the_cold_cache_later(synced: Any) -> None:
    synced.publish(b"kept")
    synced.commit()
    synced.sync()
    kept = dict(synced.accepted)
    for _ in range(3):
        # Each commit lets chunks of the one before leave the memory, although they are not synced.
        synced.publish(*(body(2, 4 * KIB) for _ in range(100)))
        synced.commit()
    victim = synced.origin + 40
    assert synced.log.record(victim)[34:] == body(2, 4 * KIB)
    job = synced.log.begin_sync()
    synced.log.end_sync(job, failed=True)
    synced.accepted = kept

    for _ in range(3):
        synced.publish(*(body(3, 5 * KIB) for _ in range(100)))
        synced.commit()
    synced.sync()

    assert synced.log.record(victim)[34:] == body(3, 5 * KIB)
    synced.check()


def test_refused_records_that_could_not_be_found_are_cut_off_before_the_next(synced: Any) -> None:
    synced.publish(*(body(1, 2 * KIB) for _ in range(3)))
    synced.commit()
    synced.sync()
    kept = dict(synced.accepted)
    synced.publish(b"refused")
    synced.commit()
    synced.files.fail("read")
    synced.log.end_sync(synced.log.begin_sync(), failed=True)
    synced.accepted = kept

    fill(synced, 100)
    synced.sync()

    synced.check()
    ends = [segment.end for segment in synced.log.segments]
    assert all(segment.base == end for segment, end in zip(synced.log.segments[1:], ends, strict=False))
    synced.crash(power_loss=True)
    synced.check()


def test_no_file_is_closed_or_removed_while_it_is_synced(synced: Any) -> None:
    synced.publish(*(body(number) for number in range(200)))
    synced.commit()
    synced.sync()
    synced.publish(*(body(number) for number in range(100)))
    synced.commit()
    job = synced.log.begin_sync()
    opened = synced.files.open_count
    names = synced.segments()

    synced.log.rest()
    synced.log.release(synced.log.next_seq)

    assert synced.files.open_count >= opened - 1
    assert {segment.path.rpartition("/")[2] for segment in job.segments} <= set(synced.segments()) <= set(names)
    job.run()
    synced.log.end_sync(job, failed=False)
    synced.log.rest()
    synced.log.release(synced.log.ready_seq)
    assert len(synced.segments()) == 1


def test_sealed_segments_keep_no_descriptors_after_their_sync(synced: Any) -> None:
    for number in range(200):
        synced.publish(body(number))
        synced.commit()
        synced.sync()

    assert len(synced.segments()) > 4
    assert synced.files.open_count <= 4


# -------------------------------------------------------------------------------------------------- durability memory


@pytest.fixture
def forgetful(make_bench: Callable[..., Any]) -> Any:
    return make_bench(durability="memory")


def test_in_memory_only_full_chunks_are_written(forgetful: Any) -> None:
    forgetful.publish(b"a")
    forgetful.commit()

    assert forgetful.log.ready_seq == forgetful.log.durable_seq == forgetful.log.next_seq
    assert forgetful.files.used_bytes == 0
    fill(forgetful, 300)
    assert forgetful.files.used_bytes > 500 * KIB
    forgetful.check()


def test_in_memory_a_stop_in_good_order_keeps_all(forgetful: Any) -> None:
    fill(forgetful, 100)

    forgetful.restart()

    forgetful.check()


def test_in_memory_a_failing_disk_is_felt_when_the_memory_is_used_up(forgetful: Any) -> None:
    forgetful.files.fail("write", times=10_000, reason=NO_SPACE)

    with pytest.raises(StorageError, match=NO_SPACE):
        fill(forgetful, 1000)

    assert len(forgetful.accepted) * 3 * KIB >= 64 * KIB
    forgetful.check()
    forgetful.files.heal()
    fill(forgetful, 100)
    forgetful.check()
    forgetful.restart()
    forgetful.check()


def test_in_memory_what_was_finished_need_not_be_written(forgetful: Any) -> None:
    forgetful.files.fail("write", times=10_000, reason=NO_SPACE)
    fill(forgetful, 20)
    forgetful.log.release(forgetful.log.ready_seq)
    forgetful.files.heal()
    floor = forgetful.log.ready_seq
    fill(forgetful, 200)

    forgetful.check(floor)
    forgetful.restart()
    forgetful.check(floor)
