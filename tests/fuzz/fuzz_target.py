"""What a fuzz target is: a function of bytes that raises when something is wrong with the product, and where to begin.

The first bytes of an input say into which pieces the rest is cut, so that the fuzzer finds bad places by itself and a
saved input always does the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

SIZES = (1, 2, 3, 5, 8, 13, 34, 89, 233, 610, 1597, 4181, 10946, 28657, 1 << 16, 1 << 20)
CUT_BYTES = 2


@dataclass(frozen=True, slots=True)
class Target:
    """`seeds` are inputs to begin with, without the cut in front where `is_cut`; `words` are worth putting in."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    is_cut: bool = True

    def inputs(self) -> Iterator[bytes]:
        """The seeds as inputs, each in several cuts."""
        for seed in self.seeds:
            for cut in (b"\xff\xff", b"\x00\x00", b"\x12\x47") if self.is_cut else (b"",):
                yield cut + seed


def whole(data: bytes) -> bytes:
    """The input without its cut."""
    return data[CUT_BYTES:]


def pieces(data: bytes) -> list[bytes]:
    """The input in the pieces that its cut asks for, four sizes in turn."""
    cut, rest = data[:CUT_BYTES], data[CUT_BYTES:]
    sizes = [SIZES[nibble] for byte in cut for nibble in (byte >> 4, byte & 15)] or [SIZES[-1]]
    found = []
    at = turn = 0
    while at < len(rest):
        size = sizes[turn % len(sizes)]
        found.append(rest[at : at + size])
        at += size
        turn += 1
    return found


def sized(body: bytes, size: int | None = None) -> bytes:
    """A body behind its size, or behind what it says is its size."""
    return ((len(body) if size is None else size) & 0xFFFFFFFF).to_bytes(4, "big") + body
