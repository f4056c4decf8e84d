"""What a topic's directory holds after a stop or a crash: the segments that can be served, and what was set aside.

`storage.log` starts from the result. What is damaged (`storage.contents` finds it) is kept under a name of its own: a
torn tail is cut off, a span between sound records is copied and stepped over from then on, a segment with nothing to
serve is renamed. A file of a newer format stops the start with a text that says what to do. The rest is served.
"""

from dataclasses import dataclass, field
from itertools import zip_longest

from millstream.base.errors import StorageError
from millstream.storage.contents import (
    SEGMENT_HEADER_BYTES,
    Contents,
    NewerFormat,
    check_version,
    examine,
)
from millstream.storage.damage import (
    ACKNOWLEDGED,
    INDEX,
    MISSING,
    RECORDS,
    SEGMENT,
    TORN_TAIL,
    Damage,
    copy_aside,
    free_name,
    set_aside_before,
)
from millstream.storage.files import FileSystem
from millstream.storage.resync import RECORD_BYTES_MIN, Span
from millstream.storage.segment import Segment


@dataclass(slots=True)
class Recovered:
    """The segments in order, the gaps between their records, and what is not as it should be.

    `notes` has a sentence for everything that this start has found or could not do. No record may get a sequence below
    `resume_at`: what was damaged may have had it.
    """

    segments: list[Segment] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    resume_at: int = 0

    @property
    def had_files(self) -> bool:
        """Whether there was anything."""
        return bool(self.names)

    def is_acknowledged(self, damage: Damage) -> bool:
        """Whether somebody has said before this start that it is known."""
        return damage.mark + ACKNOWLEDGED in self.names

    def tell(self, damage: Damage) -> None:
        """Something is damaged; nothing is said when it was acknowledged before."""
        if not self.is_acknowledged(damage):
            self.damage.append(damage)
            self.notes.append(damage.text)


def bases_of(names: list[str]) -> list[int]:
    """The first sequences of the segments among the names in a directory, in order."""
    return [int(name[:16], 16) for name in names if _is_segment(name)]


def _is_segment(name: str) -> bool:
    stem, dot, extension = name.partition(".")
    return dot == "." and extension == "seg" and len(stem) == 16 and all(c in "0123456789abcdef" for c in stem)


def recover(files: FileSystem, directory: str) -> Recovered:
    """Read a topic's directory. Raises `StorageError` when it cannot be read or is of a newer format."""
    found = Recovered(names=files.names(directory))
    bases = bases_of(found.names)
    for base in bases:
        # Before anything is changed: a later version finds the directory as it left it.
        check_version(files, directory, base)
    for base, next_base in zip_longest(bases, bases[1:]):
        _take(files, directory, base, next_base, found)
    segments, found.segments = found.segments, []
    for segment in segments:
        if segment.end == segment.base:
            segment.delete()
            continue
        _join(files, segment, found)
    if found.segments and found.resume_at > found.segments[-1].end:
        found.gaps.append((found.segments[-1].end, found.resume_at))
    found.damage += set_aside_before(found.names, found.damage)
    return found


def _join(files: FileSystem, segment: Segment, found: Recovered) -> None:
    """Put a segment behind those before it."""
    previous = found.segments[-1] if found.segments else None
    if previous is not None and segment.base < previous.end:
        # The log cut itself back to where the later segment begins: what the one before has from there on was
        # refused, and the power went before the disk had forgotten it.
        found.notes.append(f"{previous.path} reaches into {segment.path}, which goes before")
        previous.cut(segment.base)
        _cut_off(files, previous, 0, found)
        previous.close()
    elif previous is not None and segment.base > previous.end:
        found.gaps.append((previous.end, segment.base))
        text = f"{segment.base - previous.end} records are missing before {segment.path}"
        found.tell(Damage(kind=MISSING, text=text, mark=f"{previous.end:016x}.missing", is_aside=False))
    found.segments.append(segment)
    found.gaps += [(span.start, span.end) for span in segment.spans if span.start < span.end]


def _take(files: FileSystem, directory: str, base: int, next_base: int | None, found: Recovered) -> None:
    segment = Segment(files, directory, base, checked=False)
    try:
        contents = examine(files, directory, base, next_base=next_base)
    except NewerFormat:
        raise
    except StorageError as error:
        _rename_aside(files, segment, error, found)
        return
    segment.take(contents)
    try:
        if contents.header:
            _mend_header(files, segment, contents.header, found)
        for span in contents.spans:
            found.tell(keep_span(files, segment, span, found.names))
        if contents.surplus:
            _cut_off(files, segment, contents.known_end - contents.end, found)
        _mend_index(segment, contents, found)
        if not segment.is_sealed and segment.end > segment.base:
            _seal(segment, found)
    finally:
        segment.close()
    if contents.known_end > contents.end and next_base is None:
        found.resume_at = max(found.resume_at, contents.known_end)
    found.segments.append(segment)


