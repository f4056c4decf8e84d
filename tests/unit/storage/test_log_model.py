"""A log against a list of bodies: publishes, reads, failing disks, kills, power cuts and restarts in any order."""

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from millstream.base.errors import StorageError
from millstream.protocol.chunks import Cursor
from millstream.protocol.record import undeferred
from millstream.testing import Killed

sizes = st.one_of(
    st.integers(1, 300), st.integers(3_000, 9_000), st.integers(15_000, 17_500), st.sampled_from([60_000, 300_000])
)
OPERATIONS = ["write", "truncate", "remove", "open", "rename"]


class LogMachine(RuleBasedStateMachine):
    """Every rule leaves the log able to go on; the invariant compares it with what was accepted."""

    make_bench: Callable[..., Any]
    durability = "log"

    def __init__(self) -> None:
        super().__init__()
        self.bench = self.make_bench(durability=self.durability, segment_bytes_max=40 << 10)
        self.number = 0
        self.floor = self.bench.origin
        # What may come back although no publisher has an OK for it, by sequence: a failing disk may be unable to
        # forget it, and a killed process has told nobody.
        self.unsure: dict[int, set[tuple[bytes, int]]] = {}
        self.cursors = [Cursor(self.bench.origin) for _ in range(3)]

    def body(self, size: int) -> bytes:
        self.number += 1
        return (b"%d," % self.number * size)[:size]

    # ------------------------------------------------------------------------------------------------- publishers

    @rule(size=sizes)
    def publish(self, size: int) -> None:
        self.bench.publish(self.body(size))

    @rule(found=st.lists(sizes, min_size=1, max_size=12))
    def publish_batch(self, found: list[int]) -> None:
        self.bench.publish_batch([self.body(size) for size in found])

    @rule(size=st.integers(1, 5_000), due_ns=st.integers(1, 1 << 62))
    def publish_deferred(self, size: int, due_ns: int) -> None:
        self.bench.publish_deferred(self.body(size), due_ns)

    @rule()
    def commit(self) -> None:
        pending = self.noted(self.bench.pending)
        try:
            self.bench.commit()
        except StorageError:
            self.doubt(pending)

    @rule(operation=st.sampled_from(OPERATIONS), after=st.integers(0, 4), times=st.integers(1, 4), part=st.booleans())
    def fail_later(self, operation: str, after: int, times: int, part: bool) -> None:
        self.bench.files.fail(operation, after=after, times=times, keep_part=part)

    @rule(room=st.integers(0, 50_000))
    def fill_the_disk(self, room: int) -> None:
        self.bench.files.capacity_bytes = self.bench.files.used_bytes + room

    @rule()
    def heal(self) -> None:
        self.bench.files.heal()

    # -------------------------------------------------------------------------------------------------- the readers

    @rule(which=st.integers(0, 2), count=st.integers(1, 50), size_bytes=st.integers(1, 100_000))
    def read_some(self, which: int, count: int, size_bytes: int) -> None:
        self.bench.files.heal()
        log, cursor = self.bench.log, self.cursors[which]
        if cursor.sequence < self.floor:
            cursor.move(self.floor)
        start = cursor.sequence
        count = min(count, log.ready_seq - start)
        if count <= 0:
            return
        part = log.slice(cursor, count, size_bytes)
        if part is None:
            cursor.move(min(max(log.skip(start), start + 1), log.ready_seq))
            assert all(seq not in self.bench.accepted or seq in self.bench.due for seq in range(start, cursor.sequence))
            return
        assert 0 < cursor.taken <= count
        bodies = [self.bench.accepted[seq] for seq in range(start, cursor.sequence)]
        assert [len(body) for body in bodies] != []
        at = 0
        for offset, body in enumerate(bodies):
            assert part[at + 18 : at + 34] == b"%016x" % (start + offset)
            assert part[at + 34 : at + 34 + len(body)] == body
            at += 34 + len(body)
        assert at == len(part)

    @rule(share=st.floats(0, 1))
    def seek(self, share: float) -> None:
        self.cursors[0].move(self.floor + int((self.bench.log.ready_seq - self.floor) * share))

    @rule(share=st.floats(0, 1))
    def release(self, share: float) -> None:
        self.floor += int((self.bench.log.ready_seq - self.floor) * share)
        self.bench.log.release(self.floor)

    @rule()
    def rest(self) -> None:
        self.bench.log.rest()

    @rule()
    def turn(self) -> None:
        self.bench.pool.turn()

    # ------------------------------------------------------------------------------------------------------ the stops

    def noted(self, bodies: dict[int, bytes]) -> list[tuple[int, bytes, int]]:
        return [(sequence, body, self.bench.due.get(sequence, 0)) for sequence, body in bodies.items()]

    def doubt(self, found: list[tuple[int, bytes, int]]) -> None:
        for sequence, body, due_ns in found:
            self.unsure.setdefault(sequence, set()).add((body, due_ns))

    def reopened(self) -> None:
        """After any stop: all that was accepted is there; what nobody has an OK for may be."""
        bench = self.bench
        bench.open()
        bench.pending = {}
        self.cursors = [Cursor(self.floor) for _ in range(3)]
        if bench.log.next_seq < self.floor:
            bench.log.resume_at(self.floor)
        bench.due = {seq: due for seq, due in bench.due.items() if seq in bench.accepted}
        for sequence in sorted(self.unsure):
            # Asked for one by one: of what was never accepted, a power cut may leave the later part alone.
            stored = bench.log.record(sequence) if sequence >= self.floor and sequence not in bench.accepted else None
            if stored is not None:
                self.take_up(sequence, *undeferred(stored))

    def take_up(self, sequence: int, frame: bytes, due_ns: int) -> None:
        """A record is there that nobody has an OK for: it is one that somebody sent."""
        assert (frame[34:], due_ns) in self.unsure[sequence]
        self.bench.accepted[sequence] = frame[34:]
        if due_ns:
            self.bench.due[sequence] = due_ns

    @precondition(lambda self: self.durability != "memory")
    @rule()
    def crash(self) -> None:
        self.doubt(self.noted(self.bench.pending))
        self.bench.files = self.bench.files.crash()
        self.reopened()

    @precondition(lambda self: self.durability == "log")
    @rule(change=st.integers(0, 6))
    def kill_in_commit(self, change: int) -> None:
        self.doubt(self.noted(self.bench.pending))
        self.bench.files.heal()
        self.bench.files.kill_at(change)
        try:
            self.bench.commit()
        except Killed:
            self.bench.pending = {}
        self.bench.files = self.bench.files.crash()
        self.reopened()

    @rule(spoilt=st.booleans())
    def stop(self, spoilt: bool) -> None:
        self.bench.files.heal()
        self.commit()
        self.settle()
        self.bench.log.close()
        assert self.bench.files.open_count == 0
        if spoilt:
            self.spoil_indexes()
        self.reopened()

    def settle(self) -> None:
        """Nothing to wait for in this durability."""

    def spoil_indexes(self) -> None:
        for name in self.bench.files.names("data/clicks.topic"):
            if name.endswith(".idx"):
                self.bench.files.remove(f"data/clicks.topic/{name}")

    # ---------------------------------------------------------------------------------------------------- the checks

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        log = self.bench.log
        assert log.first_seq <= max(self.floor, log.next_seq)
        bases = [segment.base for segment in log.segments]
        assert bases == sorted(set(bases))
        assert log.next_seq == max([log.next_seq, *[seq + 1 for seq in self.bench.pending]])
        assert all(sequence >= log.ready_seq for sequence in self.unanswered())
        assert all(sequence < log.ready_seq for sequence in self.bench.accepted if sequence >= self.floor)

    def unanswered(self) -> list[int]:
        """Sequences that nobody may read yet."""
        return list(self.bench.pending)

    def teardown(self) -> None:
        self.bench.files.heal()
        self.bench.commit()
        self.settle()
        self.bench.accepted = {seq: body for seq, body in self.bench.accepted.items() if seq >= self.floor}
        self.bench.due = {seq: due for seq, due in self.bench.due.items() if seq >= self.floor}
        self.bench.check(self.floor)
        self.bench.restart()
        self.bench.check(self.floor)


