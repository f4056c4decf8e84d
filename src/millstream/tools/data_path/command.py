"""Carries out the verbs of `millstream log` on a path: inspect and verify print, dump writes messages.

The status is 0, or 1 when verify has found damage, or 2 when the path cannot be looked at; the reason goes to `errors`.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TextIO

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError, StorageError
from millstream.engine.metadata import MetadataError, decode
from millstream.storage.files import FileSystem
from millstream.storage.inspection import Inspection, Record, TopicReport
from millstream.tools.data_path.dump import between, lines
from millstream.tools.data_path.options import DumpOptions, LookOptions, parse_bound
from millstream.tools.data_path.tables import topic_lines

SOUND: Final = 0
DAMAGED: Final = 1
FAILED: Final = 2
_METADATA: Final = "nsqd.dat"
_SEQUENCE_MAX: Final = 1 << 63


class NotThere(MillstreamError):
    """The path, topic or channel that was asked for does not exist."""


class DataPath:
    """One path that was named on the command line: a data path, a topic's folder, or a file."""

    def __init__(self, path: str, files: FileSystem, inspection: Inspection, output: BinaryIO, errors: TextIO) -> None:
        self._path = path.rstrip("/") or "/"
        self._files = files
        self._inspection = inspection
        self._output = output
        self._errors = errors

    def inspect(self, options: LookOptions, clock: Clock) -> int:
        """Print the tables of all topics."""

        def work() -> int:
            for place, report in enumerate(self._reports(options.topic)):
                if place:
                    self._say("")
                for line in topic_lines(report, clock.wall_ns()):
                    self._say(line)
            for text in self._metadata_damage():
                self._say(f"damaged: {text}")
            return SOUND

        return self._guarded(work)

    def verify(self, options: LookOptions) -> int:
        """Print everything that is damaged, and what was looked at."""

        def work() -> int:
            damage: list[str] = []
            topics = messages = 0
            for report in self._reports(options.topic):
                topics += 1
                messages += report.count
                for text in report.damage:
                    damage.append(text)
                    self._say(f"{report.directory}: {text}")
            for text in self._metadata_damage():
                damage.append(text)
                self._say(f"{self._path}: {text}")
            result = f"{len(damage)} damaged" if damage else "sound"
            self._say(f"{result}: {topics} topics, {messages} messages")
            return DAMAGED if damage else SOUND

        return self._guarded(work)

    def dump(self, options: DumpOptions) -> int:
        """Write messages."""

        def work() -> int:
            topic, records = self._records(options)
            start, end = parse_bound("--from", options.start), parse_bound("--to", options.end)
            found = between(records, start, end)
            for line in lines(found, topic, limit=options.limit, is_raw=options.format == "raw"):
                self._output.write(line)
            return SOUND

        return self._guarded(work)

    def _records(self, options: DumpOptions) -> tuple[str, Iterator[Record]]:
        if self._is_file():
            if options.topic or options.channel:
                raise NotThere(f"{self._path} is a file, which has neither topics nor channels: leave the flag out")
            return "", self._inspection.salvage(self._path)
        topics = self._topics(options.topic)
        if len(topics) > 1:
            names = ", ".join(name for name, _ in topics[:10]) + (", ..." if len(topics) > 10 else "")
            raise NotThere(f"{self._path} has {len(topics)} topics: choose one with --topic ({names})")
        if not topics:
            raise NotThere(f"{self._path} has no topics")
        name, directory = topics[0]
        report = self._inspection.topic(name, directory)
        if not options.channel:
            start = parse_bound("--from", options.start).sequence or 0
            end = parse_bound("--to", options.end).sequence
            return name, self._inspection.records(report, start, _SEQUENCE_MAX if end is None else end)
        for channel in report.channels:
            if channel.name == options.channel:
                return name, self._inspection.stragglers(report, channel)
        known = ", ".join(channel.name for channel in report.channels) or "none"
        raise NotThere(f"topic {name} has no channel {options.channel} with a journal: there is {known}")

    def _is_file(self) -> bool:
        try:
            if self._files.names(self._path):
                return False
        except StorageError:
            pass  # What has no names in it may be a file.
        try:
            file = self._files.open(self._path)
            try:
                file.read_into(memoryview(bytearray(1)), 0)
            finally:
                file.close()
        except StorageError:
            return False
        return True

    def _reports(self, topic: str) -> Iterator[TopicReport]:
        for name, directory in self._topics(topic):
            yield self._inspection.topic(name, directory)

    def _topics(self, topic: str) -> list[tuple[str, str]]:
        found = self._inspection.topics(self._path)
        if topic:
            found = [each for each in found if each[0] == topic]
            if not found:
                raise NotThere(f"{self._path} has no topic {topic}: it would be a folder {topic}.topic")
        is_there = bool(found) or _METADATA in self._files.names(self._path)
        if not is_there or (found and not self._files.names(found[0][1])):
            raise NotThere(f"{self._path} is no data path of nsqd: it has no folder <topic>.topic")
        return found

    def _metadata_damage(self) -> list[str]:
        if _METADATA not in self._files.names(self._path):
            return []
        file = self._files.open(f"{self._path}/{_METADATA}")
        try:
            data = bytearray(file.size())
            file.read_into(memoryview(data), 0)
        finally:
            file.close()
        try:
            decode(bytes(data))
        except MetadataError as error:
            return [f"{_METADATA} {error}"]
        return []

    def _say(self, line: str) -> None:
        self._output.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def _guarded(self, work: Callable[[], int]) -> int:
        try:
            status = work()
            self._output.flush()
        except BrokenPipeError:
            return SOUND  # Whoever reads has seen enough.
        except MillstreamError as error:
            self._errors.write(f"millstream log: {error}\n")
            return FAILED
        return status
