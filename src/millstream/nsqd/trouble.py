"""What does not work at the moment: topics that cannot be written, saved or read, until they work again.

`nsqd.turn` and `nsqd.host` tell of every failure and, while there is any, of every success; `/ping` and `/stats` say
what is left. The trouble of one topic is its own: that another one works says nothing of it.
"""

from collections.abc import Container, Iterator
from typing import Final, NamedTuple

WRITE: Final = "write"
SYNC: Final = "sync"
SAVE: Final = "save"
READ: Final = "read"
METADATA: Final = "metadata"


class Place(NamedTuple):
    """Where something does not work; the channel is empty but for a read, the topic but for what belongs to one."""

    topic: str
    what: str
    channel: str = ""


class Troubles:
    """The last error of each place that has trouble, in `errors`, which stays the same object."""

    def __init__(self) -> None:
        self.errors: dict[Place, str] = {}
        self._failures: dict[str, int] = {}

    @property
    def text(self) -> str:
        """The oldest trouble, and how many more topics have some; empty when there is none."""
        if not self.errors:
            return ""
        place, error = next(iter(self.errors.items()))
        others = len({other.topic for other in self.errors} - {place.topic})
        return f"{error} (and {others} more topic{'s' * (others > 1)})" if others else error

    def failed(self, place: Place, error: object) -> None:
        """It was tried, and did not work."""
        if place.what in {WRITE, SYNC, SAVE}:
            self._failures[place.topic] = self._failures.get(place.topic, 0) + 1
        self.errors[place] = str(error)

    def worked(self, place: Place) -> None:
        """It works."""
        self.errors.pop(place, None)

    def forget_topic(self, topic: str) -> None:
        """The topic is gone."""
        self._failures.pop(topic, None)
        for place in [found for found in self.errors if found.topic == topic]:
            del self.errors[place]

    def keep_only(self, topics: Container[str]) -> None:
        """Forget every topic that is not among these."""
        for topic in {place.topic for place in self.errors if place.topic and place.topic not in topics}:
            self.forget_topic(topic)

    def forget_channel(self, topic: str, channel: str) -> None:
        """The channel is gone."""
        self.worked(Place(topic, READ, channel))

    def failures(self, topic: str) -> int:
        """How many writes of a topic have failed, its journals' included."""
        return self._failures.get(topic, 0)

    def places(self, what: str) -> Iterator[Place]:
        """Where this does not work, those that were tried least lately first; each one yielded goes to the end."""
        for place in [found for found in self.errors if found.what == what]:
            self.errors[place] = self.errors.pop(place)
            yield place
