"""Keeps the number of open files bounded: topics that were not used for longest let their descriptors go.

`nsqd.turn` says which topic it has just written or saved. A file that rests is opened again by whoever needs it next.
Where more topics than the bound allows are busy in turn, each would rest before its next message: topics that keep
coming back raise the bound, up to a share of what the process may open.
"""

from typing import Final

from millstream.base.errors import StorageError
from millstream.base.log import get_logger
from millstream.base.system import descriptors_allowed
from millstream.engine.topic import Topic

log = get_logger(__name__)

FILES_OPEN_MAX: Final = 768
# Of a topic: its newest segment, and in durability `fsync` the index of that.
_FILES_OF_A_LOG: Final = 2
# Of a channel with stragglers, beside its journal: the file that their frames are added to, and one that is read.
_FILES_OF_FRAMES: Final = 2
# The rest is for connections.
_SHARE_OF_DESCRIPTORS: Final = 4
_FILES_OPEN_LIMIT: Final = 16_384
# A topic that came back once may just have been made before.
_RETURNS_MIN: Final = 2
_REMEMBERED_MAX: Final = 16_384
# More than one, so that what piled up behind a slow disk gets less again.
_TRIES: Final = 3


class OpenTopics:
    """Topics that may hold descriptors, the one used last at the end. `files` is how many they hold at most.

    That is `files_max`, or up to `grows_to` when topics come back again and again.
    """

    def __init__(self, files_max: int = FILES_OPEN_MAX, *, grows_to: int | None = None) -> None:
        self.files = 0
        self._files_max = files_max
        self._grows_to = growth_limit() if grows_to is None else grows_to
        self._topics: dict[Topic, int] = {}
        self._returns: dict[str, int] = {}

    def used(self, topic: Topic) -> None:
        """A topic was written to or saved."""
        if topic.is_ephemeral:
            return
        before = self._topics.pop(topic, 0)
        self.files -= before
        files = _FILES_OF_A_LOG + len(topic.channels)
        files += _FILES_OF_FRAMES * sum(1 for channel in topic.channels.values() if len(channel.stragglers))
        if not before and topic.name in self._returns:
            self._came_back(topic.name, files)
        self._topics[topic] = files
        self.files += files
        for _ in range(_TRIES):
            if self.files <= self._files_max:
                return
            oldest = next(iter(self._topics))
            files = self._topics.pop(oldest)
            if oldest.is_deleted or _rests(oldest):
                self.files -= files
                self._returns.setdefault(oldest.name, 0)
                if len(self._returns) > _REMEMBERED_MAX:
                    del self._returns[next(iter(self._returns))]
            else:
                self._topics[oldest] = files

    def _came_back(self, name: str, files: int) -> None:
        returns = self._returns.pop(name) + 1
        self._returns[name] = returns
        if returns >= _RETURNS_MIN:
            self._files_max = max(self._files_max, min(self._grows_to, self._files_max + files))


def growth_limit() -> int:
    """How many files of topics may be open, however many topics are busy."""
    return min(_FILES_OPEN_LIMIT, descriptors_allowed() // _SHARE_OF_DESCRIPTORS)


def _rests(topic: Topic) -> bool:
    try:
        return topic.rest()
    except StorageError as error:
        log.error("topic.rest_failed", topic=topic.name, error=error)
        return True
