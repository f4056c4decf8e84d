"""Archives one topic: batches come from a `client.Reader`, go to a `FileSeries`, and are finished once on the disk.

Files are written in threads, so that heartbeats are answered while the disk is busy. Messages are held, unanswered,
until the next sync; what a killed process held is delivered again and lands in the next file.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from millstream.client import Message, Reader
from millstream.tools.nsq_to_file.file_series import FileSeries

_MS_PER_S: Final = 1_000
# Bodies stay in memory until they are finished; large ones are not worth collecting for one sync.
_HELD_BYTES_MAX: Final = 16 << 20


class Archive:
    """A reader and its files. Life: `run` once."""

    def __init__(self, reader: Reader, files: FileSeries, *, max_in_flight: int, sync_interval_ms: int) -> None:
        """The reader is not entered yet; `max_in_flight` is the one it was given."""
        self.topic = reader.topic
        self._reader = reader
        self._files = files
        self._max_in_flight = max_in_flight
        self._sync_interval_s = sync_interval_ms / _MS_PER_S
        self._held: deque[Message] = deque()
        self._held_bytes = 0
        self._finished = 0
        self._reopen_wanted = asyncio.Event()

    def reopen(self) -> None:
        """Finish what is held and end the file soon; the next message begins another."""
        self._reopen_wanted.set()

    async def run(self, stopped: asyncio.Event) -> None:
        """Archive until `stopped` is set, then finish what is held, and return. Not to be cancelled.

        Raises a group of StorageError, and finishes nothing that was not synced before.
        """
        try:
            async with self._reader as reader, asyncio.TaskGroup() as group:
                group.create_task(self._close_reader(stopped))
                timer = group.create_task(self._keep_time())
                async for batch in reader.batches():
                    await self._store(batch)
                timer.cancel()
                # The reader is closing: nsqd sends no more, and waits for the answers to what is held.
                await self._carry_out(self._files.close)
        finally:
            await asyncio.to_thread(self._files.abandon)

    async def _close_reader(self, stopped: asyncio.Event) -> None:
        await stopped.wait()
        await self._reader.close()

    async def _keep_time(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._sync_interval_s):
                    await self._reopen_wanted.wait()
            except TimeoutError:
                await self._carry_out(self._files.tick)
            else:
                self._reopen_wanted.clear()
                await self._carry_out(self._files.close)

    async def _store(self, batch: list[Message]) -> None:
        self._held.extend(batch)
        bodies = [message.body for message in batch]
        self._held_bytes += sum([len(body) for body in bodies])
        is_full = len(self._held) >= self._max_in_flight or self._held_bytes >= _HELD_BYTES_MAX
        is_due = is_full or self._is_starved()
        await self._carry_out(lambda: self._files.write(bodies, sync=is_due))

    def _is_starved(self) -> bool:
        # While something is unread there is more to sync with; whoever takes that asks again.
        return self._reader.is_starved and self._reader.stats().unread == 0

    async def _carry_out(self, operation: Callable[[], None]) -> None:
        """Run an operation on the files, then answer what it brought to the disk."""
        await asyncio.to_thread(operation)
        while self._finished < self._files.synced:
            message = self._held.popleft()
            self._held_bytes -= len(message.body)
            self._finished += 1
            message.finish()
