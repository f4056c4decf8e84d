"""Keeps the number of open files bounded: topics that were not used for longest let their descriptors go.

`nsqd.turn` says which topic it has just written or saved. A file that rests is opened again by whoever needs it next,
so the bound costs something only when more topics than that are busy at once.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.engine.topic import Topic

log = get_logger(__name__)

FILES_OPEN_MAX: Final = 768
# Of a topic: its newest segment, and in durability `fsync` the index of that.
_FILES_OF_A_LOG: Final = 2
# Of a channel with stragglers, beside its journal: the file that their frames are added to, and one that is read.
_FILES_OF_FRAMES: Final = 2
# More than one, so that what piled up behind a slow disk gets less again.
_TRIES: Final = 3


class OpenTopics:
    """Topics that may hold descriptors, the one used last at the end. `files` is how many they hold at most."""

    def __init__(self, files_max: int = FILES_OPEN_MAX) -> None:
        self.files = 0
        self._files_max = files_max
        self._topics: dict[Topic, int] = {}

    def used(self, topic: Topic) -> None:
        """A topic was written to or saved."""
        if topic.is_ephemeral:
            return
        self.files -= self._topics.pop(topic, 0)
        files = _FILES_OF_A_LOG + len(topic.channels)
        files += _FILES_OF_FRAMES * sum(1 for channel in topic.channels.values() if len(channel.stragglers))
        self._topics[topic] = files
        self.files += files
        for _ in range(_TRIES):
            if self.files <= self._files_max:
                return
            oldest = next(iter(self._topics))
            files = self._topics.pop(oldest)
            if oldest.is_deleted or _rests(oldest):
                self.files -= files
            else:
                self._topics[oldest] = files


def _rests(topic: Topic) -> bool:
    try:
        return topic.rest()
    except StorageError as error:
        log.error("topic.rest_failed", topic=topic.name, error=error)
        return True
