"""A channel: a cursor over its topic's log, the window of what it gave out, and the consumers that share it.

`engine.topic` says how far the log may be read (`visible_seq`), `nsqd.session` brings FIN, REQ and TOUCH, and `deal`
answers with slices of the log, one per consumer and turn, that `nsqd.delivery` writes out. First deliveries are slices;
only a redelivery is located and copied. What must outlive the process is noted in the journal (`engine.log.Progress`).
"""

from collections.abc import Callable
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import StorageError
from millstream.engine.consumer import Consumer, Deliver
from millstream.engine.deferring import take_deferred
from millstream.engine.dooming import DISCONNECT, REQUEUE, TIMEOUT, Doom, doom_spent, unspent
from millstream.engine.eviction import evict, evict_one, unpin
from millstream.engine.gaps import add_hole, passed_by, stop_of_gap
from millstream.engine.journal import forget, note_all, note_changes, restore_window
from millstream.engine.latency import Latencies
from millstream.engine.limits import ChannelSettings
from millstream.engine.log import Progress, ProgressState
from millstream.engine.moving import move_frames
from millstream.engine.nearness import ELSEWHERE, nearest
from millstream.engine.policies import NO_POLICY
from millstream.engine.sequence_queue import SequenceQueue
from millstream.engine.stragglers import Stragglers
from millstream.engine.unfinished import attempts_of
from millstream.engine.window import Window
from millstream.protocol.chunks import ChunkQueue, Cursor
from millstream.protocol.record import redelivered

RUN_BYTES: Final = 256 << 10
_RUN_BYTES = 256 << 10
_PERCENT = 100


