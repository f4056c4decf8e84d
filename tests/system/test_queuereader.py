"""A service as it is written by its users: scripts in a folder, run as processes, with real daemons around them.

`MILLSTREAM_TEST_NSQD` and `MILLSTREAM_TEST_NSQLOOKUPD` name other daemons to test with; the default is ours.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from system_ports import free_port

DEADLINE_S: Final = 20
NSQD: Final = shlex.split(os.environ.get("MILLSTREAM_TEST_NSQD", "")) or [sys.executable, "-m", "millstream.cli.nsqd"]
NSQLOOKUPD: Final = shlex.split(os.environ.get("MILLSTREAM_TEST_NSQLOOKUPD", "")) or [
    sys.executable,
    "-m",
    "millstream.cli.nsqlookupd",
]

SPAM_METRICS: Final = """
from millstream.queuereader import Reader, logatron_client, options, run, settings, statsd

def validate_message(message):
    return message.get("o") in ("+", "-") and "l" in message

def count_spam_actions(message, nsq_msg):
    key = "spam.%s" % ("added" if message["o"] == "+" else "removed")
    statsd.incr(key)
    return nsq_msg.finish()

if __name__ == "__main__":
    options.parse_command_line()
    logatron_client.setup()
    Reader(
        topic=settings.get("nsqd_output_topic"),
        channel="queuereader_spam_metrics",
        validate_method=validate_message,
        message_handler=count_spam_actions,
        lookupd_http_addresses=settings.get("nsq_lookupd"),
    )
    run()
"""

SPAM: Final = """
import msgspec
from millstream.queuereader import App

class Click(msgspec.Struct):
    l: str

class SpamDecision(msgspec.Struct):
    o: str
    l: str

app = App("spam")

@app.reader("clicks", "spam", publish_to="spam_api")
async def judge(click: Click) -> SpamDecision | None:
    return SpamDecision("+", click.l) if "bad" in click.l else None

if __name__ == "__main__":
    app.run()
