"""Collects what each end of the reference system has: ledger, database, statsd, archives; and makes the books of it.

`demo.trial` asks at the end of a run.  Files are read from outside the services, read-only, as an auditor would: the
services themselves never look into each other's database.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from millstream.demo.archives import archived_lines
from millstream.demo.books import End, TopicBook, compare
from millstream.demo.event_id import event_id_of

CLICKS: Final = "clicks"
SPAM_API: Final = "spam_api"
TOPICS: Final = (CLICKS, SPAM_API)

# What the readers send to statsd.
HANDLED: Final = "clicks.handled"
REJECTED: Final = "clicks.rejected"
COUNTED_SETS: Final = {CLICKS: "clicks.events", SPAM_API: "spam_api.events"}
SPAM_COUNTERS: Final = ("spam_api.plus", "spam_api.minus")

REDIRECT: Final = "redirect"


class Metrics(Protocol):
    """The statsd sums, as received over UDP."""

    @property
    def sets(self) -> Mapping[str, set[str]]:
        """Each set's distinct values."""
        ...

    def counter(self, name: str) -> int:
        """A counter's sum."""
        ...


@dataclass(slots=True)
class LedgerFile:
    """The visitors' ledger, read as it grows."""

    path: Path
    ids: dict[str, dict[str, set[str]]] = field(default_factory=lambda: {topic: {} for topic in TOPICS})
    """Topic to kind to event ids."""
    answered: int = 0
    _offset: int = 0

    def read(self) -> None:
        """Takes in the lines that are new."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self.answered += 1
                entry = json.loads(line)
                self.ids[entry["topic"]].setdefault(entry["kind"], set()).add(entry["id"])

    def all(self, topic: str) -> frozenset[str]:
        """Every acknowledged event of a topic."""
        return frozenset().union(*self.ids[topic].values())

    def of(self, topic: str, kind: str) -> frozenset[str]:
        """The acknowledged events of one kind."""
        return frozenset(self.ids[topic].get(kind, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What stands in the spam service's database."""

    clicks: frozenset[str]
    """Event ids of the clicks that were decided about."""
    emitted: frozenset[str]
    """Event ids of the decisions: each is published before its click is finished."""

    @classmethod
    def read(cls, path: Path) -> "Decisions":
        """Reads the database file; nothing when it is not there yet."""
        if not path.exists():
            return cls(clicks=frozenset(), emitted=frozenset())
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            rows = database.execute("SELECT click_id, decision_id FROM decisions").fetchall()
        return cls(clicks=frozenset(row[0] for row in rows), emitted=frozenset(row[1] for row in rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where the ends of one run are."""

    ledger: LedgerFile
    spam_database: Path
    archive_dir: Path
    metrics: Metrics

    def books(self) -> tuple[tuple[TopicBook, ...], tuple[str, ...]]:
        """The books of both topics, and remarks on what else does not add up. Reads files: call it in a thread."""
        self.ledger.read()
        decisions = Decisions.read(self.spam_database)
        clicks = self.ledger.all(CLICKS)
        spam_api = self.ledger.all(SPAM_API) | decisions.emitted
        topics = (
            TopicBook(
                topic=CLICKS, published=len(clicks), ends=(self._counted_clicks(clicks), self._archived(CLICKS, clicks))
            ),
            TopicBook(
                topic=SPAM_API,
                published=len(spam_api),
                ends=(self._counted_decisions(spam_api), self._archived(SPAM_API, spam_api)),
            ),
        )
        return topics, tuple(self._remarks(decisions))

    def _counted_clicks(self, published: frozenset[str]) -> End:
        total = self.metrics.counter(HANDLED) + self.metrics.counter(REJECTED)
        return compare("counted", published, self._set(CLICKS), total=total)

    def _counted_decisions(self, published: frozenset[str]) -> End:
        total = sum(self.metrics.counter(name) for name in SPAM_COUNTERS)
        return compare("counted", published, self._set(SPAM_API), total=total)

    def _set(self, topic: str) -> tuple[str, ...]:
        return tuple(self.metrics.sets.get(COUNTED_SETS[topic], ()))

    def _archived(self, topic: str, published: frozenset[str]) -> End:
        return compare("archived", published, (event_id_of(line) for line in archived_lines(self.archive_dir, topic)))

    def _remarks(self, decisions: Decisions) -> Sequence[str]:
        redirects = self.ledger.of(CLICKS, REDIRECT)
        undecided = len(redirects - decisions.clicks)
        wrongly = len(decisions.clicks & (self.ledger.all(CLICKS) - redirects))
        remarks = []
        if undecided:
            remarks.append(f"{undecided} clicks are missing in the spam service's database")
        if wrongly:
            remarks.append(f"{wrongly} events that had to be rejected are in the spam service's database")
        return remarks
