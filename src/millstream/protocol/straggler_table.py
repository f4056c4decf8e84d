"""The stragglers of a channel by sequence, as columns of arrays: some 32 bytes each, and no object per message.

`storage.progress` fills a table from the journal, `engine.stragglers` takes it over and keeps it up to date. The rows
lie in blocks, sorted by sequence; most come in that order, and are appended. What `due_ns` counts from is up to the
owner of the table: the journal has instants on the wall clock, a running channel on the monotonic one.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

BLOCK_ROWS_MAX: Final = 1024
SEQUENCE_END: Final = (1 << 63) - 1


class Row(NamedTuple):
    """One straggler: `due_ns` 0 for one that does not wait for a time, `place` and `size` say where its frame lies."""

    sequence: int
    due_ns: int
    attempts: int
    place: int
    size: int


class Columns:
    """Rows as arrays, one per field, of one length. Within a table they are sorted by sequence."""

    __slots__ = ("attempts", "dues", "places", "sequences", "sizes")

    def __init__(self) -> None:
        self.sequences = array("q")
        self.dues = array("q")
        self.attempts = array("H")
        self.places = array("q")
        self.sizes = array("I")

    def __len__(self) -> int:
        return len(self.sequences)

    def row(self, at: int) -> Row:
        """The row at a position."""
        return Row(self.sequences[at], self.dues[at], self.attempts[at], self.places[at], self.sizes[at])

    def rows(self) -> Iterator[Row]:
        """All rows, in their order."""
        return map(Row, self.sequences, self.dues, self.attempts, self.places, self.sizes)

    def append(self, row: Row) -> None:
        """Add a row at the end."""
        self.sequences.append(row.sequence)
        self.dues.append(row.due_ns)
        self.attempts.append(row.attempts)
        self.places.append(row.place)
        self.sizes.append(row.size)

    def insert(self, at: int, row: Row) -> None:
        """Add a row in front of the one at a position."""
        self.sequences.insert(at, row.sequence)
        self.dues.insert(at, row.due_ns)
        self.attempts.insert(at, row.attempts)
        self.places.insert(at, row.place)
        self.sizes.insert(at, row.size)

    def replace(self, at: int, row: Row) -> None:
        """Put a row in the place of the one at a position."""
        self.sequences[at] = row.sequence
        self.dues[at] = row.due_ns
        self.attempts[at] = row.attempts
        self.places[at] = row.place
        self.sizes[at] = row.size

    def extend(self, other: "Columns") -> None:
        """Add all rows of another at the end."""
        self.sequences.extend(other.sequences)
        self.dues.extend(other.dues)
        self.attempts.extend(other.attempts)
        self.places.extend(other.places)
        self.sizes.extend(other.sizes)

    def cut(self, start: int, end: int) -> "Columns":
        """A copy of the rows [start, end)."""
        part = Columns()
        part.sequences = self.sequences[start:end]
        part.dues = self.dues[start:end]
        part.attempts = self.attempts[start:end]
        part.places = self.places[start:end]
        part.sizes = self.sizes[start:end]
        return part

    def delete(self, start: int, end: int) -> None:
        """Remove the rows [start, end)."""
        del self.sequences[start:end]
        del self.dues[start:end]
        del self.attempts[start:end]
        del self.places[start:end]
        del self.sizes[start:end]


class StragglerTable:
    """Rows by sequence, in blocks that are sorted and do not overlap."""

    def __init__(self, block_rows_max: int = BLOCK_ROWS_MAX) -> None:
        self.blocks: list[Columns] = []
        self._block_rows_max = block_rows_max
        self._firsts: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, sequence: int) -> bool:
        return self._find(sequence) is not None

    @property
    def last_sequence(self) -> int:
        """The highest sequence; -1 when there is none."""
        return self.blocks[-1].sequences[-1] if self.blocks else -1

    def get(self, sequence: int) -> Row | None:
        """The row of a sequence."""
        found = self._find(sequence)
        return None if found is None else found[0].row(found[1])

    def _find(self, sequence: int) -> tuple[Columns, int] | None:
        number = bisect_right(self._firsts, sequence) - 1
        if number < 0:
            return None
        block = self.blocks[number]
        at = bisect_left(block.sequences, sequence)
        return (block, at) if at < len(block) and block.sequences[at] == sequence else None

    def put(self, row: Row) -> None:
        """Add a row, or replace the one of its sequence."""
        number = bisect_right(self._firsts, row.sequence) - 1
        if number < 0:
            number = 0
            if not self.blocks:
                self._add_block(0, Columns())
        block = self.blocks[number]
        if not block.sequences or row.sequence > block.sequences[-1]:
            if len(block) >= self._block_rows_max and number == len(self.blocks) - 1:
                # Rows mostly come in order: a block that is full stays so, and takes no more room than it needs.
                block = Columns()
                number += 1
                self._add_block(number, block)
            block.append(row)
        else:
            at = bisect_left(block.sequences, row.sequence)
            if block.sequences[at] == row.sequence:
                block.replace(at, row)
                return
            block.insert(at, row)
        self._count += 1
        self._firsts[number] = block.sequences[0]
        if len(block) > self._block_rows_max:
            self._split(number)

    def _add_block(self, number: int, block: Columns) -> None:
        self.blocks.insert(number, block)
        self._firsts.insert(number, block.sequences[0] if block.sequences else 0)

    def _split(self, number: int) -> None:
        block = self.blocks[number]
        half = len(block) // 2
        self.blocks[number] = block.cut(0, half)
        self._add_block(number + 1, block.cut(half, len(block)))

    def put_all(self, columns: Columns) -> None:
        """Add rows, or replace those of their sequences: at once when they lie in order behind all that are here."""
        sequences = list(columns.sequences)
        is_behind = not self.blocks or (bool(sequences) and sequences[0] > self.blocks[-1].sequences[-1])
        if not is_behind or any(map(int.__ge__, sequences, sequences[1:])):
            for row in columns.rows():
                self.put(row)
            return
        for start in range(0, len(sequences), self._block_rows_max):
            part = columns.cut(start, start + self._block_rows_max)
            if self.blocks and len(self.blocks[-1]) + len(part) <= self._block_rows_max:
                self.blocks[-1].extend(part)
            else:
                self._add_block(len(self.blocks), part)
        self._count += len(sequences)

    def change(
        self, sequence: int, *, due_ns: int | None = None, attempts: int | None = None, place: int | None = None
    ) -> bool:
        """Change what is given of a row; False when there is no such row."""
        found = self._find(sequence)
        if found is None:
            return False
        block, at = found
        if due_ns is not None:
            block.dues[at] = due_ns
        if attempts is not None:
            block.attempts[at] = attempts
        if place is not None:
            block.places[at] = place
        return True

    def remove(self, sequence: int) -> Row | None:
        """Take a row out; None when it is not here."""
        number = bisect_right(self._firsts, sequence) - 1
        if number < 0:
            return None
        block = self.blocks[number]
        at = bisect_left(block.sequences, sequence)
        if at == len(block) or block.sequences[at] != sequence:
            return None
        row = block.row(at)
        block.delete(at, at + 1)
        self._count -= 1
        if not block.sequences:
            del self.blocks[number], self._firsts[number]
            return row
        self._firsts[number] = block.sequences[0]
        if len(block) < self._block_rows_max // 4:
            self._join(number)
        return row

    def _join(self, number: int) -> None:
        """Put a small block and a neighbour into one, if that leaves room for more."""
        for left in (number - 1, number):
            if 0 <= left < len(self.blocks) - 1:
                first, second = self.blocks[left], self.blocks[left + 1]
                if len(first) + len(second) <= self._block_rows_max // 2:
                    joined = first.cut(0, len(first))
                    joined.extend(second)
                    self.blocks[left] = joined
                    del self.blocks[left + 1], self._firsts[left + 1]
                    return

    def sequences_from(self, sequence: int) -> Iterator[int]:
        """The sequences from this one on, in order; the table must not change meanwhile."""
        number = max(0, bisect_right(self._firsts, sequence) - 1)
        for block in self.blocks[number:]:
            yield from block.sequences[bisect_left(block.sequences, sequence) :]

    def rows_between(self, start_place: int, end_place: int, sequence: int, blocks_max: int) -> tuple[list[Row], int]:
        """Rows from `sequence` on whose frames lie in [start_place, end_place), of the next `blocks_max` blocks.

        With them comes the sequence to go on at: one that is above all others at the end.
        """
        number = max(0, bisect_right(self._firsts, sequence) - 1)
        found: list[Row] = []
        for block in self.blocks[number : number + blocks_max]:
            found += [block.row(at) for at, place in enumerate(block.places) if start_place <= place < end_place]
        following = number + blocks_max
        return found, self._firsts[following] if following < len(self.blocks) else SEQUENCE_END

    def clear(self) -> None:
        """Forget all rows."""
        self.blocks.clear()
        self._firsts.clear()
        self._count = 0
