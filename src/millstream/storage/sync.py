"""Group commit for durability `fsync`: many publishers share one trip to the disk.

`storage.log` makes a `SyncJob` of what was written since the last one; `GroupCommit` runs the jobs of all logs, one
round after another, in a thread of its own, and hands the outcome back to the loop, which then sends the OKs.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from millstream.base.clock import Clock
from millstream.base.errors import StorageError
from millstream.base.histogram import Histogram
from millstream.storage.files import FileSystem
from millstream.storage.segment import Segment


@dataclass(slots=True)
class SyncJob:
    """What one group commit has to bring to the disk, and up to which sequence that makes the log durable."""

    segments: list[Segment]
    directory: str | None
    until: int
    files: FileSystem = field(repr=False)

    def run(self) -> None:
        """Do it. Raises `StorageError`."""
        for segment in self.segments:
            segment.sync()
        if self.directory is not None:
            self.files.sync_directory(self.directory)
            self.files.sync_directory(self.directory.rpartition("/")[0] or ".")


class Syncable(Protocol):
    """A log, as the group commit sees it."""

    def begin_sync(self) -> SyncJob | None:
        """What has to be done now."""
        ...

    def end_sync(self, job: SyncJob, *, failed: bool) -> None:
        """Take the outcome."""
        ...


Outcome = list[tuple[Syncable, SyncJob, str]]


class GroupCommit:
    """One thread that syncs. `start` is called on the loop with what is dirty; `done` comes from the thread.

    At most one round is under way; what gets dirty meanwhile waits for the next. Given a `done` that passes the
    outcome to the loop (`call_soon_threadsafe`), everything but `SyncJob.run` happens on the loop. `durations_s` is how
    long the rounds took.
    """

    def __init__(self, done: Callable[[Outcome], None], clock: Clock) -> None:
        self._done = done
        self._clock = clock
        self.durations_s = Histogram()
        self._took_ns = 0
        self._waiting: list[Syncable] = []
        self._work: list[tuple[Syncable, SyncJob]] = []
        self._under_way: list[Syncable] = []
        self._is_busy = False
        self._wake = threading.Semaphore(0)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="millstream-sync", daemon=True)
        self._thread.start()

    def start(self, log: Syncable) -> bool:
        """A log may have written something that must reach the disk; False when nothing of it is under way."""
        if log not in self._waiting:
            self._waiting.append(log)
        self._next_round()
        return log in self._waiting or log in self._under_way

    def finish(self, outcome: Outcome) -> list[str]:
        """On the loop: give the outcome to the logs and begin the next round. Returns the errors."""
        self._is_busy = False
        self._under_way = []
        self.durations_s.add(self._took_ns / 1e9)
        errors = []
        for log, job, error in outcome:
            log.end_sync(job, failed=bool(error))
            if error:
                errors.append(error)
        self._next_round()
        return errors

    def _next_round(self) -> None:
        if self._is_busy or not self._waiting:
            return
        work = []
        for log in self._waiting:
            job = log.begin_sync()
            if job is not None:
                work.append((log, job))
        self._waiting = []
        if work:
            self._is_busy = True
            self._work = work
            self._under_way = [log for log, _ in work]
            self._wake.release()

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            work, self._work = self._work, []
            if not work and self._is_stopped:
                return
            outcome: Outcome = []
            began_ns = self._clock.monotonic_ns()
            for log, job in work:
                error = ""
                try:
                    job.run()
                except StorageError as failure:
                    error = str(failure)
                outcome.append((log, job, error))
            self._took_ns = self._clock.monotonic_ns() - began_ns
            self._done(outcome)

    def stop(self) -> None:
        """End the thread after the round that is under way."""
        self._is_stopped = True
        self._wake.release()
        self._thread.join()
