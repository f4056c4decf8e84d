"""Dead letters that wait, and the way back: into the channel that each came from, and into no other.

`nsqd.http_dead` asks. Letters are read where they wait, in the channel `dead` of their topic; what is in flight there
belongs to its consumer. A message that is put back is in the journal of its channel before its letter is finished, so
that a crash in between leaves both, under the same id, and never neither.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from typing import Final

from millstream.engine.channel import Channel
from millstream.engine.gaps import runs
from millstream.engine.letters import Letter, LetterError, decode
from millstream.engine.shedding import finish_waiting, waits_fresh
from millstream.engine.topic import Topic
from millstream.engine.unfinished import frame_of, is_unfinished, put_back
from millstream.protocol.record import undeferred

SCANNED_MAX: Final = 10_000
SCANNED_BYTES_MAX: Final = 16 << 20
_HEADER_BYTES: Final = 34
_ENDLESS: Final = 1 << 63

Wanted = Callable[[Letter], bool]


@dataclass(slots=True)
class Page:
    """Letters by their sequence in the dead-letter topic; `after` is where to go on, None at the end."""

    letters: list[tuple[int, Letter]] = field(default_factory=list)
    after: int | None = None


def page(dead: Channel, wanted: Wanted, *, after: int, limit: int, before: int = _ENDLESS) -> Page:
    """Up to `limit` letters that wait, behind `after` and in front of `before`. Raises `StorageError`.

    A page also ends, perhaps empty, when many letters were looked at.
    """
    found = Page()
    last = after
    scanned = size_bytes = 0
    for sequence in _waiting(dead, after):
        if sequence >= before:
            break
        if len(found.letters) >= limit or scanned >= SCANNED_MAX or size_bytes >= SCANNED_BYTES_MAX:
            found.after = last
            break
        last = sequence
        scanned += 1
        frame = frame_of(dead, sequence)
        if frame is None:
            continue
        size_bytes += len(frame)
        try:
            letter = decode(undeferred(frame)[0][_HEADER_BYTES:])
        except LetterError:
            continue  # Somebody else's message.
        if wanted(letter):
            found.letters.append((sequence, letter))
    return found


def _waiting(dead: Channel, after: int) -> Iterator[int]:
    queued = sorted(sequence for sequence in dead.redelivery if sequence > after)
    return merge(queued, _fresh(dead, after))


def _fresh(dead: Channel, after: int) -> Iterator[int]:
    for start, stop in runs(dead, dead.visible_seq):
        yield from range(max(start, after + 1), stop)


def redrive(topic: Topic, channel: Channel, dead: Channel, letters: list[tuple[int, Letter]]) -> int:
    """Put letters' messages back into the channel that they came from; how many were put back.

    One that the channel still has, because a crash kept its finish from the journal, is not put there twice. Raises
    `StorageError`: then the letters stay, and those messages may be delivered all the same.
    """
    count = 0
    for _, letter in letters:
        if not is_here(channel, letter.sequence):
            put_back(channel, letter.sequence, letter.frame(), letter.redriven + 1)
            count += 1
    topic.keep()
    channel.save()
    channel.progress.settle()
    finish_waiting(dead, [sequence for sequence, _ in letters])
    return count


def is_here(channel: Channel, sequence: int) -> bool:
    """Whether a channel has a message that is not finished, or will be shown it by its topic."""
    is_to_come = channel.visible_seq <= sequence < channel.log.next_seq
    return is_to_come or is_unfinished(channel, sequence) or waits_fresh(channel, sequence)
