"""A queue of sequences as one array: what a channel has to deliver again, 8 bytes per message."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_SLACK: Final = 1024


class SequenceQueue:
    """First in, first out, except for what is put in front. `count` is how many there are."""

    __slots__ = ("_head", "_items", "count")

    def __init__(self) -> None:
        self.count = 0
        self._items = array("q")
        self._head = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(self._items[self._head :])

    def first(self) -> int:
        """The next sequence, which stays. Raises IndexError when there is none."""
        return self._items[self._head]

    def append(self, sequence: int) -> None:
        """Add one at the end."""
        self._items.append(sequence)
        self.count += 1

    def extend(self, sequences: Iterable[int]) -> None:
        """Add some at the end, in their order."""
        self._items.extend(sequences)
        self.count = len(self._items) - self._head

    def put_first(self, sequences: Sequence[int]) -> None:
        """Add some in front, in their order."""
        self._items[: self._head] = array("q", sequences)
        self._head = 0
        self.count = len(self._items)

    def popleft(self) -> int:
        """Take the next sequence. Raises IndexError when there is none."""
        sequence = self._items[self._head]
        self._head += 1
        self.count -= 1
        if self.count == 0:
            self.clear()
        elif self._head >= _SLACK and self._head >= self.count:
            del self._items[: self._head]
            self._head = 0
        return sequence

    def clear(self) -> None:
        """Forget all."""
        del self._items[:]
        self._head = self.count = 0
