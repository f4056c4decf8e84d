"""Between a channel and its journal: what is noted at a save, and what a restart makes of it.

`engine.channel` calls these; the entries are those of `engine.log.Progress`.
"""

from typing import Protocol

from millstream.engine.gaps import add_hole
from millstream.engine.log import Progress, ProgressState
from millstream.engine.sequence_queue import SequenceQueue
from millstream.engine.stragglers import Stragglers
from millstream.engine.window import Window
from millstream.protocol.chunks import ChunkQueue, Cursor


class Journaled(Protocol):
    """What of a channel outlives the process."""

    log: ChunkQueue
    progress: Progress
    window: Window
    cursor: Cursor
    stragglers: Stragglers
    redelivery: SequenceQueue
    redriven: dict[int, int]
    holes: list[tuple[int, int]]
    replays: list[tuple[int, int]]
    scanned: int
    visible_seq: int
    is_changed: bool


def note_changes(channel: Journaled) -> None:
    """What changed since the last save."""
    for start, end in channel.window.take_finished(everything=False):
        channel.progress.finished(start, end)
    channel.progress.position(channel.window.floor, channel.window.cursor, channel.scanned)


def note_all(channel: Journaled) -> None:
    """Everything that a restart needs, to replace the journal. Raises `StorageError` when there is no room for it."""
    progress = channel.progress
    window = channel.window
    progress.begin_snapshot()
    for start, end in window.take_finished(everything=True):
        progress.finished(start, end)
    for start, end in channel.holes:
        progress.finished(start, end)
    for sequence in window.unfinished_between(window.floor, window.cursor, window.unfinished):
        if window.attempts_of(sequence) != 1:
            progress.attempts(sequence, window.attempts_of(sequence))
    for columns in channel.stragglers.saved_columns():
        progress.stragglers(columns)
    for sequence, count in channel.redriven.items():
        if sequence in channel.stragglers:
            progress.redriven(sequence, count)
    if channel.replays:
        progress.replays(channel.replays)
    progress.position(window.floor, window.cursor, channel.scanned)


def forget(channel: Journaled) -> None:
    """The channel was emptied: the journal starts over."""
    channel.progress.clear()
    channel.progress.position(channel.window.floor, channel.window.cursor, channel.scanned)
    channel.is_changed = True


def restore_window(channel: Journaled, saved: ProgressState) -> None:
    """Take up where the journal ends: what was in flight is queued, what was deferred waits on."""
    window = channel.window
    floor = max(saved.floor, min(channel.log.first_seq, channel.log.next_seq))
    cursor = max(saved.cursor, floor)
    window.jump(floor)
    window.slots_max = max(window.slots_max, 1 << (cursor - floor).bit_length())
    window.room(cursor - floor)
    window.cursor = cursor
    channel.cursor.move(cursor)
    channel.scanned = max(saved.scanned, floor)
    channel.visible_seq = max(cursor, channel.visible_seq)
    at = floor
    for start, end in sorted(saved.finished):
        _requeue_span(channel, at, min(start, cursor), saved)
        at = max(at, end)
        if end > cursor:
            add_hole(channel, max(start, cursor), end)
    _requeue_span(channel, at, cursor, saved)
    window.advance()
    channel.replays = list(saved.replays)
    channel.redriven.update((found, count) for found, count in saved.redriven.items() if found in saved.stragglers)
    channel.redelivery.extend(channel.stragglers.adopt(saved.stragglers))


def _requeue_span(channel: Journaled, start: int, end: int, saved: ProgressState) -> None:
    for sequence in range(start, end):
        if sequence in saved.stragglers:
            continue
        channel.window.restore(sequence, saved.attempts.get(sequence, 1))
        channel.redelivery.append(sequence)
