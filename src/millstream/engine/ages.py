"""How far a log is older than an age: the first message that is not.

`engine.enforcement` asks once a second. Answers only go forward, so the last one is remembered, and as long as it holds
nothing is searched.
"""

from millstream.base.errors import StorageError
from millstream.engine.latency import timestamp_of
from millstream.protocol.chunks import ChunkQueue


class Expiry:
    """Answers for one log and one age, whose instants only grow."""

    def __init__(self, log: ChunkQueue) -> None:
        self._log = log
        self._until = 0
        self._until_ns = -1

    def until(self, since_ns: int) -> int:
        """The first sequence that was published at this instant or later; on a disk that fails the last answer."""
        log = self._log
        if self._until >= log.next_seq or self._until_ns >= since_ns:
            return self._until
        try:
            self._until = max(self._until, log.first_since(since_ns))
        except StorageError:
            return self._until
        self._until_ns = timestamp_of(log, self._until) or 0
        return self._until
