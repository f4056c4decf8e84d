"""nsqauthd as a process: its start and stop, its reading of the rules, and the nsqd that it was made for."""

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 20
RULES = """
[[rule]]
secret = "web-secret"
identity = "web"
topics = ["^clicks$"]
channels = ["^archive$"]
permissions = ["publish", "subscribe"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "millstream.cli.nsqauthd", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


class Authd:
    """A running nsqauthd, and the lines of its log as they come."""

    def __init__(self, *argv: str) -> None:
        command = [sys.executable, "-m", "millstream.cli.nsqauthd", "-http-address=127.0.0.1:0", *argv]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self._logged = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._logged:
                    self.log.append(line.rstrip("\n"))
                    self._logged.notify_all()

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """The line of this form for the n-th time, now or later."""

        def found() -> list[re.Match[str]]:
            return [match for line in self.log if (match := re.search(pattern, line))]

        with self._logged:
            assert self._logged.wait_for(lambda: len(found()) >= count, DEADLINE_S), self.log
            return found()[count - 1]

    @property
    def address(self) -> str:
        return self.wait_for(r"INFO: http\.listening address=(127\.0\.0\.1:\d+)$")[1]

    def ask(self, secret: str) -> tuple[int, Any]:
        url = f"http://{self.address}/auth?common_name=&remote_ip=127.0.0.1&secret={secret}&tls=false"
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return status


@contextmanager
def running(*argv: str) -> Iterator[Authd]:
    authd = Authd(*argv)
    try:
        yield authd
    finally:
        if authd.process.poll() is None:
            authd.end(signal.SIGKILL)
    assert not any("Traceback" in line for line in authd.log), authd.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", ["asyncio", ""])
@pytest.mark.shows("program nsqauthd", beyond="an auth server that decides by rules in a file")
@pytest.mark.shows("nsqauthd --http-address", "nsqauthd --rules")
@pytest.mark.shows("nsqauthd GET /auth", beyond="what a client may do, as nsqd asks by GET")
def test_it_answers_until_a_signal_ends_it_with_status_0(
    path: Path, number: signal.Signals, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_LOOP", loop)
    with running(f"--rules={path}") as authd:
        status, answer = authd.ask("web-secret")
        assert authd.ask("wrong-secret") == (403, {"message": "NOT_AUTHORIZED"})

        assert authd.end(number) == 0

    assert (status, answer["identity"]) == (200, "web")
    assert "nsqauthd.stopped" in authd.log[-1]
    assert not any("secret" in line for line in authd.log)


def replace(path: Path, text: str) -> None:
    """Put a whole file in the place of another."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


@pytest.mark.shows("nsqauthd --reload-interval")
def test_it_reads_the_rules_again_when_they_change_and_on_sighup(path: Path) -> None:
    with running(f"--rules={path}", "--reload-interval=50ms") as authd:
        assert authd.ask("new")[0] == 403

        replace(path, RULES.replace("web-secret", "new"))
        authd.wait_for(r"INFO: rules\.loaded ", 2)
        assert authd.ask("new")[0] == 200

        replace(path, "[[rule]]")
        refused = authd.wait_for(r"ERROR: rules\.refused error=\"(.*)\" still_in_force=1$")
        assert "rule 1 has no condition" in refused[1]
        assert authd.ask("new")[0] == 200

        authd.process.send_signal(signal.SIGHUP)
        authd.wait_for(r"ERROR: rules\.refused ", 2)
        assert authd.ask("new")[0] == 200

        replace(path, RULES)
        authd.wait_for(r"INFO: rules\.loaded ", 3)
        assert authd.ask("web-secret")[0] == 200


@pytest.mark.parametrize(
    ("argv", "status", "told"),
    [
        (["--secret=web-secret", "--topic=clicks"], 0, 'publish to "clicks": yes, by rule 1'),
        (
            ["-secret", "web-secret", "-topic", "clicks", "-channel", "archive"],
            0,
            'subscribe to "clicks" "archive": yes',
        ),
        (["--secret=web-secret", "--topic=clicks", "--channel=x"], 1, 'subscribe to "clicks" "x": no'),
        (["--secret=web-secret"], 0, 'rule 1 holds as "web", for 3600 s'),
        (["--secret=x", "--topic=clicks"], 1, "rule 1 does not hold: secret"),
    ],
)
@pytest.mark.shows("nsqauthd --check", "nsqauthd --secret", "nsqauthd --topic", "nsqauthd --channel")
def test_a_check_explains_what_an_identity_may_do(path: Path, argv: list[str], status: int, told: str) -> None:
    ended = run(f"--rules={path}", "--check", *argv)

    assert (ended.returncode, ended.stderr) == (status, "")
    assert told in ended.stdout


