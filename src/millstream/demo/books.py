"""Compares what was published with what arrived at the ends: pure sets of event ids and counts.

The numbers are collected by `demo.trial` and shown by `demo.summary`.  An event counted or archived twice (after a
process was killed) is one event and one duplicate.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

MISSING_SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What one end has of a topic's published events."""

    name: str
    found: int
    duplicates: int
    missing: tuple[str, ...] = ()
    unacknowledged: int = 0
    """Events that arrived although nobody told the publisher OK: no loss, and not part of `found`."""

    @property
    def complete(self) -> bool:
        """True when no published event is missing here."""
        return not self.missing


def compare(name: str, published: frozenset[str], arrived: Iterable[str], *, total: int | None = None) -> End:
    """Compares by event id. `total` is how often anything was counted, where `arrived` holds each id once."""
    times = Counter(arrived)
    known = published & times.keys()
    count = total if total is not None else times.total()
    # More ids than counts: a process ended between the two; its message comes again.
    return End(
        name=name,
        found=len(known),
        duplicates=max(0, count - len(times)),
        missing=tuple(sorted(published - times.keys())),
        unacknowledged=len(times) - len(known),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicBook:
    """One topic: what was published, and each end compared with it."""

    topic: str
    published: int
    ends: tuple[End, ...]

    @property
    def balanced(self) -> bool:
        """True when every end has every published event."""
        return all(end.complete and end.found == self.published for end in self.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All topics, and what is left under way."""

    topics: tuple[TopicBook, ...]
    unfinished: int
    silent: tuple[str, ...] = ()
    restarts: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    """What else does not add up; empty when all is well."""

    @property
    def balanced(self) -> bool:
        """True when nothing is missing anywhere and nothing is left under way."""
        return all(topic.balanced for topic in self.topics) and not (self.unfinished or self.silent or self.remarks)
