"""Keeps the registry over a restart: reads its snapshot at the start, writes it a little after changes and at the end.

The bytes are `nsqlookupd.snapshot`'s, the disk is behind `storage.files`. A file that cannot be used is set aside and
reported, for discovery without it is what NSQ has; a disk that fails is reported, and tried again at the next change.
"""

import asyncio
from pathlib import Path
from typing import Final

from millstream.base.errors import MillstreamError, StorageError
from millstream.base.log import get_logger
from millstream.nsqlookupd.records import Kept
from millstream.nsqlookupd.registry import Registry, RegistryFull
from millstream.nsqlookupd.snapshot import BYTES_MAX, BadSnapshot, decode, encode
from millstream.storage.files import FileSystem

log = get_logger(__name__)

ASIDE: Final = ".unusable"

_GAP_S: Final = 1.0
# The loop stands still while the registry is read, and a large one takes long: at most this part of its time.
_LOOP_PART: Final = 0.02
_RESTORED_CHECK_S: Final = 30.0


class Keeper:
    """The snapshot of one registry: `load`, `run` until cancelled, then `save`. The path's folder has to exist.

    `gap_s` is the shortest time from one write to the next.
    """

    def __init__(
        self,
        registry: Registry,
        files: FileSystem,
        path: str,
        *,
        producers_max: int,
        entries_max: int,
        gap_s: float = _GAP_S,
    ) -> None:
        self.writes = 0
        self.failures = 0
        self._registry = registry
        self._files = files
        self._path = path
        self._producers_max = producers_max
        self._entries_max = entries_max
        self._gap_s = gap_s
        self._changed = asyncio.Event()
        registry.watch(lambda _topic: self._changed.set())

    def load(self) -> None:
        """Fills the registry, which is empty, from the file if there is one that can be used."""
        try:
            content = self._read()
            if content is None:
                log.info("snapshot.none", path=self._path)
                return
            kept = decode(content, producers_max=self._producers_max, entries_max=self._entries_max)
            self._registry.restore(kept)
        except RegistryFull as error:
            log.warning("snapshot.cut", path=self._path, error=error)
        except BadSnapshot as error:
            log.error("snapshot.ignored", path=self._path, set_aside=self._path + ASIDE, error=error)
            self._set_aside()
        except StorageError as error:
            log.error("snapshot.ignored", path=self._path, error=error)
        else:
            log.info("snapshot.restored", path=self._path, topics=len(kept.topics), producers=len(kept.producers))

    async def run(self) -> None:
        """Writes after changes, and lets restored producers go that nobody came for; until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_RESTORED_CHECK_S):
                    await self._changed.wait()
            except TimeoutError:
                self._registry.forget_restored()
                continue
            # What comes at once, as when an nsqd registers, is written at once.
            await asyncio.sleep(self._gap_s)
            self._changed.clear()
            began = loop.time()
            kept = self._registry.keep()
            pause_s = (loop.time() - began) / _LOOP_PART
            writing = asyncio.ensure_future(asyncio.to_thread(self._write, kept))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # A thread cannot be cancelled: two must not write the same file.
                await writing
                raise
            await asyncio.sleep(max(pause_s - self._gap_s, 0))

    def save(self) -> None:
        """Writes now, at the end of the daemon and before its producers disconnect. Does not raise."""
        self._write(self._registry.keep())

    def _write(self, kept: Kept) -> None:
        try:
            self._files.replace(self._path, encode(kept), sync=True)
        except MillstreamError as error:
            self.failures += 1
            log.error("snapshot.failed", path=self._path, error=error)
        else:
            self.writes += 1
            log.debug("snapshot.written", path=self._path, topics=len(kept.topics), producers=len(kept.producers))

    def _read(self) -> bytes | None:
        path = Path(self._path)
        if path.name not in self._files.names(str(path.parent)):
            return None
        file = self._files.open(self._path)
        try:
            size_bytes = file.size()
            if size_bytes > BYTES_MAX:
                raise BadSnapshot(f"it has {size_bytes} bytes, a snapshot has at most {BYTES_MAX}")
            content = bytearray(size_bytes)
            count = file.read_into(memoryview(content), 0)
        finally:
            file.close()
        return bytes(content[:count])

    def _set_aside(self) -> None:
        try:
            self._files.rename(self._path, self._path + ASIDE)
        except StorageError as error:
            log.error("snapshot.failed", path=self._path, error=error)