def test_broken_rules_a_missing_file_and_a_taken_port_end_it_with_status_1(path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text(RULES.replace("^clicks$", "(a+)+"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = [
            run(f"--rules={broken}", "--http-address=127.0.0.1:0"),
            run(f"--rules={tmp_path / 'none'}", "--http-address=127.0.0.1:0"),
            run(f"--rules={path}", f"--http-address={address}"),
            run("--http-address=127.0.0.1:0"),
        ]

    assert [one.returncode for one in ended] == [1] * 4
    assert "rule 1: nsqd would refuse it" in ended[0].stderr
    assert "No such file" in ended[1].stderr
    assert f"listen ({address}) failed" in ended[2].stderr
    assert "--rules is missing" in ended[3].stderr
    assert not any("Traceback" in one.stderr for one in ended)


@pytest.mark.shows("nsqauthd --max-connections")
def test_a_connection_too_many_is_refused(path: Path) -> None:
    with running(f"--rules={path}", "--max-connections=1") as authd:
        host, _, port = authd.address.partition(":")
        with socket.create_connection((host, int(port)), DEADLINE_S) as first, first.makefile("rb") as answers:
            first.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n"

            with socket.create_connection((host, int(port)), DEADLINE_S) as second, second.makefile("rb") as refusal:
                assert refusal.readline().startswith(b"HTTP/1.1 503 ")


def test_an_unknown_flag_ends_it_with_status_2() -> None:
    ended = run("--no-such-flag")

    assert ended.returncode == 2
    assert "reload-interval" in ended.stderr


# --------------------------------------------------------------------------------------------------- the original nsqd


def said(port: int, *commands: bytes) -> list[bytes]:
    """What a client of nsqd is told, one frame for each command."""
    frames = []
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection, connection.makefile("rb") as stream:
        connection.sendall(b"  V2")
        for command in commands:
            connection.sendall(command)
            frames.append(stream.read(struct.unpack(">i", stream.read(4))[0])[4:])
    return frames


def sized(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def auth(secret: bytes) -> bytes:
    return b"AUTH\n" + sized(secret)


@pytest.fixture(params=["get", "post"])
def peer_port(request: pytest.FixtureRequest, path: Path, tmp_path: Path, original_nsqd: str) -> Iterator[int]:
    """The TCP port of an original nsqd that asks our nsqauthd, by either method as far as it knows both."""
    usage = subprocess.run(
        [original_nsqd, "-h"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    ).stderr
    method = [f"--auth-http-request-method={request.param}"] if request.param != "get" else []
    if method and "auth-http-request-method" not in usage:
        pytest.skip("this nsqd only asks by GET")
    with running(f"--rules={path}") as authd:
        flags = ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", f"--data-path={tmp_path}", *method]
        command = [original_nsqd, *flags, f"--auth-http-address={authd.address}"]
        peer = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            assert peer.stderr is not None
            port = 0
            while not port:
                line = peer.stderr.readline()
                assert line, "nsqd ended before it listened"
                if found := re.search(r"TCP: listening on 127\.0\.0\.1:(\d+)$", line):
                    port = int(found[1])
            yield port
        finally:
            peer.kill()
            peer.communicate()


@pytest.mark.timeout(400)  # the first one that needs the original builds it
def test_the_original_nsqd_takes_the_answers(peer_port: int) -> None:
    known = auth(b"web-secret")

    told, published = said(peer_port, known, b"PUB clicks\n" + sized(b"x"))
    assert json.loads(told) == {"identity": "web", "identity_url": "", "permission_count": 2}
    assert published == b"OK"
    assert said(peer_port, known, b"SUB clicks archive\n")[1] == b"OK"
    assert said(peer_port, known, b"SUB clicks other\n")[1].startswith(b"E_UNAUTHORIZED ")
    assert said(peer_port, known, b"PUB views\n" + sized(b"x"))[1].startswith(b"E_UNAUTHORIZED ")
    assert said(peer_port, auth(b"wrong")) == [b"E_AUTH_FAILED AUTH failed"]
