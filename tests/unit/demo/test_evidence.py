import json
import sqlite3
from contextlib import closing
from pathlib import Path

from millstream.demo.evidence import Evidence, LedgerFile


class Sums:
    """Statsd's sums, made up."""

    def __init__(self, sets: dict[str, set[str]], counters: dict[str, int]) -> None:
        self.sets = sets
        self._counters = counters

    def counter(self, name: str) -> int:
        return self._counters.get(name, 0)


def _evidence(folder: Path, *, decided: dict[str, str], sums: Sums) -> Evidence:
    entries = [("clicks", "c1", "redirect"), ("clicks", "h1", "heartbeat"), ("spam_api", "d1", "decision")]
    ledger = folder / "visitors.jsonl"
    ledger.write_text("".join(json.dumps({"topic": t, "id": i, "kind": k}) + "\n" for t, i, k in entries))
    with closing(sqlite3.connect(folder / "spam.db")) as database:
        database.execute("CREATE TABLE decisions (click_id TEXT, decision_id TEXT)")
        database.executemany("INSERT INTO decisions VALUES (?, ?)", decided.items())
        database.commit()
    (folder / "clicks.log").write_text("")
    (folder / "clicks.x.log").write_text('{"id":"c1"}\n{"_heartbeat_":1,"id":"h1"}\n')
    (folder / "spam_api.x.log").write_text('{"id":"d1"}\n{"id":"c1.spam"}\n')
    return Evidence(ledger=LedgerFile(ledger), spam_database=folder / "spam.db", archive_dir=folder, metrics=sums)


SUMS = Sums(
    {"clicks.events": {"c1", "h1"}, "spam_api.events": {"d1", "c1.spam"}},
    {"clicks.handled": 1, "clicks.rejected": 1, "spam_api.plus": 1, "spam_api.minus": 1},
)


def test_the_ends_of_a_whole_run_agree(tmp_path: Path) -> None:
    topics, remarks = _evidence(tmp_path, decided={"c1": "c1.spam"}, sums=SUMS).books()

    assert [(topic.topic, topic.published, topic.balanced) for topic in topics] == [
        ("clicks", 2, True),
        ("spam_api", 2, True),
    ]
    assert remarks == ()


def test_a_click_without_a_decision_is_remarked(tmp_path: Path) -> None:
    _, remarks = _evidence(tmp_path, decided={}, sums=SUMS).books()

    assert remarks == ("1 clicks are missing in the spam service's database",)


def test_a_decision_about_what_had_to_be_rejected_is_remarked(tmp_path: Path) -> None:
    _, remarks = _evidence(tmp_path, decided={"c1": "c1.spam", "h1": "h1.spam"}, sums=SUMS).books()

    assert remarks == ("1 events that had to be rejected are in the spam service's database",)


def test_counts_that_never_came_are_missing(tmp_path: Path) -> None:
    topics, _ = _evidence(tmp_path, decided={"c1": "c1.spam"}, sums=Sums({}, {})).books()

    assert [topic.ends[0].found for topic in topics] == [0, 0]
    assert not any(topic.balanced for topic in topics)


def test_a_growing_ledger_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = LedgerFile(path)
    ledger.read()
    path.write_text('{"topic": "clicks", "id": "a", "kind": "redirect"}\n{"topic": "cl')
    ledger.read()
    with path.open("a") as file:
        file.write('icks", "id": "b", "kind": "heartbeat"}\n')
    ledger.read()

    assert ledger.answered == 2
    assert ledger.all("clicks") == {"a", "b"}
    assert ledger.of("clicks", "redirect") == {"a"}
