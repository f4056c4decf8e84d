# cython: boundscheck=False, wraparound=False, cdivision=True
"""The sequences a channel has given out and not yet seen finished, as columns of arrays.

The window is [floor, cursor): below the floor everything is finished, from the cursor on nothing was delivered. A slot
is `sequence & mask`: state, owner, deadline, delivery time, attempts. `engine.channel` marks runs of slots in one call
and FIN frees one by arithmetic; there is no object per message. Instants are in ns on the monotonic clock.
"""

from typing import Final

from millstream.protocol import raw

FINISHED: Final = 0
IN_FLIGHT: Final = 1
QUEUED: Final = 2
NEVER: Final = 1 << 62
SLOTS_MIN: Final = 64
FIN_BYTES: Final = 21

_FINISHED = 0
_IN_FLIGHT = 1
_QUEUED = 2
_FRESH = 3  # finished, and the journal has not heard of it
_FIN_BYTES = 21
_SLOTS_MIN = 64
_NEVER = 1 << 62
_ATTEMPTS_MAX = 65535


class Window:
    """Slots for [floor, cursor). `unfinished` counts those in flight or queued, `in_flight` the former alone."""

    def __init__(self, start: int, slots_max: int) -> None:
        self.floor = start
        self.cursor = start
        self.in_flight = 0
        self.unfinished = 0
        self.late = 0
        self.slots_max = slots_max
        self.next_deadline = _NEVER
        self.counted = 0
        self.mask = _SLOTS_MIN - 1
        self._state = memoryview(bytearray(_SLOTS_MIN))
        self._owner = memoryview(bytearray(4 * _SLOTS_MIN)).cast("I")
        self._attempts = memoryview(bytearray(2 * _SLOTS_MIN)).cast("H")
        self._deadline = memoryview(bytearray(8 * _SLOTS_MIN)).cast("q")
        self._since = memoryview(bytearray(8 * _SLOTS_MIN)).cast("q")

    def _resize(self, slots: int) -> None:
        """Give every column `slots` places (a power of two)."""
        state = memoryview(bytearray(slots))
        owner = memoryview(bytearray(4 * slots)).cast("I")
        attempts = memoryview(bytearray(2 * slots)).cast("H")
        deadline = memoryview(bytearray(8 * slots)).cast("q")
        since = memoryview(bytearray(8 * slots)).cast("q")
        old_mask = self.mask
        mask = slots - 1
        sequence = self.floor
        while sequence < self.cursor:
            at = sequence & old_mask
            to = sequence & mask
            state[to] = self._state[at]
            owner[to] = self._owner[at]
            attempts[to] = self._attempts[at]
            deadline[to] = self._deadline[at]
            since[to] = self._since[at]
            sequence += 1
        self._state = state
        self._owner = owner
        self._attempts = attempts
        self._deadline = deadline
        self._since = since
        self.mask = mask

    def room(self, count: int) -> int:
        """How many of `count` more slots there are, after growing as far as the cap lets."""
        needed = self.cursor - self.floor + count
        slots = self.mask + 1
        if needed > slots and slots < self.slots_max:
            while slots < needed and slots < self.slots_max:
                slots *= 2
            self._resize(slots)
        free = self.mask + 1 - (self.cursor - self.floor)
        return count if count < free else free

    def shrink(self) -> None:
        """Let the columns go back to their smallest when nothing is held."""
        if self.cursor == self.floor and self.mask >= 64 * _SLOTS_MIN:
            self._resize(_SLOTS_MIN)

    def jump(self, sequence: int) -> None:
        """Move an empty window to `sequence`."""
        self.floor = self.cursor = sequence

    def hold(self, count: int, owner: int, now_ns: int, deadline_ns: int) -> None:
        """The next `count` sequences are in flight with `owner` for the first time. There must be room."""
        first = self.cursor & self.mask
        end = first + count
        slots = self.mask + 1
        # Up to the end of the columns, and the rest at their front.
        self._fill(first, end if end < slots else slots, owner, now_ns, deadline_ns)
        if end > slots:
            self._fill(0, end - slots, owner, now_ns, deadline_ns)
        self.cursor += count
        self.in_flight += count
        self.unfinished += count
        if deadline_ns < self.next_deadline:
            self.next_deadline = deadline_ns

    def _fill(self, start: int, stop: int, owner: int, now_ns: int, deadline_ns: int) -> None:
        """A delivery in the slots [start, stop); a loop per column, which a C compiler makes a few wide stores."""
        state, owners, attempts = self._state, self._owner, self._attempts
        deadlines, instants = self._deadline, self._since
        in_flight = _IN_FLIGHT
        for at in range(start, stop):
            state[at] = in_flight
        for at in range(start, stop):
            owners[at] = owner
        for at in range(start, stop):
            attempts[at] = 1
        for at in range(start, stop):
            deadlines[at] = deadline_ns
        for at in range(start, stop):
            instants[at] = now_ns

    def pass_over(self, count: int) -> None:
        """The next `count` sequences are finished without a delivery. There must be room."""
        mask = self.mask
        sequence = self.cursor
        end = sequence + count
        while sequence < end:
            self._state[sequence & mask] = _FRESH
            sequence += 1
        self.cursor = end
        self.late += count
        self.advance()

    def set_aside(self, count: int) -> None:
        """The next `count` sequences are queued and were never delivered. There must be room."""
        mask = self.mask
        sequence = self.cursor
        end = sequence + count
        while sequence < end:
            at = sequence & mask
            self._state[at] = _QUEUED
            self._owner[at] = 0
            self._attempts[at] = 0
            sequence += 1
        self.cursor = end
        self.unfinished += count

    def hold_again(self, sequence: int, owner: int, now_ns: int, deadline_ns: int) -> int:
        """A queued sequence is in flight once more; its attempts, this one included. 0 when it is not queued."""
        at = self._slot(sequence)
        if at < 0 or self._state[at] != _QUEUED:
            return 0
        attempts = self._attempts[at]
        if attempts < _ATTEMPTS_MAX:
            attempts += 1
        self._state[at] = _IN_FLIGHT
        self._owner[at] = owner
        self._attempts[at] = attempts
        self._deadline[at] = deadline_ns
        self._since[at] = now_ns
        self.in_flight += 1
        if deadline_ns < self.next_deadline:
            self.next_deadline = deadline_ns
        return attempts

    def _slot(self, sequence: int) -> int:
        """Where the columns have a sequence; -1 outside the window."""
        if sequence < self.floor or sequence >= self.cursor:
            return -1
        return sequence & self.mask

    def finish(self, sequence: int, owner: int) -> bool:
        """FIN by `owner`; False when it does not hold that sequence. `advance` is called once for many."""
        at = self._slot(sequence)
        if at < 0 or self._state[at] != _IN_FLIGHT or self._owner[at] != owner:
            return False
        self._state[at] = _FRESH
        self.in_flight -= 1
        self.unfinished -= 1
        self.late += 1
        return True

    def finish_run(self, data: bytearray, start: int, stop: int, owner: int) -> int:
        """Carry out the `FIN <id>` lines in data[start:stop]; the offset of the first that fails, or `stop`.

        `counted` is how many were finished.
        """
        return self._finish_run(data, start, stop, owner)

    def _finish_run(self, data: bytearray, start: int, stop: int, owner: int) -> int:
        done = 0
        mask = self.mask
        floor = self.floor
        cursor = self.cursor
        state, owners = self._state, self._owner
        in_flight, fresh = _IN_FLIGHT, _FRESH
        sequence = floor - 1
        while start < stop:
            # Mostly in order: to compare is less work than to read.
            sequence += 1
            if not raw.is_id(data, start + 4, sequence):
                sequence = raw.get_id(data, start + 4)
            if sequence < floor or sequence >= cursor:
                break
            at = sequence & mask
            if state[at] != in_flight or owners[at] != owner:
                break
            state[at] = fresh
            done += 1
            start += _FIN_BYTES
        self.in_flight -= done
        self.unfinished -= done
        self.late += done
        self.counted = done
        return start

    def advance(self) -> None:
        """Move the floor up to the first sequence that is not finished."""
        floor = self.floor
        cursor = self.cursor
        mask = self.mask
        while floor < cursor:
            at = floor & mask
            if self._state[at] == _FRESH:
                self.late -= 1
            elif self._state[at] != _FINISHED:
                break
            floor += 1
        self.floor = floor

    def queue(self, sequence: int, owner: int) -> bool:
        """REQ by `owner`: the sequence waits for another delivery; False when `owner` does not hold it."""
        at = self._slot(sequence)
        if at < 0 or self._state[at] != _IN_FLIGHT or self._owner[at] != owner:
            return False
        self._state[at] = _QUEUED
        self.in_flight -= 1
        return True

    def restore(self, sequence: int, attempts: int) -> None:
        """After a restart: an unfinished sequence below the cursor waits for another delivery."""
        at = sequence & self.mask
        self._state[at] = _QUEUED
        self._attempts[at] = attempts
        self.unfinished += 1

    def restore_finished(self, sequence: int) -> None:
        """After a restart: a sequence below the cursor was finished, and the journal knows."""
        self._state[sequence & self.mask] = _FINISHED

    def touch(self, sequence: int, owner: int, deadline_ns: int, held_max_ns: int) -> bool:
        """TOUCH by `owner`: a new deadline, no later than `held_max_ns` after the delivery."""
        at = self._slot(sequence)
        if at < 0 or self._state[at] != _IN_FLIGHT or self._owner[at] != owner:
            return False
        latest = self._since[at] + held_max_ns
        self._deadline[at] = deadline_ns if deadline_ns < latest else latest
        if self._deadline[at] < self.next_deadline:
            self.next_deadline = self._deadline[at]
        return True

    def drop(self, sequence: int) -> None:
        """A sequence leaves for the stragglers: here it counts as finished."""
        at = self._slot(sequence)
        if at < 0 or (self._state[at] != _IN_FLIGHT and self._state[at] != _QUEUED):
            return
        if self._state[at] == _IN_FLIGHT:
            self.in_flight -= 1
        self._state[at] = _FRESH
        self.unfinished -= 1
        self.late += 1

    def clear(self) -> None:
        """Nothing in the window is owed to anybody any more."""
        self.floor = self.cursor
        self.in_flight = self.unfinished = self.late = 0
        self.next_deadline = _NEVER
        self.shrink()

    def state_of(self, sequence: int) -> int:
        """FINISHED, IN_FLIGHT or QUEUED; FINISHED outside the window."""
        at = self._slot(sequence)
        if at < 0 or self._state[at] == _FRESH:
            return _FINISHED
        return self._state[at]

    def owner_of(self, sequence: int) -> int:
        """Who holds a sequence that is in flight."""
        return self._owner[sequence & self.mask]

    def attempts_of(self, sequence: int) -> int:
        """How often a sequence in the window was delivered."""
        return self._attempts[sequence & self.mask]

    def deadline_of(self, sequence: int) -> int:
        """When a sequence in flight times out."""
        return self._deadline[sequence & self.mask]

    def since_of(self, sequence: int) -> int:
        """When a sequence in flight was delivered."""
        return self._since[sequence & self.mask]

    def expire(self, now_ns: int) -> list[tuple[int, int]]:
        """Queue what is past its deadline: (sequence, the owner it was with), oldest first.

        A client's timeout is constant, so its deliveries expire in order: a lower bound is kept instead of a heap,
        and the window is walked only when that is reached.
        """
        expired: list[tuple[int, int]] = []
        lowest = _NEVER
        mask = self.mask
        sequence = self.floor
        while sequence < self.cursor:
            at = sequence & mask
            if self._state[at] == _IN_FLIGHT:
                if self._deadline[at] <= now_ns:
                    self._state[at] = _QUEUED
                    self.in_flight -= 1
                    expired.append((sequence, self._owner[at]))
                elif self._deadline[at] < lowest:
                    lowest = self._deadline[at]
            sequence += 1
        self.next_deadline = lowest
        return expired

    def abandon(self, owner: int) -> list[int]:
        """Queue everything that `owner` holds: it is gone."""
        held: list[int] = []
        mask = self.mask
        sequence = self.floor
        while sequence < self.cursor:
            at = sequence & mask
            if self._state[at] == _IN_FLIGHT and self._owner[at] == owner:
                self._state[at] = _QUEUED
                self.in_flight -= 1
                held.append(sequence)
            sequence += 1
        return held

    def unfinished_between(self, start: int, end: int, limit: int) -> list[int]:
        """Up to `limit` unfinished sequences of [start, end)."""
        found: list[int] = []
        mask = self.mask
        sequence = start if start > self.floor else self.floor
        stop = end if end < self.cursor else self.cursor
        while sequence < stop and len(found) < limit:
            at = sequence & mask
            if self._state[at] == _IN_FLIGHT or self._state[at] == _QUEUED:
                found.append(sequence)
            sequence += 1
        return found

    def take_finished(self, everything: bool) -> list[tuple[int, int]]:  # noqa: FBT001
        """Runs [from, to) above the floor that were finished since the last call, or all of them."""
        if self.late == 0 and not everything:
            return []
        runs: list[tuple[int, int]] = []
        mask = self.mask
        start = -1
        sequence = self.floor
        while sequence < self.cursor:
            at = sequence & mask
            if self._state[at] == _FRESH or (everything and self._state[at] == _FINISHED):
                self._state[at] = _FINISHED
                if start < 0:
                    start = sequence
            elif start >= 0:
                runs.append((start, sequence))
                start = -1
            sequence += 1
        if start >= 0:
            runs.append((start, sequence))
        self.late = 0
        return runs
