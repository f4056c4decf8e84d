"""Group commit: one thread that syncs, and logs that take the outcome on the loop."""

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millstream.base.system import SystemClock
from millstream.storage.sync import GroupCommit, Outcome
from millstream.testing.files import IO_ERROR

DEADLINE_S = 20


class Loop:
    """Stands for the event loop: takes outcomes from the thread, and is waited for with a deadline."""

    def __init__(self) -> None:
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.group = GroupCommit(self.outcomes.put, SystemClock())

    def turn(self) -> list[str]:
        return self.group.finish(self.outcomes.get(timeout=DEADLINE_S))


@pytest.fixture
def loop() -> Iterator[Loop]:
    found = Loop()
    yield found
    found.group.stop()


@pytest.fixture
def synced(make_bench: Callable[..., Any]) -> Any:
    return make_bench(durability="fsync")


def test_a_round_makes_what_was_committed_durable(loop: Loop, synced: Any) -> None:
    synced.publish(b"a", b"b")
    synced.commit()

    loop.group.start(synced.log)

    assert loop.turn() == []
    assert synced.log.durable_seq == synced.log.next_seq
    synced.crash(power_loss=True)
    synced.check()


def test_what_gets_dirty_meanwhile_waits_for_the_next_round(loop: Loop, synced: Any) -> None:
    synced.publish(b"a")
    synced.commit()
    loop.group.start(synced.log)
    synced.publish(b"b")
    synced.commit()
    loop.group.start(synced.log)
    loop.group.start(synced.log)

    assert loop.turn() == []
    assert synced.log.durable_seq == synced.origin + 1
    assert loop.turn() == []
    assert synced.log.durable_seq == synced.origin + 2


def test_many_logs_share_a_round(loop: Loop, make_bench: Callable[..., Any]) -> None:
    benches = [make_bench(durability="fsync") for _ in range(3)]
    benches[0].publish(b"first")
    benches[0].commit()
    loop.group.start(benches[0].log)
    for bench in benches:
        bench.publish(b"a")
        bench.commit()
        loop.group.start(bench.log)

    loop.turn()
    loop.turn()

    assert all(bench.log.durable_seq == bench.log.next_seq for bench in benches)


def test_a_log_with_nothing_to_sync_starts_no_round(loop: Loop, synced: Any) -> None:
    loop.group.start(synced.log)
    synced.publish(b"a")
    synced.commit()
    loop.group.start(synced.log)

    loop.turn()

    assert loop.outcomes.empty()


def test_a_failing_disk_is_reported_and_only_its_log_refuses(loop: Loop, make_bench: Callable[..., Any]) -> None:
    bad, good = make_bench(durability="fsync"), make_bench(durability="fsync")
    bad.files.fail("sync")
    for bench in (bad, good):
        bench.publish(b"a")
        bench.commit()
        loop.group.start(bench.log)

    errors = loop.turn() + loop.turn()

    assert len(errors) == 1
    assert IO_ERROR in errors[0]
    assert (bad.log.next_seq, bad.log.epoch) == (bad.origin, 1)
    assert good.log.durable_seq == good.log.next_seq == good.origin + 1


def test_a_stop_finishes_the_round_that_was_begun(synced: Any) -> None:
    for _ in range(20):
        loop = Loop()
        synced.publish(b"a")
        synced.commit()
        loop.group.start(synced.log)

        loop.group.stop()

        assert loop.turn() == []
        assert synced.log.durable_seq == synced.log.next_seq


def test_a_topic_deleted_while_it_waits_does_no_harm(loop: Loop, synced: Any) -> None:
    synced.publish(b"a")
    synced.commit()
    loop.group.start(synced.log)
    synced.publish(b"b")
    synced.commit()
    loop.group.start(synced.log)
    loop.turn()
    synced.log.delete()
    synced.files.remove_directory(synced.log.directory)

    loop.group.finish(loop.outcomes.get(timeout=DEADLINE_S))

    assert synced.files.names("data") == []


def test_every_round_is_measured(loop: Loop, synced: Any) -> None:
    for _ in range(2):
        synced.publish(b"a")
        synced.commit()
        loop.group.start(synced.log)
        loop.turn()

    assert loop.group.durations_s.count == 2
    assert loop.group.durations_s.total > 0