def _rename_aside(files: FileSystem, segment: Segment, error: StorageError, found: Recovered) -> None:
    """Nothing in a segment can be served."""
    name = segment.path.rpartition("/")[2]
    aside = free_name(found.names, name + ".bad")
    try:
        size = segment.open().size()
    except StorageError:
        size = 0
    segment.close()
    found.resume_at = max(found.resume_at, segment.base + size // RECORD_BYTES_MIN + 1)
    try:
        files.rename(segment.path, f"{segment.path.rpartition('/')[0]}/{aside}")
    except StorageError as failure:
        found.tell(Damage(kind=SEGMENT, text=f"{error}; it is left out ({failure})", mark=name, is_aside=False))
        return
    found.tell(Damage(kind=SEGMENT, text=f"{error}; it was set aside as {aside}", mark=aside))


def _mend_header(files: FileSystem, segment: Segment, reason: str, found: Recovered) -> None:
    """What the header says follows from the records: it is written anew."""
    aside = f"{segment.path.rpartition('/')[2]}.bad-0"
    try:
        copy_aside(files, segment.open(), 0, SEGMENT_HEADER_BYTES, f"{segment.path}.bad-0")
        segment.write_header()
    except StorageError as error:
        found.tell(Damage(kind=RECORDS, text=f"{segment.path} - {reason} ({error})", mark=aside, is_aside=False))
        return
    text = f"{segment.path} - {reason}: written anew, and what was there is kept as {aside}"
    found.tell(Damage(kind=RECORDS, text=text, mark=aside))


def keep_span(files: FileSystem, segment: Segment, span: Span, names: list[str]) -> Damage:
    """Copy a damaged span, unless it was before: what is to be said. It stays where it is, and is stepped over."""
    aside = f"{segment.path.rpartition('/')[2]}.bad-{span.position}"
    lost = span.end - span.start
    damaged = f"{segment.path} has {span.until - span.position} damaged bytes at {span.position}"
    text = f"{damaged}: {lost} {'record is' if lost == 1 else 'records are'} left out"
    if aside not in names and aside + ACKNOWLEDGED not in names:
        try:
            copy_aside(files, segment.open(), span.position, span.until, f"{segment.path}.bad-{span.position}")
        except StorageError as error:
            return Damage(kind=RECORDS, text=f"{text}, and could not be copied: {error}", mark=aside, is_aside=False)
    return Damage(kind=RECORDS, text=f"{text}, and kept as {aside}", mark=aside)


def _cut_off(files: FileSystem, segment: Segment, lost: int, found: Recovered) -> None:
    """Keep what lies behind the last sound record under another name, and cut it off.

    On a full disk it stays where it is: nothing is ever added to a segment that was found, so it does no harm there.
    """
    aside = f"{segment.path.rpartition('/')[2]}.cut-{segment.size}"
    known = f" (its index knows of {lost} more records)" if lost > 0 else ""
    surplus = 0
    try:
        file = segment.open()
        size = file.size()
        surplus = size - segment.size
        copy_aside(files, file, segment.size, size, f"{segment.path}.cut-{segment.size}")
        segment.truncate()
    except StorageError as error:
        text = f"{segment.path} ends in {surplus} bytes that are left out{known}, and could not be cut: {error}"
        found.tell(Damage(kind=TORN_TAIL, text=text, mark=aside, is_aside=False))
        return
    text = f"{segment.path} ended in {surplus} bytes that are no sound record{known}: cut, and kept as {aside}"
    found.tell(Damage(kind=TORN_TAIL, text=text, mark=aside))


def _mend_index(segment: Segment, contents: Contents, found: Recovered) -> None:
    """An index without checksums costs a walk when it is of no use; with them, what it vouched for is only believed."""
    if not contents.is_index_damaged:
        return
    index = segment.path.removesuffix(".seg") + ".idx"
    done = "the segment was walked, and it is written anew"
    if contents.is_checked:
        done = "what has no checksum is believed, and it is written anew"
        try:
            segment.take_checksums()
        except StorageError as error:
            done = f"what has no checksum is believed, and it could not be written anew: {error}"
    mark = f"{index.rpartition('/')[2]}.bad"
    found.tell(Damage(kind=INDEX, text=f"{index} {contents.index}: {done}", mark=mark, is_aside=False))


def _seal(segment: Segment, found: Recovered) -> None:
    try:
        segment.seal()
    except StorageError as error:
        found.notes.append(f"{error}; {segment.path} will be walked again at the next start")


def sync_found(files: FileSystem, directory: str, found: Recovered) -> None:
    """What a killed process, or one of another durability, left in the kernel counts as durable from now on.

    The names too: those of journals, and that what recovery or that process removed is gone. Raises `StorageError`.
    """
    for segment in found.segments:
        segment.sync_found()
    if found.had_files:
        files.sync_directory(directory)
        files.sync_directory(directory.rpartition("/")[0] or ".")
