import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from millstream.demo.evidence import LedgerFile
from millstream.demo.trial import Places, Trial, TrialOptions


class WebApp(BaseHTTPRequestHandler):
    """Answers visitors as the shortener does, and publishes nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(302)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201 if self.path == "/shorten" else 200)

    def _answer(self, status: int) -> None:
        body = b'{"code": "abc"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Event-Id", os.urandom(16).hex())
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def web_address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), WebApp) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@dataclass
class Snapshot:
    """Nothing is on its way."""

    unfinished: int = 0
    silent: tuple[str, ...] = ()


@dataclass
class Stage:
    """A system that brings every event to its ends between two questions, or loses some."""

    folder: Path
    loses: bool = False
    said: list[str] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    restarts: dict[str, int] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)

    @property
    def metrics(self) -> "Stage":
        return self

    def counter(self, name: str) -> int:
        return {
            "clicks.handled": len(self.sets["clicks.events"]),
            "spam_api.plus": len(self.sets["spam_api.events"]),
        }.get(name, 0)

    def say(self, text: str) -> None:
        self.said.append(text)

    async def snapshot(self) -> Snapshot:
        ledger = LedgerFile(self.folder / "visitors.jsonl")
        ledger.read()
        redirects = ledger.of("clicks", "redirect")
        arrived = {
            "clicks": ledger.all("clicks"),
            "spam_api": ledger.all("spam_api") | {f"{i}.spam" for i in redirects},
        }
        for topic, ids in arrived.items():
            self.sets[f"{topic}.events"] = set(ids)
            kept = sorted(ids)[1:] if self.loses else sorted(ids)
            text = "".join(json.dumps({"id": event_id}) + "\n" for event_id in kept)
            (self.folder / f"{topic}.x.log").write_text(text)
        database = self.folder / "services" / "spam" / "spam.db"
        database.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS decisions (click_id TEXT PRIMARY KEY, decision_id TEXT)")
            rows = [(event_id, f"{event_id}.spam") for event_id in redirects]
            connection.executemany("INSERT OR IGNORE INTO decisions VALUES (?, ?)", rows)
            connection.commit()
        return Snapshot()


def _trial(stage: Stage, web_address: str, *, seconds: float) -> Trial:
    return Trial(
        stage=stage,
        places=Places(
            web_address=web_address, nsqd_http_address="127.0.0.1:1", data_dir=stage.folder, archive_dir=stage.folder
        ),
        options=TrialOptions(
            seconds=seconds, rate_per_s=100, clicks=None, summary_json=stage.folder / "summary.json", settle_s=0.1
        ),
        environment=os.environ,
    )


async def test_a_trial_ends_well_when_everything_arrived(tmp_path: Path, web_address: str) -> None:
    stage = Stage(tmp_path)
    trial = _trial(stage, web_address, seconds=1.5)

    assert await trial.run() == 0

    assert stage.said[-1].startswith("OK:")
    values = json.loads((tmp_path / "summary.json").read_text())
    assert values["topics"]["clicks"]["published"] == values["topics"]["clicks"]["archived"]["found"] > 0
    assert str(trial.ledger.answered) in trial.notes()[0]


async def test_a_trial_fails_when_something_was_lost(tmp_path: Path, web_address: str) -> None:
    stage = Stage(tmp_path, loses=True)

    assert await _trial(stage, web_address, seconds=1.5).run() == 1

    assert any("1 NOT archived" in line for line in stage.said)


async def test_a_user_who_stops_gets_the_books_too(tmp_path: Path, web_address: str) -> None:
    stage = Stage(tmp_path)
    stage.stopping.set()

    assert await _trial(stage, web_address, seconds=0).run() == 0
