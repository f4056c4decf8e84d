"""The visitors: a process that drives real HTTP requests through the shortener's web app.

Actions come from `demo.traffic` at a given rate; a few threads carry them out, each over a connection of its own.  Each
answer that confirms an event becomes a line of the ledger file: what stands there was acknowledged, and `demo.trial`
looks for it at the other ends.  SIGTERM ends it after the actions under way.
"""

import argparse
import http.client
import json
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from millstream.demo.traffic import Action, Decide, Follow, Relay, Traffic, read_recorded

THREADS: Final = 8
WAITING_MAX: Final = 64
REQUEST_TIMEOUT_S: Final = 30.0
RETRY_FOR_S: Final = 30.0
RETRY_PAUSE_S: Final = 0.1
_ANSWER_BYTES_MAX: Final = 64 * 1024


class NotAnswered(Exception):
    """The web app did not confirm within the time that a visitor is patient."""


@dataclass(slots=True)
class Ledger:
    """Writes down what the web app acknowledged, one JSON line each; shared by the threads."""

    file: TextIO
    enough: Callable[[int], object] = lambda _: None
    """Called with the number of events after each."""
    answered: int = 0
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledged(self, topic: str, event_id: str, kind: str) -> None:
        """An event that the web app said was published."""
        line = json.dumps({"topic": topic, "id": event_id, "kind": kind})
        with self._lock:
            self.answered += 1
            self.file.write(line + "\n")
            self.file.flush()
            self.enough(self.answered)

    def not_answered(self, reason: str) -> None:
        """An action that nobody confirmed: what became of it is unknown."""
        with self._lock:
            self.failed += 1
        sys.stderr.write(f"not answered: {reason}\n")


class Visitor:
    """One visitor's connection to the web app; used by one thread."""

    def __init__(self, address: str, ledger: Ledger, codes: dict[str, str]) -> None:
        """`codes` is shared: which code the web app gave to which link."""
        host, _, port = address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=REQUEST_TIMEOUT_S)
        self._ledger = ledger
        self._codes = codes

    def act(self, action: Action) -> None:
        """Carries one action out, and writes down what was confirmed."""
        try:
            match action:
                case Follow():
                    code = self._codes.get(action.key) or self._shorten(action)
                    _, headers = self._ask("GET", f"/{code}", 302, headers=action.headers)
                    self._ledger.acknowledged("clicks", _event_id(headers), "redirect")
                case Relay():
                    self._ask("POST", "/clicks", 200, body=action.body)
                    self._ledger.acknowledged("clicks", action.event_id, action.kind)
                case Decide():
                    body = json.dumps({"link": self._codes.get(action.link, action.link), "spam": action.spam})
                    _, headers = self._ask("POST", "/spam/decision", 200, body=body.encode())
                    self._ledger.acknowledged("spam_api", _event_id(headers), "decision")
        except NotAnswered as error:
            self._ledger.not_answered(str(error))

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _shorten(self, action: Follow) -> str:
        body = json.dumps({"url": action.url, "login": action.login}).encode()
        answer, _ = self._ask("POST", "/shorten", 201, body=body)
        try:
            code = str(json.loads(answer)["code"])
        except (ValueError, KeyError, TypeError) as error:
            raise NotAnswered(f"POST /shorten: an answer of no use, {answer[:80]!r}") from error
        self._codes[action.key] = code
        return code

    def _ask(
        self,
        method: str,
        path: str,
        status: int,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[bytes, http.client.HTTPMessage]:
        give_up = time.monotonic() + RETRY_FOR_S
        while True:
            try:
                self._connection.request(method, path, body=body, headers=dict(headers or {}))
                response = self._connection.getresponse()
                answer = response.read(_ANSWER_BYTES_MAX)
                if response.status == status:
                    return answer, response.headers
                reason = f"{method} {path}: status {response.status}"
                if response.status < 500:
                    raise NotAnswered(reason)
            except (OSError, http.client.HTTPException) as error:
                reason = f"{method} {path}: {error!r}"
            # The connection is of no more use; the next request opens another.
            self._connection.close()
            if time.monotonic() > give_up:
                raise NotAnswered(reason)
            time.sleep(RETRY_PAUSE_S)


def _event_id(headers: http.client.HTTPMessage) -> str:
    event_id = headers.get("X-Event-Id")
    if not event_id:
        raise NotAnswered("an answer without X-Event-Id")
    return event_id


def _work(actions: "queue.Queue[Action | None]", visitor: Visitor) -> None:
    while (action := actions.get()) is not None:
        visitor.act(action)
    visitor.close()


def drive(address: str, ledger: Ledger, traffic: Traffic, *, rate_per_s: float, stopping: threading.Event) -> None:
    """Sends visitors at the rate until `stopping` is set, then waits for those under way."""
    actions: queue.Queue[Action | None] = queue.Queue(WAITING_MAX)
    codes: dict[str, str] = {}
    threads = [threading.Thread(target=_work, args=(actions, Visitor(address, ledger, codes))) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    due_s = time.monotonic()
    while not stopping.wait(max(0.0, due_s - time.monotonic())):
        actions.put(traffic.next())
        # Time lost while the web app was away is not made up for by a burst.
        due_s = max(due_s + 1 / rate_per_s, time.monotonic() - 1)
    for _ in threads:
        actions.put(None)
    for thread in threads:
        thread.join()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM; 0 when every action was confirmed."""
    parser = argparse.ArgumentParser(prog="visitors", description="drive requests through the shortener's web app")
    parser.add_argument("--address", required=True, help="host:port of the web app")
    parser.add_argument("--ledger", required=True, type=Path, help="file to write acknowledged events to")
    parser.add_argument("--rate", type=float, default=50.0, help="visitors a second")
    parser.add_argument("--clicks", type=Path, help="replay these recorded clicks, one JSON object a line")
    arguments = parser.parse_args(argv)
    if not 0 < arguments.rate <= 100_000:
        parser.error("--rate: expected a number above 0 and up to 100000")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    recorded = []
    if arguments.clicks is not None:
        with arguments.clicks.open("rb") as lines:
            recorded = read_recorded(lines)
    with arguments.ledger.open("w", encoding="utf-8") as file:
        ledger = Ledger(file)
        traffic = Traffic(random.Random(), recorded)
        drive(arguments.address, ledger, traffic, rate_per_s=arguments.rate, stopping=stopping)
    sys.stdout.write(f"answered {ledger.answered}, not answered {ledger.failed}\n")
    return 1 if ledger.failed else 0


if __name__ == "__main__":
    sys.exit(main())