"""


def fetch(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data=body, timeout=DEADLINE_S) as answer:
        return bytes(answer.read())


def until(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again: the state of other processes can only be polled."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        fetch(url)
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


@contextmanager
def process(*command: str, cwd: Path, stderr: Path) -> Iterator[subprocess.Popen[bytes]]:
    with stderr.open("wb") as log:
        started = subprocess.Popen(command, cwd=cwd, stderr=log, stdout=log)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


class System:
    """One nsqd, one nsqlookupd, a statsd, and the folder of a service."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.tcp_port, self.http_port = free_port(), free_port()
        lookup_tcp, lookup_http = free_port(), free_port()
        self.statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.statsd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.statsd.bind(("127.0.0.1", 0))
        self.statsd.setblocking(False)
        stack.callback(self.statsd.close)
        (folder / "spam").mkdir()
        (folder / "data").mkdir()
        (folder / "spam" / "settings.toml").write_text(
            f'nsqd_output_topic = "spam_api"\nnsq_lookupd = ["127.0.0.1:{lookup_http}"]\n'
            f'nsqd_tcp_address = "127.0.0.1:{self.tcp_port}"\n'
            f'statsd_host = "127.0.0.1"\nstatsd_port = {self.statsd.getsockname()[1]}\n'
        )
        self._start(
            "nsqlookupd",
            *NSQLOOKUPD,
            f"--tcp-address=127.0.0.1:{lookup_tcp}",
            f"--http-address=127.0.0.1:{lookup_http}",
            "--broadcast-address=127.0.0.1",
        )
        until(lambda: answers(f"http://127.0.0.1:{lookup_http}/ping"), "nsqlookupd answers")
        self._nsqd_command = (
            *NSQD,
            f"--tcp-address=127.0.0.1:{self.tcp_port}",
            f"--http-address=127.0.0.1:{self.http_port}",
            "--broadcast-address=127.0.0.1",
            f"--lookupd-tcp-address=127.0.0.1:{lookup_tcp}",
            f"--data-path={folder / 'data'}",
        )
        self._nsqd = self._start_nsqd()

    def restart_nsqd(self) -> None:
        self._nsqd.kill()
        self._nsqd.wait()
        self._nsqd = self._start_nsqd()

    def _start_nsqd(self) -> subprocess.Popen[bytes]:
        started = self._start("nsqd", *self._nsqd_command)

        def is_up() -> bool:
            assert started.poll() is None, self.log("nsqd")
            return answers(f"http://127.0.0.1:{self.http_port}/ping")

        until(is_up, "nsqd answers")
        return started

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        cwd = self.folder / "spam"
        return self._stack.enter_context(process(*command, cwd=cwd, stderr=self.folder / f"{name}.log"))

    def service(self, name: str, source: str, *flags: str) -> subprocess.Popen[bytes]:
        (self.folder / "spam" / f"{name}.py").write_text(source)
        return self._start(name, sys.executable, f"{name}.py", *flags)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def publish(self, topic: str, *bodies: bytes) -> None:
        fetch(f"http://127.0.0.1:{self.http_port}/mpub?topic={topic}", b"\n".join(bodies))

    def channel(self, topic: str, name: str) -> dict[str, Any]:
        stats = json.loads(fetch(f"http://127.0.0.1:{self.http_port}/stats?format=json&topic={topic}"))
        found = [c for t in stats["topics"] for c in t["channels"] if c["channel_name"] == name]
        return found[0] if found else {"message_count": 0, "depth": 0, "in_flight_count": 0, "clients": []}

    def is_done(self, topic: str, name: str, count: int) -> bool:
        channel = self.channel(topic, name)
        return bool(channel["message_count"] >= count and not channel["depth"] and not channel["in_flight_count"])

    def counters(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        while True:
            try:
                line = self.statsd.recv(65_536).decode()
            except BlockingIOError:
                return counted
            key, _, value = line.removesuffix("|c").partition(":")
            if line.endswith("|c"):
                counted[key] = counted.get(key, 0) + int(value)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with ExitStack() as stack:
        yield System(tmp_path, stack)


def stop(service: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    service.send_signal(number)
    return service.wait(DEADLINE_S)


def test_the_listing_counts_what_is_valid_and_nothing_else(system: System) -> None:
    system.publish("spam_api", *[b'{"o":"+","l":"a"}'] * 60, *[b'{"o":"-","l":"a"}'] * 40, b"junk", b"[]", b'{"o":"?"}')

    metrics = system.service("queuereader_spam_metrics", SPAM_METRICS)
    until(lambda: system.is_done("spam_api", "queuereader_spam_metrics", 103), "everything is finished")

    assert stop(metrics) == 0
    counters = system.counters()
    assert (counters["spam.added"], counters["spam.removed"]) == (60, 40)
    assert counters["spam.queuereader_spam_metrics.finished"] == 100
    assert counters["spam.queuereader_spam_metrics.rejected"] == 3
    log = system.log("queuereader_spam_metrics")
    assert log.startswith("[spam] ")
    assert log.count("message.rejected") == 2, "at debug, what the validator refuses is not logged"
    assert "Traceback" not in log


def test_the_decorator_form_emits_events_to_the_local_nsqd(system: System) -> None:
    system.publish("clicks", b'{"l":"bad1"}', b'{"l":"fine"}', b'{"l":"bad2"}', b'{"l":5}')
    fetch(f"http://127.0.0.1:{system.http_port}/topic/create?topic=spam_api", b"")

    spam = system.service("queuereader_spam", SPAM)
    metrics = system.service("queuereader_spam_metrics", SPAM_METRICS)
    until(lambda: system.is_done("clicks", "spam", 4), "every click is judged")
    until(lambda: system.is_done("spam_api", "queuereader_spam_metrics", 2), "every decision is counted")

    assert stop(spam, signal.SIGINT) == 0
    assert stop(metrics) == 0
    assert system.counters()["spam.added"] == 2


def test_logs_are_events_on_a_topic_too(system: System) -> None:
    fetch(f"http://127.0.0.1:{system.http_port}/topic/create?topic=logs", b"")
    fetch(f"http://127.0.0.1:{system.http_port}/channel/create?topic=logs&channel=archive", b"")
    system.publish("spam_api", b"junk")

    metrics = system.service("queuereader_spam_metrics", SPAM_METRICS, "--logatron_topic=logs")
    until(lambda: system.is_done("spam_api", "queuereader_spam_metrics", 1), "the message is rejected")

    assert stop(metrics) == 0
    assert system.channel("logs", "archive")["message_count"] >= 2


def test_a_handler_that_fails_is_tried_again_and_says_why_once(system: System) -> None:
    source = (
        SPAM_METRICS.replace('key = "spam.', 'if nsq_msg.attempts == 1: raise OSError("no database")\n    key = "spam.')
        .replace("lookupd_http", "options=OPTIONS,\n        lookupd_http")
        .replace(
            "def validate",
            "from millstream.client import ReaderOptions\nfrom millstream.queuereader import HandlerOptions\n"
            "OPTIONS = HandlerOptions(client=ReaderOptions(default_requeue_delay_ms=0, backoff_multiplier_ms=10))\n"
            "def validate",
            1,
        )
    )
    system.publish("spam_api", b'{"o":"+","l":"a"}')

    metrics = system.service("queuereader_spam_metrics", source)
    until(lambda: "spam.added" in system.counters(), "the second attempt succeeds")

    assert stop(metrics) == 0
    log = system.log("queuereader_spam_metrics")
    assert log.count("Traceback") == log.count("handler.failed") == 1
    assert "no database" in log


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["--no_such_flag=1"], 2, "usage:"),
        (["--settings=nowhere.toml"], 1, "nowhere.toml"),
        (["--help"], 0, "--statsd_host"),
    ],
)
def test_flags_of_no_use_end_the_service_with_a_word(system: System, flags: list[str], code: int, text: str) -> None:
    metrics = system.service("queuereader_spam_metrics", SPAM_METRICS, *flags)

    assert metrics.wait(DEADLINE_S) == code
    assert text in system.log("queuereader_spam_metrics")


