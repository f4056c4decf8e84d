"""Builds nsq_to_file from its options and runs it: an archive for each topic, until a signal or a failing disk.

HUP ends the files, INT and TERM the process: readers stop, what is held is synced and finished, files are closed.
"""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError, OptionError, StorageError, UsageError
from millstream.base.log import configure, get_logger
from millstream.base.system import SystemClock, host_name, process_id
from millstream.base.version import NSQ_VERSION, VERSION
from millstream.client import Reader, ReaderOptions
from millstream.net.http_client import HttpClient
from millstream.net.runner import stop_event
from millstream.tools.nsq_to_file.archive import Archive
from millstream.tools.nsq_to_file.file_name import FileName, host_text
from millstream.tools.nsq_to_file.file_series import FileSeries
from millstream.tools.nsq_to_file.options import ToFileOptions, reader_options
from millstream.tools.nsq_to_file.output_file import make_directories
from millstream.tools.nsq_to_file.topics import RESPONSE_BYTES_MAX, find_topics, topics_urls

_MS_PER_S: Final = 1_000
_ARCHIVES_MAX: Final = 1_000

_log = get_logger("millstream.nsq_to_file")


class NsqToFile:
    """All archives of a process. Life: `run` once."""

    def __init__(self, options: ToFileOptions, clock: Clock, stopped: asyncio.Event) -> None:
        """Setting `stopped` ends it; it is set from here when a disk fails."""
        self._options = options
        self._clock = clock
        self._stopped = stopped
        self._archives: dict[str, Archive] = {}
        self._refused: set[str] = set()
        self._has_failed = False

    def reopen(self) -> None:
        """End every file; the next message of its topic begins another."""
        _log.info("files.reopening", topics=len(self._archives))
        for archive in self._archives.values():
            archive.reopen()

    async def run(self) -> int:
        """Archive until stopped. The exit status: 0, or 1 after a disk failed.

        Raises OptionError, UsageError or StorageError when it cannot start.
        """
        options = self._options
        reading, complaints = reader_options(options)
        for complaint in complaints:
            _log.warning("consumer_opt.ignored", error=complaint)
        make_directories(Path(options.output_dir))
        self._file_name("topic")  # a format that suits no topic is an error now, not one for each topic found
        urls = topics_urls(options.lookupd_http_addresses)
        for topic in dict.fromkeys(options.topics):
            if options.wants_topic(topic):
                self._archives[topic] = self._archive(topic, reading)
        if options.topics and not self._archives:
            raise OptionError(f"--topic-pattern {options.topic_pattern!r} leaves none of the topics")
        async with asyncio.TaskGroup() as group:
            for archive in self._archives.values():
                group.create_task(self._keep(archive))
            finder = None if options.topics else group.create_task(self._find_topics(group, urls, reading))
            await self._stopped.wait()
            if finder is not None:
                finder.cancel()
        return 1 if self._has_failed else 0

    def _archive(self, topic: str, reading: ReaderOptions) -> Archive:
        options = self._options
        reader = Reader(
            topic,
            options.channel,
            nsqd_tcp_addresses=options.nsqd_tcp_addresses,
            lookupd_http_addresses=options.lookupd_http_addresses,
            options=reading,
        )
        return Archive(
            reader,
            FileSeries(options, self._file_name(topic), self._clock),
            max_in_flight=options.max_in_flight,
            sync_interval_ms=options.sync_interval_ms,
        )

    def _file_name(self, topic: str) -> FileName:
        options = self._options
        return FileName(
            filename_format=options.filename_format,
            datetime_format=options.datetime_format,
            topic=topic,
            host=host_text(options.host_identifier, host_name()),
            process_id=process_id(),
            has_revisions=options.has_revisions,
            gzip=options.gzip,
        )

    async def _keep(self, archive: Archive) -> None:
        try:
            await archive.run(self._stopped)
        except* StorageError as errors:
            _log.fatal("archive.failed", topic=archive.topic, error=errors.exceptions[0])
            self._has_failed = True
            self._stopped.set()

    async def _find_topics(self, group: asyncio.TaskGroup, urls: Sequence[str], reading: ReaderOptions) -> None:
        options = self._options
        async with HttpClient(
            connect_timeout_ms=options.http_client_connect_timeout_ms,
            request_timeout_ms=options.http_client_request_timeout_ms,
            response_bytes_max=RESPONSE_BYTES_MAX,
        ) as http:
            while True:
                found = {topic for topic in await find_topics(http, urls) if options.wants_topic(topic)}
                for topic in sorted(found - self._archives.keys() - self._refused):
                    if len(self._archives) >= _ARCHIVES_MAX:
                        _log.warning("topics.too_many", archived=_ARCHIVES_MAX, found=len(found))
                        break
                    self._add(topic, reading, group)
                await asyncio.sleep(options.topic_refresh_ms / _MS_PER_S)

    def _add(self, topic: str, reading: ReaderOptions, group: asyncio.TaskGroup) -> None:
        """Begin to archive a topic that was found; one that cannot be is logged, once."""
        try:
            archive = self._archive(topic, reading)
        except (OptionError, UsageError) as error:
            _log.error("archive.refused", topic=topic, error=error)
            self._refused.add(topic)
            return
        self._archives[topic] = archive
        group.create_task(self._keep(archive))


async def serve(options: ToFileOptions) -> int:
    """Run nsq_to_file until SIGINT or SIGTERM. Returns the exit status: 0, or 1 when it could not start or write."""
    configure(prefix=options.log_prefix, level=options.log_level)
    _log.info("nsq_to_file.starting", version=VERSION, nsq_version=NSQ_VERSION)
    service = NsqToFile(options, SystemClock(), stop_event())
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.reopen)
    try:
        return await service.run()
    except MillstreamError as error:
        _log.fatal("nsq_to_file.failed", error=error)
        return 1
    finally:
        _log.info("nsq_to_file.stopped")
