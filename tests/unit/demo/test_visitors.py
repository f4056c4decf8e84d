import io
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from millstream.demo.traffic import Action, Decide, Follow, Relay, Traffic
from millstream.demo.visitors import Ledger, Visitor, drive

FOLLOW = Follow(key="k", url="http://a.example/", login="me", headers={"User-Agent": "test"})


class WebApp(BaseHTTPRequestHandler):
    """A shortener that answers what it is told to."""

    protocol_version = "HTTP/1.1"
    asked: list[str] = []  # noqa: RUF012 - one server in a test, and it is emptied there
    failures = 0

    def do_GET(self) -> None:
        self._answer(302, b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201 if self.path == "/shorten" else 200, b'{"code": "abc"}')

    def _answer(self, status: int, body: bytes) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        if type(self).failures:
            type(self).failures -= 1
            status = 503
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-event-id", f"e{len(type(self).asked)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def _web_app(failures: int = 0) -> Iterator[str]:
    WebApp.asked, WebApp.failures = [], failures
    with ThreadingHTTPServer(("127.0.0.1", 0), WebApp) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _acted(address: str, *actions: Action) -> tuple[Ledger, list[dict[str, str]]]:
    file = io.StringIO()
    ledger = Ledger(file)
    visitor = Visitor(address, ledger, {})
    for action in actions:
        visitor.act(action)
    visitor.close()
    return ledger, [json.loads(line) for line in file.getvalue().splitlines()]


def test_the_first_visitor_of_a_link_has_it_shortened() -> None:
    with _web_app() as address:
        _, entries = _acted(address, FOLLOW, FOLLOW)

    assert WebApp.asked == ["POST /shorten", "GET /abc", "GET /abc"]
    assert entries == [
        {"topic": "clicks", "id": "e2", "kind": "redirect"},
        {"topic": "clicks", "id": "e3", "kind": "redirect"},
    ]


def test_what_was_confirmed_is_written_down_by_topic() -> None:
    with _web_app() as address:
        _, entries = _acted(
            address, Relay(event_id="r1", body=b"x", kind="not JSON"), Decide(link="somewhere", spam=True)
        )

    assert entries == [
        {"topic": "clicks", "id": "r1", "kind": "not JSON"},
        {"topic": "spam_api", "id": "e2", "kind": "decision"},
    ]


def test_a_visitor_tries_again_while_the_web_app_is_in_trouble() -> None:
    with _web_app(failures=2) as address:
        ledger, entries = _acted(address, Relay(event_id="r1", body=b"x", kind="heartbeat"))

    assert WebApp.asked == ["POST /clicks"] * 3
    assert (ledger.answered, ledger.failed, len(entries)) == (1, 0, 1)


def test_a_refused_request_is_not_tried_again() -> None:
    with _web_app() as address:
        codes = {"k": "abc"}
        ledger = Ledger(io.StringIO())
        visitor = Visitor(address, ledger, codes)
        WebApp.failures = 0
        visitor.act(Relay(event_id="r", body=b"", kind="heartbeat"))
        visitor.close()

    assert ledger.answered == 1


def test_visitors_come_until_they_are_stopped() -> None:
    file, stopping = io.StringIO(), threading.Event()
    ledger = Ledger(file, enough=lambda count: stopping.set() if count >= 20 else None)

    with _web_app() as address:
        drive(address, ledger, Traffic(random.Random(1)), rate_per_s=2_000, stopping=stopping)

    assert ledger.answered == len(file.getvalue().splitlines()) >= 20
    assert ledger.failed == 0