def test_a_missing_setting_names_the_file_and_the_fix(system: System) -> None:
    (system.folder / "spam" / "settings.toml").write_text("")

    metrics = system.service("queuereader_spam_metrics", SPAM_METRICS)

    assert metrics.wait(DEADLINE_S) == 1
    log = system.log("queuereader_spam_metrics")
    assert "setting 'nsqd_output_topic' is missing: add `nsqd_output_topic = ...` to " in log
    assert str(system.folder / "spam" / "settings.toml") in log


STUCK: Final = """
import logging
import threading
from millstream.queuereader import HandlerOptions, Reader, logatron_client, run, settings

def wait_forever(message, nsq_msg):
    logging.info("begun")
    threading.Event().wait()

logatron_client.setup()
Reader("clicks", "stuck", wait_forever, nsqd_tcp_addresses=settings.get("nsqd_tcp_address"),
       options=HandlerOptions(stop_timeout_ms=100))
run()
"""


def test_a_service_that_cannot_finish_in_time_gives_back_what_waits_and_says_so(system: System) -> None:
    system.publish("clicks", *[b"{}"] * 5)
    stuck = system.service("queuereader_stuck", STUCK)
    until(lambda: "begun" in system.log("queuereader_stuck"), "all are in hand")

    assert stop(stuck) == 1
    assert "reader.stop_timed_out reader=stuck requeued=4 left=1" in system.log("queuereader_stuck")
    # The one that was left comes back when the connection is lost; other nsqd may let it time out first.
    until(lambda: system.channel("clicks", "stuck")["depth"] >= 4, "what waited is back")


def test_a_second_signal_stops_at_once(system: System) -> None:
    system.publish("clicks", b"{}")
    stuck = system.service("queuereader_stuck", STUCK.replace("100", "600_000"))
    until(lambda: "begun" in system.log("queuereader_stuck"), "it is in hand")

    stuck.send_signal(signal.SIGINT)
    until(lambda: "service.stopping" in system.log("queuereader_stuck"), "the first signal is seen")

    assert stop(stuck, signal.SIGINT) == 1


def test_a_service_outlives_its_nsqd(system: System) -> None:
    system.publish("spam_api", *[b'{"o":"+","l":"a"}'] * 10)
    metrics = system.service("queuereader_spam_metrics", SPAM_METRICS)
    until(lambda: system.is_done("spam_api", "queuereader_spam_metrics", 10), "the first are counted")

    system.restart_nsqd()
    until(lambda: bool(system.channel("spam_api", "queuereader_spam_metrics")["clients"]), "the reader is back")
    system.publish("spam_api", *[b'{"o":"-","l":"a"}'] * 10)
    until(lambda: system.is_done("spam_api", "queuereader_spam_metrics", 10), "the others are counted")

    assert stop(metrics) == 0
    counters = system.counters()
    assert counters["spam.added"] >= 10
    assert counters["spam.removed"] == 10
