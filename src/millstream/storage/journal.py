"""Reads a channel's journal back: every sound batch of it, what is damaged, and what is to be set aside.

`storage.progress` takes up from here at a start, `storage.inspection` looks without changing anything. Behind a damaged
batch the later ones are still read, but the channel begins again where it was before it: what left the log for the
journal there is only in the log now.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.storage import entries
from millstream.storage.batches import HEAD, batch_at, next_batch
from millstream.storage.contents import NewerFormat
from millstream.storage.damage import ACKNOWLEDGED, JOURNAL, Damage, free_name
from millstream.storage.entries import ProgressState
from millstream.storage.files import File, FileSystem

MAGIC: Final = b"MSTRCHN\x02"
_VERSION: Final = MAGIC[-1]


class OlderFormat(StorageError):
    """A journal was written by an earlier version, and cannot be read; nothing in it was touched."""


def read_journal(file: File, path: str, state: ProgressState, size: int) -> tuple[int, int]:
    """Apply every sound batch: where the first damage begins, and where the last sound batch ends. 0, 0 when empty.

    Reads the first `size` bytes: a daemon may be writing more. Raises `StorageError`, and `NewerFormat` or
    `OlderFormat` for another version's.
    """
    magic = bytearray(min(size, len(MAGIC)))
    file.read_into(memoryview(magic), 0)
    if size <= len(MAGIC) and MAGIC.startswith(magic):
        return size, size  # made, and killed before the first batch was written
    _refuse_others(path, magic)
    at = 0
    if magic == MAGIC:
        at = len(MAGIC)
        for batch, following in entries.read_batches(file, at, size):
            if not entries.replay(batch, state):
                break
            at = following
    if at == size:
        return at, at
    return _read_on(_content(file, size), at, state)


def _read_on(data: bytes, at: int, state: ProgressState) -> tuple[int, int]:
    """Go on behind the damage at `at`, which is 0 when there is no sound header either."""
    damaged_at = at
    floor = -1
    while at < len(data):
        found = batch_at(data, at) if at > damaged_at else None
        if found is not None and entries.replay(found, state):
            at += HEAD.size + len(found)
            continue
        following = next_batch(data, at + 1)
        if following is None:
            break
        if floor < 0 and following != len(MAGIC):
            floor = state.floor
        at = following
    if floor >= 0:
        state.go_back_to(floor)
    return damaged_at, at


def look_at_journal(files: FileSystem, path: str) -> tuple[ProgressState, str, int]:
    """What a journal says, how it is damaged, and where its torn end begins, or -1; changes nothing.

    Raises `StorageError`.
    """
    state = ProgressState()
    file = files.open(path)
    try:
        size = file.size()
        at, end = read_journal(file, path, state, size)
    finally:
        file.close()
    if at < end:
        return state, f"is damaged at {at}", -1
    if end < size:
        return state, f"ends in {size - end} bytes that are no sound batch", end
    return state, "", -1


def set_aside(files: FileSystem, path: str, span: tuple[int, int], state: ProgressState, *, sync: bool) -> None:
    """Keep a copy of what is left out, or of everything when it is not the end. A flush takes the original away."""
    directory, _, name = path.rpartition("/")
    data = _content_of(files, path)
    at, end = span
    if at == end and at > 0:
        aside, data = f"{name}.cut-{at}", data[at:]
        text = f"{path} ended in {len(data)} bytes that are no sound batch: left out"
    elif end > 0:
        aside = f"{name}.bad"
        text = f"{path} is damaged at {at}: what was done since then may be done again"
    else:
        aside = f"{name}.bad"
        text = f"{path} has no sound header: it starts at the oldest record"
    names = files.names(directory)
    if aside + ACKNOWLEDGED in names:
        if _content_of(files, f"{directory}/{aside}{ACKNOWLEDGED}") == data:
            return  # Nothing was written since.
        aside = free_name(names, aside)
    try:
        files.replace(f"{directory}/{aside}", data, sync=sync)
    except StorageError as error:
        text = f"{text}, and no copy could be kept: {error}"
        state.tell(Damage(kind=JOURNAL, text=text, mark=aside, is_aside=False))
        return
    state.tell(Damage(kind=JOURNAL, text=f"{text}, and kept as {aside}", mark=aside))


def check_journal_version(files: FileSystem, path: str) -> None:
    """Raise `NewerFormat` or `OlderFormat` for a journal of another version, and nothing else."""
    magic = bytearray(len(MAGIC))
    try:
        file = files.open(path)
        try:
            file.read_into(memoryview(magic), 0)
        finally:
            file.close()
    except StorageError:
        return
    _refuse_others(path, magic)


def _refuse_others(path: str, magic: bytearray) -> None:
    if len(magic) < len(MAGIC) or not magic.startswith(MAGIC[:-1]) or magic[-1] == _VERSION:
        return
    if magic[-1] > _VERSION:
        raise NewerFormat(
            f"{path} - was written by a newer version (format {magic[-1]}, this one reads {_VERSION}); start that"
            " version, or give this one another --data-path"
        )
    raise OlderFormat(
        f"{path} - was written by an older version, whose journals this one cannot read; start that version and let"
        " the channel run empty, or remove the file: then the channel gets everything that its topic still has"
    )


def _content_of(files: FileSystem, path: str) -> bytes:
    file = files.open(path)
    try:
        return _content(file, file.size())
    finally:
        file.close()


def _content(file: File, size: int) -> bytes:
    data = bytearray(size)
    file.read_into(memoryview(data), 0)
    return bytes(data)