class CheckedMachine(LogMachine):
    """In durability `fsync`: group commits that are under way while the log goes on, and power that goes away."""

    durability = "fsync"

    def __init__(self) -> None:
        super().__init__()
        self.job: Any = None
        self.written: dict[int, bytes] = {}
        self.promised: set[int] = set()

    @rule()
    def commit(self) -> None:
        pending = self.noted(self.bench.pending)
        self.doubt(pending)
        try:
            self.bench.log.commit()
        except StorageError:
            self.bench.due = {seq: due for seq, due in self.bench.due.items() if seq not in self.bench.pending}
        else:
            self.written |= self.bench.pending
        self.bench.pending = {}

    @rule()
    def begin(self) -> None:
        if self.job is None:
            self.job = self.bench.log.begin_sync()

    @rule(failed=st.booleans())
    def end(self, failed: bool) -> None:
        if self.job is None:
            return
        job, self.job = self.job, None
        self.bench.files.heal()
        job.run()
        self.bench.log.end_sync(job, failed=failed)
        if failed:
            gone = self.written | self.bench.pending
            self.written, self.bench.pending = {}, {}
            self.bench.due = {seq: due for seq, due in self.bench.due.items() if seq not in gone}
        else:
            durable = {seq: body for seq, body in self.written.items() if seq < self.bench.log.durable_seq}
            self.bench.accepted |= durable
            self.promised |= durable.keys()
            self.written = {seq: body for seq, body in self.written.items() if seq not in durable}

    def settle(self) -> None:
        self.commit()
        for _ in range(2):
            self.begin()
            self.end(failed=False)
        assert self.written == {}

    def unanswered(self) -> list[int]:
        return [*self.bench.pending, *self.written]

    def reopened(self) -> None:
        self.job = None
        self.written = {}
        super().reopened()

    @rule()
    def lose_power(self) -> None:
        self.doubt(self.noted(self.bench.pending))
        bench = self.bench
        # What a kill brought back without a promise may be gone again.
        bench.accepted = {seq: body for seq, body in bench.accepted.items() if seq in self.promised}
        bench.files = bench.files.crash(power_loss=True)
        self.reopened()

    def teardown(self) -> None:
        self.bench.files.heal()
        self.settle()
        self.bench.pending = {}
        super().teardown()


class MemoryMachine(LogMachine):
    """In durability `memory` only a stop in good order keeps the messages."""

    durability = "memory"


MACHINE = settings(stateful_step_count=50)


def run(machine: type[LogMachine], make_bench: Callable[..., Any]) -> None:
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

    machine.make_bench = staticmethod(make_bench)  # type: ignore[method-assign]
    run_state_machine_as_test(machine, settings=MACHINE)  # type: ignore[no-untyped-call]


def test_a_log_that_is_handed_to_the_kernel_keeps_what_it_accepted(make_bench: Callable[..., Any]) -> None:
    run(LogMachine, make_bench)


def test_a_log_that_is_synced_keeps_what_it_accepted_over_power_cuts(make_bench: Callable[..., Any]) -> None:
    run(CheckedMachine, make_bench)


def test_a_log_in_memory_keeps_what_it_accepted_over_a_stop(make_bench: Callable[..., Any]) -> None:
    run(MemoryMachine, make_bench)
