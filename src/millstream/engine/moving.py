"""Moves the frames of stragglers out of files that hold little else any more, so that the files can go.

`engine.channel` calls it when it saves, and each time a little is moved: nobody waits for a channel with a million
deferred messages. The journal says which file is thin (`engine.log.Progress`), the table which messages lie in it; it
is walked once for every file.
"""

from typing import Final, Protocol

from millstream.base.errors import StorageError
from millstream.engine.log import Progress
from millstream.engine.stragglers import Stragglers
from millstream.protocol.straggler_table import SEQUENCE_END

_BLOCKS_MAX: Final = 64
_BYTES_MAX: Final = 1 << 20


class Moving(Protocol):
    """The part of a channel that is looked at and changed."""

    progress: Progress
    stragglers: Stragglers


def move_frames(channel: Moving) -> bool:
    """Move a part of what lies in a thin file; whether there is more to move."""
    progress, stragglers = channel.progress, channel.stragglers
    span = progress.thin
    if span is None:
        return False
    if stragglers.moving_span != span:
        stragglers.moving_span, stragglers.moving_from = span, 0
    rows, following = stragglers.table.rows_between(*span, stragglers.moving_from, _BLOCKS_MAX)
    size_bytes = 0
    for row in rows:
        if size_bytes >= _BYTES_MAX:
            following = row.sequence
            break
        try:
            frame = progress.frame(row)
        except StorageError:
            progress.leave_thin()
            return False
        if frame is None:
            stragglers.lose(row.sequence)
            continue
        stragglers.table.change(row.sequence, place=progress.move(row, frame))
        size_bytes += row.size
    stragglers.moving_from = following
    if following == SEQUENCE_END:
        # Whatever it still counts as needed is in no row.
        progress.leave_thin()
    return True
