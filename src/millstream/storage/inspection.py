"""Looks at a data path without changing it, also while an nsqd uses it: topics, segments, journals, and damage.

`tools.data_path` prints the reports and the records. Nothing is locked or written; a file that goes away meanwhile was
given back by the daemon, and what looks damaged is looked at again, as it may have been written at that moment.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final

from millstream.base.errors import StorageError
from millstream.protocol import raw
from millstream.protocol.record import undeferred
from millstream.storage.contents import Contents, NewerFormat, examine, stem_of
from millstream.storage.damage import kind_of_aside
from millstream.storage.entries import ProgressState
from millstream.storage.files import File, FileSystem
from millstream.storage.frames import look_at_frames
from millstream.storage.journal import look_at_journal
from millstream.storage.progress import JOURNAL_SUFFIX
from millstream.storage.recovery import bases_of
from millstream.storage.resync import Run, beginnings, walk
from millstream.storage.store import POSITION, TOPIC

_LOOKS: Final = 3
_BODY_AT: Final = 34


@dataclass(frozen=True, slots=True)
class Record:
    """One message as it is stored; `due_ns` on the wall clock, 0 for one that is not deferred."""

    sequence: int
    timestamp_ns: int
    attempts: int
    due_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """A segment, and a sentence for everything that is damaged in it."""

    name: str
    contents: Contents
    damage: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelReport:
    """What a journal says. `waiting` was never delivered, `unfinished` was and is not finished."""

    name: str
    floor: int
    cursor: int
    waiting: int
    unfinished: int
    finished_beyond: int
    state: ProgressState
    damage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicReport:
    """A topic's folder. `damage` is of all of it, `set_aside` what earlier starts have put away."""

    name: str
    directory: str
    segments: tuple[SegmentReport, ...]
    channels: tuple[ChannelReport, ...]
    damage: tuple[str, ...]
    set_aside: tuple[str, ...]

    @property
    def count(self) -> int:
        """Records that can be read."""
        return sum(segment.contents.count for segment in self.segments)

    @property
    def size_bytes(self) -> int:
        """What the segments take on the disk."""
        return sum(segment.contents.file_size for segment in self.segments)


class Inspection:
    """Reads with `files`; with `thorough` no index is believed. `pause` lets a moment pass before another look."""

    def __init__(self, files: FileSystem, *, thorough: bool, pause: Callable[[], None]) -> None:
        self._files = files
        self._thorough = thorough
        self._pause = pause

    def topics(self, path: str) -> list[tuple[str, str]]:
        """The topics of a data path, or the one whose folder it is: names and folders. Raises `StorageError`."""
        path = path.rstrip("/") or "/"
        name = path.rpartition("/")[2]
        if name.endswith(TOPIC):
            return [(name.removesuffix(TOPIC), path)]
        names = self._files.names(path)
        return [(found.removesuffix(TOPIC), f"{path}/{found}") for found in names if found.endswith(TOPIC)]

    def topic(self, name: str, directory: str) -> TopicReport:
        """Look at one topic. Raises `StorageError` when nothing can be read, `NewerFormat` for a later version's."""
        names = self._files.names(directory)
        bases = bases_of(names)
        damage: list[str] = []
        segments: list[SegmentReport] = []
        for base, next_base in zip_longest(bases, bases[1:]):
            try:
                segment = self._segment(directory, base, next_base)
            except NewerFormat:
                raise
            except StorageError as error:
                if f"{base:016x}.seg" in self._files.names(directory):
                    damage.append(str(error))
                else:
                    # The daemon gave it back, and before it all that lay in front of it.
                    segments.clear()
                continue
            if not segment.contents.is_empty or segment.damage:
                segments.append(segment)
        damage += [text for segment in segments for text in segment.damage]
        damage += _gaps(segments)
        journals = [found for found in names if found.endswith(JOURNAL_SUFFIX) or found == POSITION]
        found_channels = [self._channel(directory, found, segments) for found in journals]
        channels = [channel for channel in found_channels if channel is not None]
        damage += [f"{report.name} {report.damage}" for report in channels if report.damage]
        damage += _front(segments, bases, channels)
        return TopicReport(
            name=name,
            directory=directory,
            segments=tuple(segments),
            channels=tuple(channels),
            damage=tuple(damage),
            set_aside=tuple(found for found in names if kind_of_aside(found)),
        )

    def stragglers(self, topic: TopicReport, channel: ChannelReport) -> Iterator[Record]:
        """The messages of a channel that left the log for its journal; due at 0: they wait to be delivered again.

        Raises `StorageError`.
        """
        stem = f"{topic.directory}/{channel.name}"
        for row, frame in look_at_frames(self._files, stem, channel.state.stragglers):
            record = _record(frame, row.sequence)
            yield Record(row.sequence, record.timestamp_ns, row.attempts, row.due_ns, record.body)

    def _segment(self, directory: str, base: int, next_base: int | None) -> SegmentReport:
        """Look at one segment. Raises `StorageError` when it cannot be read or is gone."""
        name = f"{base:016x}.seg"
        found = examine(self._files, directory, base, next_base=next_base, thorough=self._thorough)
        texts = _damage_of(name, found)
        for _ in range(_LOOKS if texts else 0):
            self._pause()
            before = found
            found = examine(self._files, directory, base, next_base=next_base, thorough=self._thorough)
            texts = _damage_of(name, found)
            if found.end > before.end and next_base is None:
                # It grows: what is behind the last record is being written.
                found.file_size, found.known_end = found.size, found.end
                texts = _damage_of(name, found)
            if not texts:
                break
        return SegmentReport(name, found, tuple(texts))

    def _channel(self, directory: str, name: str, segments: list[SegmentReport]) -> ChannelReport | None:
        path = f"{directory}/{name}"
        state, damage = ProgressState(), ""
        try:
            torn_before = -1
            for _ in range(_LOOKS):
                state, damage, torn_at = look_at_journal(self._files, path)
                if 0 <= torn_before < torn_at:
                    # It grows: what is behind the last batch is being written.
                    damage = ""
                if not damage:
                    break
                torn_before = torn_at
                self._pause()
        except NewerFormat:
            raise
        except StorageError as error:
            if name not in self._files.names(directory):
                return None
            damage = f"cannot be read: {error}"
        end = segments[-1].contents.end if segments else state.cursor
        finished = [(max(low, state.floor), high) for low, high in state.finished if high > state.floor]
        beyond = sum(high - low for low, high in finished)
        delivered = sum(max(0, min(high, state.cursor) - low) for low, high in finished)
        return ChannelReport(
            name=name.removesuffix(JOURNAL_SUFFIX),
            floor=state.floor,
            cursor=state.cursor,
            waiting=max(0, _between(segments, state.cursor, end) - (beyond - delivered)),
            unfinished=max(0, state.cursor - state.floor - delivered),
            finished_beyond=beyond,
            state=state,
            damage=damage,
        )

    def records(self, report: TopicReport, start: int = 0, end: int = 1 << 63) -> Iterator[Record]:
        """The sound records of a topic from the sequence `start` to `end`, in order."""
        for segment in report.segments:
            contents = segment.contents
            if contents.end <= start or contents.base >= end:
                continue
            try:
                file = self._files.open(stem_of(report.directory, contents.base) + ".seg")
            except StorageError:
                continue  # Given back meanwhile: every channel had finished it.
            try:
                for record in _records_in(file, contents, start):
                    if record.sequence >= end:
                        return
                    if record.sequence >= start:
                        yield record
            finally:
                file.close()

    def salvage(self, path: str) -> Iterator[Record]:
        """Whatever looks like a record in any file, such as one that was set aside. Raises `StorageError`."""
        file = self._files.open(path)
        try:
            size = file.size()
            behind = 0
            for position, sequence in beginnings(file, 0, size):
                if position < behind:
                    continue
                head = _read(file, position, 4)
                length = 4 + raw.get32(head, 0)
                if position + length <= size:
                    yield _record(_read(file, position, length), sequence)
                    behind = position + length
        finally:
            file.close()


