"""nsqlookupd as a process: its start and stop, its log, and the nsqd that it was made for."""

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from millstream.base.units import Address
from millstream.client import ReaderOptions
from millstream.client.discovery import Discovery

DEADLINE_S = 20
ANY_PORTS = ("-tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
IDENTITY = {"broadcast_address": "h", "tcp_port": 4150, "http_port": 4151, "version": "1.3.0"}


@dataclass
class Lookupd:
    process: subprocess.Popen[str]
    tcp_port: int
    http_port: int

    def get(self, path: str) -> Any:
        return json.loads(self.read(path))

    def read(self, path: str, **headers: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            content: bytes = answer.read()
            return content

    def await_log(self, event: str) -> str:
        """The next line of the log that has this event."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            if f": {event}" in line:
                return line
        raise AssertionError(f"nsqlookupd ended before it logged {event}")

    def post(self, path: str) -> None:
        _post(f"http://127.0.0.1:{self.http_port}{path}")


def start(*argv: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "millstream.cli.nsqlookupd", *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(*argv: str) -> Iterator[Lookupd]:
    process = start(*ANY_PORTS, "--broadcast-address=127.0.0.1", *argv)
    try:
        ports: dict[str, int] = {}
        assert process.stderr is not None
        while len(ports) < 2:
            line = process.stderr.readline()
            assert line, "nsqlookupd ended before it listened"
            if found := re.search(r"INFO: (tcp|http)\.listening address=127\.0\.0\.1:(\d+)$", line):
                ports[found[1]] = int(found[2])
        yield Lookupd(process, ports["tcp"], ports["http"])
    finally:
        process.kill()
        process.communicate()


def identify(lookupd: Lookupd, *lines: bytes) -> socket.socket:
    """An nsqd that says these lines and waits for the replies."""
    body = json.dumps(IDENTITY).encode()
    connection = socket.create_connection(("127.0.0.1", lookupd.tcp_port), DEADLINE_S)
    connection.sendall(b"  V1IDENTIFY\n" + len(body).to_bytes(4, "big") + body + b"".join(lines))
    with connection.makefile("rb") as replies:
        for _ in range(1 + len(lines)):
            size = int.from_bytes(replies.read(4), "big")
            assert not replies.read(size).startswith(b"E_")
    return connection


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", ["asyncio", ""])
@pytest.mark.shows("nsqlookupd: SIGTERM and SIGINT")
def test_a_signal_ends_it_with_status_0(number: signal.Signals, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_LOOP", loop)
    with running() as lookupd, identify(lookupd, b"REGISTER t\n"):
        lookupd.process.send_signal(number)
        _, log = lookupd.process.communicate(timeout=DEADLINE_S)

    assert lookupd.process.returncode == 0
    assert "nsqlookupd.stopped" in log
    assert "Traceback" not in log


@pytest.mark.shows("nsqlookupd --log-prefix")
@pytest.mark.shows("nsqlookupd: lines of the log", better="in NSQ's form, with an event and its fields as text")
def test_lines_of_the_log_have_the_form_of_nsq() -> None:
    process = start(*ANY_PORTS, "--log-prefix=[here] ")
    assert process.stderr is not None
    line = process.stderr.readline()
    process.kill()
    process.communicate()

    assert re.match(r"\[here\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} INFO: nsqlookupd\.starting ", line)


@pytest.mark.shows(
    "nsqlookupd: a start that fails ends with status 1", "nsqlookupd --tcp-address", "nsqlookupd --http-address"
)
def test_a_taken_port_ends_it_with_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = start(f"-tcp-address={address}", "-http-address=127.0.0.1:0")
        _, log = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert f"listen ({address}) failed - " in log
    assert "Traceback" not in log


@pytest.mark.shows("all: flags: an unknown one, or a value of no use, ends it with status 2 and the usage")
def test_an_unknown_flag_ends_it_with_status_2() -> None:
    process = start("--no-such-flag")
    _, usage = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 2
    assert "no-such-flag" in usage
    assert "tombstone-lifetime" in usage


def test_an_unknown_log_level_ends_it_with_status_1() -> None:
    process = start(*ANY_PORTS, "--log-level=loud")
    _, log = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert "loud" in log
    assert "Traceback" not in log


@pytest.mark.shows("program nsqlookupd", "nsqlookupd --version")
def test_it_is_found_on_the_path_and_says_its_version() -> None:
    program = shutil.which("nsqlookupd", path=str(Path(sys.executable).parent))
    assert program is not None
    done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert done.returncode == 0
    assert re.fullmatch(r"nsqlookupd v1\.3\.0 \(built w/Python [\d.]+\)\n", done.stdout)


@pytest.mark.shows("nsqlookupd --log-level")
def test_nothing_below_its_level_is_in_the_log() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(f"-tcp-address=127.0.0.1:{taken.getsockname()[1]}", "--log-level=FATAL")
        _, log = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert "FATAL: " in log
    assert not re.search(r"INFO|WARNING|ERROR", log)


@pytest.mark.shows("nsqlookupd --broadcast-address", "nsqlookupd --verbose", "nsqlookupd IDENTIFY")
def test_an_nsqd_is_told_the_address_that_is_broadcast() -> None:
    body = json.dumps(IDENTITY).encode()
    with (
        running("--broadcast-address=mill.example", "--verbose") as lookupd,
        socket.create_connection(("127.0.0.1", lookupd.tcp_port), DEADLINE_S) as connection,
        connection.makefile("rb") as replies,
    ):
        connection.sendall(b"  V1IDENTIFY\n" + len(body).to_bytes(4, "big") + body)
        reply = json.loads(replies.read(int.from_bytes(replies.read(4), "big")))

    assert reply["broadcast_address"] == "mill.example"
    assert (reply["tcp_port"], reply["http_port"]) == (lookupd.tcp_port, lookupd.http_port)


@pytest.mark.shows(
    "nsqlookupd: a registered topic or channel is found", "nsqlookupd: an nsqd that unregisters, or goes"
)
def test_what_is_registered_is_found_and_what_has_gone_is_not() -> None:
    with running() as lookupd:
        with identify(lookupd, b"REGISTER t c\n"):
            found = lookupd.get("/lookup?topic=t")
            assert found["channels"] == ["c"]
            assert [one["broadcast_address"] for one in found["producers"]] == ["h"]
            lookupd.post("/topic/delete?topic=*")
            assert lookupd.get("/topics") == {"topics": ["t"]}

        _wait_until(lambda: lookupd.get("/lookup?topic=t")["producers"] == [])


def test_garbage_on_either_port_leaves_it_serving() -> None:
    with running() as lookupd:
        for port in (lookupd.tcp_port, lookupd.http_port):
            for garbage in (
                b"\0" * 70_000,
                b"  V1IDENTIFY\n\x80\0\0\0",
                b"  V1" + b"A" * 70_000,
                b"GET / HTTP/9.9\r\n\r\n",
            ):
                with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
                    try:
                        connection.sendall(garbage)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65_536):
                            pass
                    except ConnectionError:  # a close with input unread is a reset
                        pass
        with identify(lookupd, b"REGISTER t\n"):
            assert lookupd.get("/topics") == {"topics": ["t"]}


@pytest.mark.shows("nsqlookupd --snapshot-path")
@pytest.mark.shows("nsqlookupd: the state is lost with the process", better="unless --snapshot-path keeps it")
def test_topics_are_found_at_once_after_it_was_killed_and_started_again(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    flags = (f"--snapshot-path={path}", "--log-level=debug")
    with running(*flags) as lookupd, identify(lookupd, b"REGISTER t c\n", b"REGISTER u\n"):
        lookupd.await_log("snapshot.written")
        _wait_until(lambda: b'"u"' in path.read_bytes())
        lookupd.process.kill()

        with running(*flags) as again:
            assert [one["broadcast_address"] for one in again.get("/lookup?topic=t")["producers"]] == ["h"]
            assert again.get("/channels?topic=t") == {"channels": ["c"]}
            with identify(again, b"REGISTER t c\n", b"PING\n"):
                assert len(again.get("/nodes")["producers"]) == 1
                assert again.get("/lookup?topic=u")["producers"] == []
            _wait_until(lambda: again.get("/lookup?topic=t")["producers"] == [])


def test_a_torn_snapshot_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    with running(f"--snapshot-path={path}") as lookupd, identify(lookupd, b"REGISTER t c\n"):
        lookupd.process.terminate()
        lookupd.process.wait(DEADLINE_S)
    path.write_bytes(path.read_bytes()[:-10])

    with running(f"--snapshot-path={path}") as lookupd:
        assert lookupd.get("/topics") == {"topics": []}
        with identify(lookupd, b"REGISTER u\n"):
            lookupd.process.terminate()
            assert lookupd.process.wait(DEADLINE_S) == 0

    assert b'"u"' in path.read_bytes()


@pytest.mark.shows(
    "nsqlookupd: a lookup may wait for a change, with wait and known", beyond="the answer comes when producers change"
)
def test_a_lookup_waits_for_a_topic_that_nobody_has_yet() -> None:
    with running() as lookupd, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lookupd.get, "/lookup?topic=t&wait=60s")
        _wait_until(lambda: b"nsqlookupd_lookup_waiters 1\n" in lookupd.read("/metrics"))
        with identify(lookupd, b"REGISTER t c\n"):
            assert [one["broadcast_address"] for one in waiting.result(DEADLINE_S)["producers"]] == ["h"]


def test_a_reader_finds_a_new_nsqd_long_before_its_next_poll() -> None:
    async def find(address: str, register: Callable[[], socket.socket]) -> frozenset[Address]:
        options = ReaderOptions(lookupd_poll_interval_ms=300_000)
        discovery = Discovery("t", [f"http://{address}/lookup"], options, lambda: 0.0)
        found: asyncio.Queue[frozenset[Address]] = asyncio.Queue()
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            task = group.create_task(discovery.run(found.put_nowait))
            # The poll, and the first answer of the watch that it starts.
            assert [await found.get(), await found.get()] == [frozenset(), frozenset()]
            connection = await asyncio.to_thread(register)
            known = await found.get()
            task.cancel()
        connection.close()
        return known

    with running() as lookupd:
        known = asyncio.run(find(f"127.0.0.1:{lookupd.http_port}", lambda: identify(lookupd, b"REGISTER t\n")))

    assert known == {Address("h", 4150)}


@pytest.mark.shows("nsqlookupd --config")
@pytest.mark.shows("nsqlookupd: SIGHUP", better="reads the configuration file again; NSQ has no such thing")
def test_sighup_takes_up_the_file_and_drops_no_connection(tmp_path: Path) -> None:
    path = tmp_path / "nsqlookupd.cfg"
    path.write_text('inactive_producer_timeout = "5m"\n')
    with running(f"--config={path}") as lookupd, identify(lookupd, b"REGISTER t\n") as connection:
        assert len(lookupd.get("/nodes")["producers"]) == 1

        path.write_text('inactive_producer_timeout = "1ms"\nlog_level = "debug"\nmax_connections = 7\n')
        lookupd.process.send_signal(signal.SIGHUP)
        line = lookupd.await_log("reload.done")
        assert "--log-level info -> debug" in line
        assert "--inactive-producer-timeout 5m0s -> 1ms" in line
        assert "needs_restart=--max-connections" in line
        _wait_until(lambda: lookupd.get("/nodes") == {"producers": []})

        path.write_text('log_level = "loud"\n')
        lookupd.process.send_signal(signal.SIGHUP)
        lookupd.await_log("reload.failed")
        connection.sendall(b"PING\n")
        assert connection.recv(6) == b"\0\0\0\x02OK"


@pytest.mark.shows("nsqlookupd --http-auth-token-file")
def test_http_wants_a_token_and_sighup_changes_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("first\n")
    with running(f"--http-auth-token-file={path}") as lookupd:
        assert lookupd.read("/ping") == b"OK"
        assert lookupd.read("/topics", Authorization="Bearer first") == b'{"topics":[]}'
        with pytest.raises(urllib.error.HTTPError) as refused:
            lookupd.read("/topics")
        with refused.value as answer:
            assert (answer.code, answer.read()) == (401, b'{"message":"UNAUTHORIZED"}')

        path.write_text("second\n")
        lookupd.process.send_signal(signal.SIGHUP)
        lookupd.await_log("reload.done")
        assert lookupd.read("/topics", Authorization="Bearer second") == b'{"topics":[]}'
        with pytest.raises(urllib.error.HTTPError) as refused:
            lookupd.read("/topics", Authorization="Bearer first")
        refused.value.close()


def test_a_missing_token_file_ends_it_with_status_1(tmp_path: Path) -> None:
    process = start(*ANY_PORTS, f"--http-auth-token-file={tmp_path / 'none'}")
    _, log = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert "failed to read token file" in log
    assert "Traceback" not in log


@pytest.mark.timeout(400)  # the first one that needs the original builds it
@pytest.mark.shows("nsqlookupd: original and own daemons in one cluster")
def test_the_original_nsqd_registers_takes_channels_over_and_leaves(tmp_path: Path, original_nsqd: str) -> None:
    with running() as lookupd:
        lookupd.post("/channel/create?topic=t&channel=from_elsewhere")
        with _peer_nsqd(original_nsqd, lookupd, tmp_path) as (nsqd, port):
            # That it passes a change on shows that it has read the reply to IDENTIFY, without which it cannot ask.
            for name in ("first", "second"):
                _post(f"http://127.0.0.1:{port}/topic/create?topic={name}")
                _wait_until(lambda name=name: name in lookupd.get("/topics")["topics"])

            url = f"http://127.0.0.1:{port}/pub?topic=t"
            with urllib.request.urlopen(url, data=b"hello", timeout=DEADLINE_S) as answer:
                assert answer.read() == b"OK"

            _wait_until(lambda: [one["http_port"] for one in lookupd.get("/lookup?topic=t")["producers"]] == [port])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats?format=json", timeout=DEADLINE_S) as answer:
                topics = {topic["topic_name"]: topic for topic in json.loads(answer.read())["topics"]}
            assert [channel["channel_name"] for channel in topics["t"]["channels"]] == ["from_elsewhere"]
            nsqd.terminate()
            nsqd.communicate(timeout=DEADLINE_S)

            _wait_until(lambda: lookupd.get("/nodes") == {"producers": []})
            assert "t" in lookupd.get("/topics")["topics"]


@contextmanager
def _peer_nsqd(program: str, lookupd: Lookupd, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    argv = [
        program,
        "--tcp-address=127.0.0.1:0",
        "--http-address=127.0.0.1:0",
        "--broadcast-address=127.0.0.1",
        f"--data-path={folder}",
        f"--lookupd-tcp-address=127.0.0.1:{lookupd.tcp_port}",
    ]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert process.stderr is not None
        port = 0
        while not port:
            line = process.stderr.readline()
            assert line, "the original nsqd ended before it listened"
            if found := re.search(r"HTTP: listening on 127\.0\.0\.1:(\d+)", line):
                port = int(found[1])
        yield process, port
    finally:
        process.kill()
        process.communicate()


def _post(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=DEADLINE_S) as answer:
        assert answer.status == 200


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
