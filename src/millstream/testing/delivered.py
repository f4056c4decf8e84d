"""Takes a run of message frames apart, as a subscriber would; `testing.simulation` compares it with what is owed."""

from collections.abc import Iterator

from millstream.testing.expectation import Contradiction


def messages_in(frames: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The messages in a run of frames: sequence, attempts, body."""
    at = 0
    while at < len(frames):
        size = int.from_bytes(frames[at : at + 4], "big")
        if frames[at + 4 : at + 8] != b"\0\0\0\2" or at + 4 + size > len(frames):
            raise Contradiction("a run of frames is torn")
        yield (
            int(frames[at + 18 : at + 34], 16),
            int.from_bytes(frames[at + 16 : at + 18], "big"),
            frames[at + 34 : at + 4 + size],
        )
        at += 4 + size