def _records_in(file: File, contents: Contents, start: int) -> Iterator[Record]:
    sequence, position = max((mark for mark in contents.marks if mark[0] <= start), default=contents.marks[0])
    stops = [span for span in contents.spans if span.end > sequence]
    for span in stops:
        yield from _walk(file, sequence, position, span.position, span.start)
        sequence, position = span.end, span.until
    yield from _walk(file, sequence, position, contents.size, contents.end)


def _walk(file: File, sequence: int, position: int, limit: int, anchor: int) -> Iterator[Record]:
    for part in walk(file, sequence, position, limit, anchor):
        if not isinstance(part, Run):
            continue
        data = _read(file, part.position, part.until - part.position)
        at = 0
        for found in range(part.start, part.end):
            size = 4 + raw.get32(data, at)
            yield _record(bytes(data[at : at + size]), found)
            at += size


def _read(file: File, position: int, size: int) -> bytearray:
    data = bytearray(size)
    if file.read_into(memoryview(data), position) < size:
        raise StorageError("a file became shorter while it was read")
    return data


def _record(frame: bytes | bytearray, sequence: int) -> Record:
    plain, due_ns = undeferred(bytes(frame))
    return Record(sequence, raw.get64(plain, 8), int.from_bytes(plain[16:18], "big"), due_ns, plain[_BODY_AT:])


def _damage_of(name: str, found: Contents) -> list[str]:
    texts = [f"{name} {found.header}"] if found.header else []
    texts += [
        f"{name} has {span.until - span.position} damaged bytes at {span.position}, "
        f"where {span.end - span.start} of its records were"
        for span in found.spans
    ]
    if found.surplus:
        texts.append(f"{name} ends in {found.surplus} bytes that are no sound record")
    elif found.known_end > found.end:
        texts.append(f"{name} ends {found.known_end - found.end} records before its index does")
    if found.is_index_damaged:
        texts.append(f"{name.removesuffix('.seg')}.idx {found.index}")
    return texts


def _gaps(segments: list[SegmentReport]) -> list[str]:
    texts = []
    for before, behind in pairwise(segments):
        missing = behind.contents.base - before.contents.end
        if missing > 0:
            texts.append(f"{missing} records are missing before {behind.name}")
        elif missing < 0:
            texts.append(f"{before.name} reaches into {behind.name}")
    return texts


def _front(segments: list[SegmentReport], bases: list[int], channels: list[ChannelReport]) -> list[str]:
    """What journals miss before the first segment, as it was when the folder was listed."""
    if not segments or segments[0].contents.base != bases[0] or segments[0].contents.is_first:
        return []
    known = [channel for channel in channels if channel.state.is_known and not channel.damage]
    missing = bases[0] - min((channel.floor for channel in known), default=bases[0])
    return [f"{missing} records are missing before {segments[0].name}"] if missing > 0 else []


def _between(segments: list[SegmentReport], start: int, end: int) -> int:
    """Records that are there between two sequences; deferred ones are not waited for in line."""
    count = 0
    for segment in segments:
        found = segment.contents
        low, high = max(start, found.base), min(end, found.end)
        if low >= high:
            continue
        count += high - low - sum(1 for sequence in found.deferred if low <= sequence < high)
        count -= sum(max(0, min(span.end, high) - max(span.start, low)) for span in found.spans)
    return count
