"""When each deferred message of a channel is due: sorted columns of instants and sequences, 16 bytes per message.

`engine.stragglers` enters what is deferred and takes out what is due; `engine.scheduled` pages through it. Entries lie
in blocks, sorted by instant and then by sequence, so that what is due at once is cut off in slices, however much that
is, and nothing is ever sorted. Instants are in ns on the monotonic clock.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

BLOCK_ENTRIES_MAX: Final = 1024
_SAMPLED: Final = 16
_BOUND_EVERY: Final = 32


class Calendar:
    """Entries (due, sequence) in order. An entry is there once; `len` is how many there are."""

    def __init__(self, block_entries_max: int = BLOCK_ENTRIES_MAX) -> None:
        self._block_entries_max = block_entries_max
        self._dues: list[array[int]] = []
        self._sequences: list[array[int]] = []
        self._firsts: list[tuple[int, int]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def first_due_ns(self) -> int | None:
        """The earliest instant."""
        return self._firsts[0][0] if self._firsts else None

    def add(self, due_ns: int, sequence: int) -> None:
        """Enter a message that is not here at this instant."""
        number = max(0, bisect_right(self._firsts, (due_ns, sequence)) - 1)
        if not self._firsts:
            self._insert_block(0, array("q"), array("q"))
        dues, sequences = self._dues[number], self._sequences[number]
        if not dues or (due_ns, sequence) > (dues[-1], sequences[-1]):
            if len(dues) >= self._block_entries_max and number == len(self._dues) - 1:
                # What is deferred for the same time comes in order: a full block stays full.
                dues, sequences = array("q"), array("q")
                number += 1
                self._insert_block(number, dues, sequences)
            dues.append(due_ns)
            sequences.append(sequence)
        else:
            at = _position(dues, sequences, due_ns, sequence)
            dues.insert(at, due_ns)
            sequences.insert(at, sequence)
        self._count += 1
        self._firsts[number] = (dues[0], sequences[0])
        if len(dues) > self._block_entries_max:
            half = len(dues) // 2
            self._dues[number], self._sequences[number] = dues[:half], sequences[:half]
            self._insert_block(number + 1, dues[half:], sequences[half:])

    def add_all(self, dues: "array[int]", sequences: "array[int]") -> None:
        """Enter messages that are not here, in order of their sequences: at once when they are due behind the rest."""
        if not dues:
            return
        is_behind = not self._dues or (self._dues[-1][-1], self._sequences[-1][-1]) < (dues[0], sequences[0])
        if not is_behind or any(map(int.__gt__, dues, dues[1:])):
            for due_ns, sequence in zip(dues, sequences, strict=True):
                self.add(due_ns, sequence)
            return
        if self._dues and len(self._dues[-1]) + len(dues) <= self._block_entries_max:
            self._dues[-1].extend(dues)
            self._sequences[-1].extend(sequences)
            self._count += len(dues)
        else:
            self._append_blocks(dues, sequences)

    def _insert_block(self, number: int, dues: "array[int]", sequences: "array[int]") -> None:
        self._dues.insert(number, dues)
        self._sequences.insert(number, sequences)
        self._firsts.insert(number, (dues[0], sequences[0]) if dues else (0, 0))

    def _find(self, due_ns: int, sequence: int) -> tuple[int, int] | None:
        """Block and position of an entry."""
        number = bisect_right(self._firsts, (due_ns, sequence)) - 1
        if number < 0:
            return None
        dues, sequences = self._dues[number], self._sequences[number]
        at = _position(dues, sequences, due_ns, sequence)
        is_here = at < len(dues) and dues[at] == due_ns and sequences[at] == sequence
        return (number, at) if is_here else None

    def has(self, due_ns: int, sequence: int) -> bool:
        """Whether a message waits for this instant."""
        return self._find(due_ns, sequence) is not None

    def remove(self, due_ns: int, sequence: int) -> bool:
        """Take an entry out; False when it is not here."""
        found = self._find(due_ns, sequence)
        if found is None:
            return False
        number, at = found
        del self._dues[number][at], self._sequences[number][at]
        self._count -= 1
        self._tidy(number)
        return True

    def _tidy(self, number: int) -> None:
        """Something was taken out of a block: drop it when it is empty, and join it to a neighbour when it is small."""
        dues, sequences = self._dues[number], self._sequences[number]
        if not dues:
            self._delete_blocks(number, number + 1)
            return
        self._firsts[number] = (dues[0], sequences[0])
        if len(dues) >= self._block_entries_max // 4:
            return
        for left in (number - 1, number):
            if left < 0 or left + 1 >= len(self._dues):
                continue
            if len(self._dues[left]) + len(self._dues[left + 1]) <= self._block_entries_max // 2:
                self._dues[left] = self._dues[left] + self._dues[left + 1]
                self._sequences[left] = self._sequences[left] + self._sequences[left + 1]
                self._delete_blocks(left + 1, left + 2)
                return

    def _delete_blocks(self, start: int, end: int) -> None:
        del self._dues[start:end], self._sequences[start:end], self._firsts[start:end]

    def fill(self, parts: Sequence[tuple["array[int]", "array[int]"]]) -> None:
        """Enter many messages at once into an empty calendar: columns of instants and sequences, by sequence.

        They are dealt out to heaps of some hundreds and sorted there: sorting all of them in one go would make an
        object of each.
        """
        sample = sorted(due_ns for dues, _ in parts for due_ns in dues[::_SAMPLED])
        bounds = sample[_BOUND_EVERY::_BOUND_EVERY]
        heaps = [(array("q"), array("q")) for _ in range(len(bounds) + 1)]
        for dues, sequences in parts:
            for due_ns, sequence in zip(dues, sequences, strict=True):
                heap = heaps[bisect_right(bounds, due_ns)]
                heap[0].append(due_ns)
                heap[1].append(sequence)
        for dues, sequences in heaps:
            self._append_sorted(dues, sequences)

    def _append_sorted(self, dues: "array[int]", sequences: "array[int]") -> None:
        """Put a heap, of which every instant is behind all that are here, into blocks at the end."""
        if any(map(int.__gt__, dues, dues[1:])):
            entries = sorted(zip(dues, sequences, strict=True))
            dues = array("q", [due_ns for due_ns, _ in entries])
            sequences = array("q", [sequence for _, sequence in entries])
        self._append_blocks(dues, sequences)

    def _append_blocks(self, dues: "array[int]", sequences: "array[int]") -> None:
        """Put entries that are in order, and behind all that are here, into blocks of their own."""
        for start in range(0, len(dues), self._block_entries_max):
            end = start + self._block_entries_max
            self._insert_block(len(self._dues), dues[start:end], sequences[start:end])
        self._count += len(dues)

    def take_due(self, now_ns: int) -> "array[int]":
        """Take out everything that is due: the sequences, in order."""
        taken = array("q")
        whole = 0
        while whole < len(self._dues) and self._dues[whole][-1] <= now_ns:
            taken.extend(self._sequences[whole])
            whole += 1
        self._delete_blocks(0, whole)
        if self._dues and self._dues[0][0] <= now_ns:
            at = bisect_right(self._dues[0], now_ns)
            taken.extend(self._sequences[0][:at])
            del self._dues[0][:at], self._sequences[0][:at]
            self._tidy(0)
        self._count -= len(taken)
        return taken

    def behind(self, due_ns: int, sequence: int) -> Iterator[tuple[int, int]]:
        """The entries (due, sequence) behind this one, in order, whether or not it is here itself."""
        number = max(0, bisect_right(self._firsts, (due_ns, sequence)) - 1)
        if not self._dues:
            return
        at = _position(self._dues[number], self._sequences[number], due_ns, sequence + 1)
        while number < len(self._dues):
            yield from zip(self._dues[number][at:], self._sequences[number][at:], strict=True)
            number += 1
            at = 0

    def clear(self) -> None:
        """Forget all entries."""
        self._delete_blocks(0, len(self._dues))
        self._count = 0


def _position(dues: "array[int]", sequences: "array[int]", due_ns: int, sequence: int) -> int:
    """Where an entry is in a block, or would be."""
    low = bisect_left(dues, due_ns)
    if low == len(dues) or dues[low] != due_ns:
        return low
    return bisect_left(sequences, sequence, low, bisect_right(dues, due_ns, low))