class Channel:
    """Deals messages to consumers and takes their answers. Instants are in ns on the clock's monotonic reading.

    `engine.policing` sets `policy`, and `max_attempts` from it: 0 is any number. `doomed` are messages that go to the
    dead-letter topic, `redriven` says how often some came back from there.
    """

    def __init__(
        self,
        name: str,
        log: ChunkQueue,
        progress: Progress,
        clock: Clock,
        chance: Callable[[], float],
        settings: ChannelSettings,
        start_seq: int,
        saved: ProgressState | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.progress = progress
        self.clock = clock
        self.chance = chance
        self.settings = settings
        self.latency = Latencies(clock, settings.latency_window_ns) if settings.latency_window_ns else None
        self.consumers: list[Consumer] = []
        self.stragglers = Stragglers(progress, clock)
        self.redelivery = SequenceQueue()
        self.window = Window(start_seq, settings.window_slots_max)
        self.cursor = Cursor(start_seq)
        self.visible_seq = start_seq
        self.first_seen = start_seq
        self.scanned = start_seq
        self.holes: list[tuple[int, int]] = []
        self.replays: list[tuple[int, int]] = []
        self.paused = False
        self.has_more = False
        self.is_ranked = False
        self.served_before = [0, 0, 0, 0]
        self.is_changed = True
        self.requeue_count = 0
        self.timeout_count = 0
        self.dropped_count = 0
        self.dead_letter_count = 0
        self.policy = NO_POLICY
        self.max_attempts = 0
        self.doomed: dict[int, Doom] = {}
        self.redriven: dict[int, int] = {}
        self._turn = 0
        self._takes_fresh = True
        if saved is not None and saved.is_known:
            restore_window(self, saved)

    @property
    def depth(self) -> int:
        """Messages that wait: for a delivery, or for their place in the dead-letter topic."""
        return self._waiting() + len(self.doomed)

    def _waiting(self) -> int:
        """Messages that can be dealt."""
        waiting = self.visible_seq - self.cursor.sequence + self.redelivery.count
        if self.holes or self.log.deferred:
            waiting -= passed_by(self)
        return waiting

    @property
    def in_flight_count(self) -> int:
        """Messages that some consumer holds."""
        return self.window.in_flight + len(self.stragglers.held)

    @property
    def deferred_count(self) -> int:
        """Messages that wait for their time."""
        return self.stragglers.deferred_count

    @property
    def message_count(self) -> int:
        """Messages that came from the topic since the process started; redeliveries do not count."""
        return max(0, self.visible_seq - self.first_seen)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waiting, held or deferred."""
        return self.depth == 0 and self.window.unfinished == 0 and not len(self.stragglers) and not self.replays

    def join(self, consumer: Consumer) -> None:
        """A consumer subscribes."""
        self.consumers.append(consumer)
        self.is_ranked = self.is_ranked or consumer.distance < ELSEWHERE

    def leave(self, consumer: Consumer) -> None:
        """A consumer is gone: what it held is delivered again at once, first in line."""
        self.consumers.remove(consumer)
        held = self.window.abandon(consumer.number) + self.stragglers.abandon(consumer.number)
        if self.max_attempts:
            held = unspent(self, held, DISCONNECT, consumer)
        self.redelivery.put_first(held)
        consumer.in_flight = 0
        self.served_before[consumer.distance] += consumer.message_count
        self.is_changed = True

    def see(self, visible_seq: int) -> None:
        """The log may be read up to `visible_seq`; deferred records up to there are taken out of the line.

        Raises `StorageError` when one of those cannot be read: then the line ends in front of it.
        """
        deferred = self.log.deferred
        if deferred and deferred[-1] >= self.scanned:
            take_deferred(self, visible_seq)
        self.visible_seq = visible_seq
        if self.scanned < visible_seq:
            self.scanned = visible_seq

    def deal(self, now_ns: int) -> list[Deliver]:
        """Give each ready consumer its even share of what waits. `has_more` says that another turn would give more.

        Raises `StorageError` when the log cannot be read, and nothing was dealt.
        """
        effects: list[Deliver] = []
        self.has_more = False
        if self.paused or self._waiting() <= 0:
            return effects
        ready: list[Consumer] = []
        for each in self.consumers:
            if each.room() > 0:
                ready.append(each)  # noqa: PERF401  (a comprehension is a closure when compiled)
        # Whoever is farther gets what is left in another round.
        waiting = ready
        if self.is_ranked:
            ready = nearest(ready)
        count = len(ready)
        if count == 0:
            return effects
        start = self._turn % count
        served = 0
        while served < count:
            available = self._waiting()
            if available <= 0:
                break
            consumer = ready[(start + served) % count]
            left = count - served
            served += 1
            budget = consumer.room()
            share = (available + left - 1) // left
            if budget > share:
                budget = share
            try:
                if self.redelivery.count:
                    budget -= self._redeliver(consumer, self._part_for_old(budget), now_ns, effects)
                if budget > 0:
                    self._deliver(consumer, budget, now_ns, effects)
            except StorageError:
                if not effects:
                    raise
                break  # What is in flight already must be sent; the next turn meets the error again.
        self._turn = start + served
        if effects and self._waiting() > 0:
            for each in waiting:
                if each.room() > 0:
                    self.has_more = True
        if effects:
            self.is_changed = True
        return effects

    def _deliver(self, consumer: Consumer, budget: int, now_ns: int, effects: list[Deliver]) -> None:
        """First deliveries: slices of the log, as many as the budget, the window and one turn's bytes allow."""
        cursor = self.cursor
        window = self.window
        left_bytes = _RUN_BYTES
        deadline_ns = now_ns + consumer.timeout_ns
        while left_bytes > 0:
            available = self.visible_seq - cursor.sequence
            if budget > available:
                budget = available
            if budget <= 0:
                return
            room = window.room(budget)
            if room <= 0:
                evict(self, window.floor + (window.cursor - window.floor) // 2)
                room = window.room(budget)
                if room <= 0:
                    return
            if self.holes:
                room = self._before_hole(room)
            if consumer.sample_rate:
                room = 1
            frames = self.log.slice(cursor, room, left_bytes) if room > 0 else None
            if frames is None:
                self._step_over()
                continue
            taken = cursor.taken
            # As in NSQ: what the sample leaves out is gone for the channel, and a rate of R lets R + 1 percent pass.
            if consumer.sample_rate and int(self.chance() * _PERCENT) > consumer.sample_rate:
                window.pass_over(taken)
                self.is_changed = True
                continue
            window.hold(taken, consumer.number, now_ns, deadline_ns)
            consumer.in_flight += taken
            consumer.message_count += taken
            effects.append(Deliver(consumer, frames))
            budget -= taken
            left_bytes -= len(frames)

    def _part_for_old(self, budget: int) -> int:
        """How much of a budget goes to messages that wait for another delivery: half, while new ones wait too.

        A message that is requeued again and again must not keep its consumer from the others.
        """
        fresh = self._waiting() - self.redelivery.count
        old = budget // 2
        if budget % 2:
            old += 0 if self._takes_fresh else 1
            self._takes_fresh = not self._takes_fresh
        return max(old, budget - fresh)

    def _before_hole(self, room: int) -> int:
        """How many of `room` records lie before the next hole; 0 inside one."""
        while self.holes and self.holes[0][1] <= self.cursor.sequence:
            del self.holes[0]
        if self.holes:
            return max(0, min(room, self.holes[0][0] - self.cursor.sequence))
        return room

    def _step_over(self) -> None:
        """Pass what no slice can begin with: deferred records, gaps in the log, what a topic dropped."""
        sequence = self.cursor.sequence
        is_hole = bool(self.holes) and self.holes[0][0] <= sequence
        target = self.holes.pop(0)[1] if is_hole else self.log.skip(sequence)
        self.skip_to(min(max(target, sequence + 1), self.visible_seq))

    def skip_to(self, sequence: int) -> None:
        """Everything up to `sequence` that was never delivered counts as finished."""
        count = sequence - self.window.cursor
        if count <= 0:
            return
        if self.window.unfinished and self.window.room(count) >= count:
            self.window.pass_over(count)
        else:
            evict(self, self.window.cursor)
            self.window.jump(sequence)
        self.cursor.move(sequence)
        self.is_changed = True

    def _redeliver(self, consumer: Consumer, budget: int, now_ns: int, effects: list[Deliver]) -> int:
        """Give out again what waits for it; how many that were."""
        frames: list[bytes] = []
        size_bytes = 0
        deadline_ns = now_ns + consumer.timeout_ns
        while self.redelivery.count and len(frames) < budget and size_bytes < _RUN_BYTES:
            sequence = self.redelivery.first()
            in_window = self.window.state_of(sequence) != 0
            try:
                frame = self.log.record(sequence) if in_window else self.stragglers.frame_of(sequence)
            except StorageError:
                if not frames:
                    raise
                break  # It stays first in line; what was taken before it must be sent.
            self.redelivery.popleft()
            if frame is None:
                self._lose(sequence)
                continue
            if in_window:
                attempts = self.window.hold_again(sequence, consumer.number, now_ns, deadline_ns)
                if attempts:
                    self.progress.attempts(sequence, attempts)
            else:
                attempts = self.stragglers.hold(sequence, frame, consumer.number, deadline_ns, now_ns)
            if attempts == 0:
                continue
            frames.append(redelivered(frame, attempts))
            size_bytes += len(frame)
        if frames:
            consumer.in_flight += len(frames)
            consumer.message_count += len(frames)
            effects.append(Deliver(consumer, b"".join(frames)))
        return len(frames)

    def _lose(self, sequence: int) -> None:
        """Nobody can be given a message any more: what the disk has of it is gone or spoilt."""
        if self.window.state_of(sequence) != 0 or sequence in self.stragglers:
            self.window.drop(sequence)
            self.stragglers.lose(sequence)
            self.is_changed = True

    def finish_run(self, consumer: Consumer, data: bytearray, start: int, stop: int) -> int:
        """Carry out the 21-byte FIN lines in data[start:stop]; where the first that fails begins, or `stop`."""
        at = self.window.finish_run(data, start, stop, consumer.number)
        if self.latency is not None:
            self.latency.finished_run(self.log, data, start, at)
        done = self.window.counted
        consumer.in_flight -= done
        consumer.finish_count += done
        self.window.advance()
        self.is_changed = True
        return at

    def finish(self, consumer: Consumer, sequence: int) -> bool:
        """FIN; False when the consumer does not hold that message."""
        held = self.stragglers.held_by(sequence, consumer.number)
        if self.window.finish(sequence, consumer.number):
            self.window.advance()
            if self.latency is not None:
                self.latency.finished(self.log, sequence)
        elif held is not None:
            self.stragglers.finish(sequence)
            if self.latency is not None:
                self.latency.finished_at(held.timestamp_ns)
        else:
            return False
        consumer.in_flight -= 1
        consumer.finish_count += 1
        self.is_changed = True
        return True

    def requeue(self, consumer: Consumer, sequence: int, delay_ns: int) -> bool:
        """REQ: back in line, at once or after a delay; False when the consumer does not hold that message.

        False also when the log cannot be read to defer it: the message stays in flight, and times out.
        """
        held = self.stragglers.held_by(sequence, consumer.number)
        if self.max_attempts and attempts_of(self, sequence) >= self.max_attempts:
            delay_ns = 0  # It is not delivered again: there is nothing to wait for.
        if held is None:
            if delay_ns > 0 and self.holder_of(sequence) == consumer.number:
                try:
                    evict_one(self, sequence)
                except StorageError:
                    return False
                held = self.stragglers.held_by(sequence, consumer.number)
            elif not self.window.queue(sequence, consumer.number):
                return False
            else:
                self.progress.attempts(sequence, self.window.attempts_of(sequence))
        if held is not None and delay_ns > 0:
            self.stragglers.defer(sequence, delay_ns)
        else:
            if held is not None:
                self.stragglers.queue(sequence)
            if not self.max_attempts or not doom_spent(self, sequence, REQUEUE, consumer):
                self.redelivery.append(sequence)
        consumer.in_flight -= 1
        consumer.requeue_count += 1
        self.requeue_count += 1
        self.is_changed = True
        return True

    def touch(self, consumer: Consumer, sequence: int, now_ns: int) -> bool:
        """TOUCH: a new deadline, bounded by the longest time a message may be held."""
        deadline_ns = now_ns + consumer.timeout_ns
        held_max_ns = self.settings.max_msg_timeout_ns
        held = self.stragglers.held_by(sequence, consumer.number)
        if held is not None:
            held.deadline_ns = min(deadline_ns, held.since_ns + held_max_ns)
            return True
        return self.window.touch(sequence, consumer.number, deadline_ns, held_max_ns)

    def holder_of(self, sequence: int) -> int:
        """The number of the consumer that has a message in flight; -1 when none has."""
        held = self.stragglers.held.get(sequence)
        if held is not None:
            return held.owner
        return self.window.owner_of(sequence) if self.window.state_of(sequence) == 1 else -1

    @property
    def next_event_ns(self) -> int:
        """No later than the next instant at which `tick` has something to do."""
        due = self.stragglers.next_due if len(self.stragglers) else None
        deadline = self.window.next_deadline
        return deadline if due is None or deadline < due else due

    def tick(self, now_ns: int) -> bool:
        """Take back what timed out and what is due; whether there is something to deal."""
        expired: list[tuple[int, int]] = []
        due_count = 0
        if self.window.next_deadline <= now_ns:
            expired = self.window.expire(now_ns)
            for sequence, _ in expired:
                self.progress.attempts(sequence, self.window.attempts_of(sequence))
        if len(self.stragglers):
            expired += self.stragglers.expire(now_ns)
            due = self.stragglers.due(now_ns)
            due_count = len(due)
            if self.max_attempts:
                self.redelivery.extend(unspent(self, list(due), "", None))
            else:
                self.redelivery.extend(due)
        if not expired and not due_count:
            return False
        self._take_back(expired)
        self.is_changed = True
        return True

    def _take_back(self, expired: list[tuple[int, int]]) -> None:
        by_number = {consumer.number: consumer for consumer in self.consumers}
        for sequence, owner in expired:
            self.timeout_count += 1
            consumer = by_number.get(owner)
            if consumer is not None:
                consumer.in_flight -= 1
            if not self.max_attempts or not doom_spent(self, sequence, TIMEOUT, consumer):
                self.redelivery.append(sequence)

    def empty(self) -> None:
        """Forget everything that waits, is held or is deferred."""
        self.window.clear()
        self.window.jump(self.visible_seq)
        self.cursor.move(self.visible_seq)
        self.scanned = self.visible_seq
        self.redelivery.clear()
        self.stragglers.clear()
        self.doomed.clear()
        self.holes.clear()
        self.replays.clear()
        for consumer in self.consumers:
            consumer.in_flight = 0
        forget(self)

    def drop_range(self, start: int, end: int) -> None:
        """The topic dropped [start, end) before this channel saw it."""
        add_hole(self, start, end)
        self.progress.finished(start, end)
        self.is_changed = True

    def save(self) -> bool:
        """Bring the journal up to date; whether there is more to do soon.

        Raises `StorageError`; what is not saved may be delivered again.
        """
        if not self.is_changed and not self.progress.wants_snapshot:
            return False
        if self.holes or self.log.deferred:
            # Nothing may ever be dealt behind a gap, and what lies in one must not pin the log.
            self.skip_to(stop_of_gap(self))
        unpin(self)
        has_more = move_frames(self)
        if self.progress.wants_snapshot:
            note_all(self)
        else:
            note_changes(self)
        self.progress.flush()
        self.is_changed = has_more
        if self.redriven:
            self.redriven = {found: n for found, n in self.redriven.items() if found in self.stragglers}
        if self.window.unfinished == 0:
            self.window.shrink()
        return has_more
