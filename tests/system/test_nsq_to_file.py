"""nsq_to_file as a process, beside an nsqd: what it archives, and what is left after signals, kills and full disks.

`MILLSTREAM_TEST_NSQD` may name another nsqd to test against.
"""

import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from system_ports import free_port

DEADLINE_S: Final = 20
NSQD: Final = os.environ.get("MILLSTREAM_TEST_NSQD", "")
TOPIC: Final = "clicks"
CHANNEL: Final = "archive"


def ask(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=DEADLINE_S) as answer:
        content: bytes = answer.read()
        return content


def answers(url: str, one: subprocess.Popen[str]) -> bool:
    """True when a daemon listens."""
    assert one.poll() is None, "the daemon ended before it answered"
    try:
        return ask(f"{url}/ping") == b"OK"
    except OSError:
        return False


class Nsqd:
    """An nsqd that answers over HTTP."""

    def __init__(self, tcp_port: int, http_port: int) -> None:
        self.tcp_address = f"127.0.0.1:{tcp_port}"
        self.http = f"http://127.0.0.1:{http_port}"

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        return ask(f"{self.http}{path}", body)

    def publish(self, bodies: list[bytes]) -> None:
        self.ask(f"/mpub?topic={TOPIC}", b"\n".join(bodies))

    def topic(self) -> dict[str, Any]:
        (topic,) = json.loads(self.ask(f"/stats?format=json&topic={TOPIC}&channel={CHANNEL}"))["topics"]
        return dict(topic)

    def channel(self) -> dict[str, Any]:
        (channel,) = self.topic()["channels"]
        return dict(channel)

    def is_drained(self) -> bool:
        """True when every message was finished. A new topic keeps its own until nsqlookupd named its channels."""
        topic = self.topic()
        (channel,) = topic["channels"]
        counts = [topic["depth"], *(channel[what] for what in ("depth", "in_flight_count", "deferred_count"))]
        return not any(counts)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"


@contextmanager
def process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process with its log in a pipe, killed at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as one:
        try:
            yield one
        finally:
            one.kill()


@contextmanager
def running_nsqd(folder: Path, *flags: str) -> Iterator[Nsqd]:
    folder.mkdir()
    nsqd = Nsqd(free_port(), free_port())
    command = [NSQD] if NSQD else [sys.executable, "-m", "millstream.cli.nsqd"]
    ports = [f"--tcp-address={nsqd.tcp_address}", f"--http-address={nsqd.http.removeprefix('http://')}"]
    rest = [f"--data-path={folder}", "--broadcast-address=127.0.0.1", "--log-level=error", *flags]
    with process([*command, *ports, *rest]) as daemon:
        until(lambda: answers(nsqd.http, daemon))
        nsqd.ask(f"/topic/create?topic={TOPIC}", b"")
        nsqd.ask(f"/channel/create?topic={TOPIC}&channel={CHANNEL}", b"")
        yield nsqd


@pytest.fixture
def nsqd(tmp_path: Path) -> Iterator[Nsqd]:
    with running_nsqd(tmp_path / "nsqd") as one:
        yield one


@pytest.fixture
def impatient_nsqd(tmp_path: Path) -> Iterator[Nsqd]:
    """An nsqd may keep what a dead reader held until it times out: with this one that is soon."""
    with running_nsqd(tmp_path / "nsqd", "--msg-timeout=1s") as one:
        yield one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def nsq_to_file(*flags: str) -> list[str]:
    return [sys.executable, "-m", "millstream.cli.nsq_to_file", *flags]


def archiving(nsqd: Nsqd, folder: Path, *flags: str) -> list[str]:
    return nsq_to_file(
        f"--topic={TOPIC}",
        f"--channel={CHANNEL}",
        f"--nsqd-tcp-address={nsqd.tcp_address}",
        f"--output-dir={folder}",
        "--sync-interval=100ms",
        "--skip-empty-files",
        *flags,
    )


def end(one: subprocess.Popen[str]) -> str:
    """Stop a process; its log."""
    one.send_signal(signal.SIGTERM)
    _, log = one.communicate(timeout=DEADLINE_S)
    assert one.returncode == 0, log
    return log


def whole_members(path: Path) -> bytes:
    """What is in a file up to a torn member, which can only be the last."""
    content, rest = b"", path.read_bytes()
    while rest:
        member = zlib.decompressobj(31)
        plain = member.decompress(rest)
        if not member.eof:
            break
        content, rest = content + plain, member.unused_data
    return content


def archived(folder: Path) -> Counter[bytes]:
    lines: Counter[bytes] = Counter()
    for path in folder.iterdir():
        lines.update((whole_members(path) if path.suffix == ".gz" else path.read_bytes()).splitlines())
    return lines


def events(first: int, count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(first, first + count)]


def noise(count: int, *, first: int = 0) -> list[bytes]:
    """Events that gzip cannot make small."""
    numbers = range(first, first + count)
    return [
        b'{"n":%d,"noise":"%s"}' % (number, random.Random(number).randbytes(400).hex().encode()) for number in numbers
    ]


@pytest.mark.parametrize("gzip", ["--gzip", "--gzip=false"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.shows(
    "nsq_to_file --topic",
    "nsq_to_file --channel",
    "nsq_to_file --nsqd-tcp-address",
    "nsq_to_file --output-dir",
    "nsq_to_file --gzip",
    "nsq_to_file: a record is the body and a newline",
    "nsq_to_file: HUP, INT and TERM",
    "nsq_to_file: names of files",
)
def test_every_message_is_a_line_and_term_ends_it_with_status_0(nsqd: Nsqd, folder: Path, gzip: str, loop: str) -> None:
    nsqd.publish(events(0, 1_000))
    with process(archiving(nsqd, folder, gzip), env={**os.environ, "MILLSTREAM_LOOP": loop}) as one:
        until(nsqd.is_drained)
        nsqd.publish(events(1_000, 10))
        until(nsqd.is_drained)
        log = end(one)

    assert archived(folder) == Counter(events(0, 1_010))
    assert "Traceback" not in log
    (path,) = folder.iterdir()
    assert re.fullmatch(r"clicks\.[^.]+(-000000)?\.\d{4}-\d\d-\d\d_\d\d\.log(\.gz)?", path.name)


def test_what_is_held_at_term_is_written_and_finished(nsqd: Nsqd, folder: Path) -> None:
    nsqd.publish(events(0, 5))
    with process(archiving(nsqd, folder, "--sync-interval=1h")) as one:
        until(lambda: folder.exists() and archived(folder).total() == 5)
        held = nsqd.channel()["in_flight_count"]
        end(one)

    assert held == 5
    assert nsqd.is_drained()
    assert archived(folder) == Counter(events(0, 5))


@pytest.mark.shows("nsq_to_file: HUP, INT and TERM", "nsq_to_file: each sync ends a gzip member")
def test_hup_finishes_what_is_held_and_begins_a_new_file(nsqd: Nsqd, folder: Path) -> None:
    with process(archiving(nsqd, folder, "--gzip", "--sync-interval=1h")) as one:
        for number in range(2):
            nsqd.publish(events(number, 1))
            until(lambda: folder.exists() and len(list(folder.iterdir())) > number)  # noqa: B023 - called at once
            one.send_signal(signal.SIGHUP)
            until(nsqd.is_drained)
        end(one)

    assert [whole_members(path) for path in sorted(folder.iterdir())] == [b'{"n":0}\n', b'{"n":1}\n']


def test_killed_within_a_gzip_member_it_leaves_a_readable_archive(impatient_nsqd: Nsqd, folder: Path) -> None:
    impatient_nsqd.publish(noise(100))
    with process(archiving(impatient_nsqd, folder, "--gzip")) as one:
        until(impatient_nsqd.is_drained)
        safe = archived(folder)
        one.send_signal(signal.SIGTERM)
        one.wait()
    impatient_nsqd.publish(noise(100, first=100))
    with process(archiving(impatient_nsqd, folder, "--gzip", "--sync-interval=1h")) as another:
        until(lambda: any(path.stat().st_size for path in folder.glob("*-000001*")))
        another.kill()
        another.wait()
    left = archived(folder)
    with process(archiving(impatient_nsqd, folder, "--gzip")) as third:
        until(impatient_nsqd.is_drained)
        end(third)

    assert safe == left == Counter(noise(100))
    assert archived(folder) == Counter(noise(200))


def test_killed_at_any_moment_it_loses_nothing(impatient_nsqd: Nsqd, folder: Path) -> None:
    folder.mkdir()
    rounds, count, batch, held = 4, 4_000, 100, 500
    flags = ("--gzip", f"--max-in-flight={held}", "--sync-interval=5ms")
    for number in range(rounds):
        kill_at = count * (number + 2) // (rounds + 2) // batch * batch
        with process(archiving(impatient_nsqd, folder, *flags)) as one:
            for published in range(0, count, batch):
                if published == batch:
                    until(lambda files=number: len(list(folder.iterdir())) > files)  # type: ignore[misc]
                if published == kill_at:
                    one.kill()
                    one.wait()
                impatient_nsqd.publish(events(number * count + published, batch))
    with process(archiving(impatient_nsqd, folder, "--gzip", "--max-in-flight=2000")) as last:
        until(impatient_nsqd.is_drained)
        end(last)

    lines = archived(folder)
    assert set(lines) == set(events(0, rounds * count))
    # Only what was written and not yet finished comes twice.
    assert lines.total() - len(lines) <= rounds * held


@pytest.mark.shows("nsq_to_file: a disk that fails ends it with status 1")
def test_a_full_disk_ends_it_with_status_1_and_the_messages_stay(nsqd: Nsqd, folder: Path) -> None:
    folder.mkdir()
    (folder / "clicks.log").symlink_to("/dev/full")
    nsqd.publish(events(0, 3))

    with process(archiving(nsqd, folder, "--filename-format=<TOPIC>.log")) as one:
        _, log = one.communicate(timeout=DEADLINE_S)

    assert one.returncode == 1
    assert "FATAL: archive.failed topic=clicks" in log
    assert "No space left on device" in log
    assert "Traceback" not in log
    channel = nsqd.channel()
    assert channel["depth"] + channel["in_flight_count"] == 3


def test_after_a_disk_that_filled_up_everything_is_archived(impatient_nsqd: Nsqd, folder: Path) -> None:
    limit = (30_000, 30_000)
    impatient_nsqd.publish(noise(200))

    command = archiving(impatient_nsqd, folder, "--gzip", "--max-in-flight=20")
    with process(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)) as one:
        _, log = one.communicate(timeout=DEADLINE_S)
    with process(command) as another:
        until(impatient_nsqd.is_drained)
        end(another)

    assert one.returncode == 1
    assert "File too large" in log
    assert set(archived(folder)) == set(noise(200))


@pytest.mark.shows("nsq_to_file --lookupd-http-address")
def test_an_nsqd_is_found_through_nsqlookupd(tmp_path: Path, folder: Path) -> None:
    tcp, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    lookupd = [sys.executable, "-m", "millstream.cli.nsqlookupd", f"--tcp-address={tcp}", f"--http-address={http}"]
    with ExitStack() as stack:
        daemon = stack.enter_context(process([*lookupd, "--log-level=error"]))
        until(lambda: answers(f"http://{http}", daemon))
        nsqd = stack.enter_context(running_nsqd(tmp_path / "nsqd", f"--lookupd-tcp-address={tcp}"))
        nsqd.publish(events(0, 10))
        flags = [f"--lookupd-http-address={http}", f"--output-dir={folder}", "--gzip", "--sync-interval=100ms"]
        one = stack.enter_context(process(nsq_to_file(f"--topic={TOPIC}", f"--channel={CHANNEL}", *flags)))
        until(nsqd.is_drained)
        end(one)

    assert archived(folder) == Counter(events(0, 10))


@pytest.mark.parametrize(
    ("flags", "status", "text"),
    [
        (["--version"], 0, "nsq_to_file v1.3.0\n"),
        (["--topic=t"], 1, "--nsqd-tcp-address or --lookupd-http-address required"),
        (["--topic=t", "--nsqd-tcp-address=127.0.0.1:1", "more"], 1, "unknown arguments: 'more'"),
        (["--topic=t", "--nsqd-tcp-address=nowhere"], 1, "nsqd_tcp_addresses"),
        (["--topic=t", "--nsqd-tcp-address=h:1", "--gzip", "--filename-format=x"], 1, "missing <REV>"),
        (["--topics=t"], 2, "did you mean --topic?"),
    ],
)
@pytest.mark.shows("nsq_to_file --version", "nsq_to_file: arguments that are no flags")
@pytest.mark.shows(
    "nsq_to_file: a topic that cannot be read",
    better="an address or a format that cannot work ends it with status 1; NSQ's goes on without the topic",
)
def test_flags_of_no_use_end_it_at_once(flags: list[str], status: int, text: str, tmp_path: Path) -> None:
    command = nsq_to_file(f"--output-dir={tmp_path}", *flags)
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert (done.returncode, text in done.stdout + done.stderr) == (status, True)
    assert "Traceback" not in done.stderr


@pytest.mark.shows("nsq_to_file --work-dir", absent="files are written where they stay, and can be read at any moment")
def test_there_is_no_work_dir(tmp_path: Path) -> None:
    command = nsq_to_file(f"--work-dir={tmp_path}", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1")
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert done.returncode == 2
    assert "work-dir" in done.stderr


@pytest.mark.parametrize(("level", "mark"), [(1, 4), (9, 2)])
@pytest.mark.shows("nsq_to_file --gzip-level")
def test_the_level_of_gzip_is_that_of_its_flag(nsqd: Nsqd, folder: Path, level: int, mark: int) -> None:
    nsqd.publish(events(0, 3))
    with process(archiving(nsqd, folder, "--gzip", f"--gzip-level={level}")) as one:
        until(nsqd.is_drained)
        end(one)
    (path,) = folder.iterdir()

    # The byte of a gzip header that says how hard its writer tried: 4 the least, 2 the most.
    assert path.read_bytes()[8] == mark


def lines_before_the_deadline(command: list[str], count: int) -> list[str]:
    """So many lines of the log of a process that goes on; fewer when the deadline comes first."""
    with process(command) as one:
        killer = threading.Timer(DEADLINE_S, one.kill)
        killer.start()
        assert one.stderr is not None
        lines = [one.stderr.readline() for _ in range(count)]
        killer.cancel()
    return lines


@pytest.mark.shows("nsq_to_file --http-client-request-timeout", "nsq_to_file --log-level", "nsq_to_file --log-prefix")
def test_an_nsqlookupd_that_does_not_answer_is_waited_for_as_long_as_was_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        flags = ["--topic-pattern=.", f"--lookupd-http-address={address}", f"--output-dir={folder}"]
        flags += ["--topic-refresh=50ms", "--log-level=warn", "--log-prefix=[mill] "]
        # With the default of 5 seconds these would take longer than the deadline.
        lines = lines_before_the_deadline(nsq_to_file(*flags, "--http-client-request-timeout=50ms"), 10)

    assert all(line.startswith("[mill] ") and "WARNING: topics.failed" in line for line in lines), lines


@pytest.mark.shows("nsq_to_file --http-client-connect-timeout")
def test_a_connection_to_an_nsqlookupd_is_waited_for_as_long_as_was_said(folder: Path) -> None:
    with socket.socket() as listening, socket.socket() as first:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        # Linux drops what finds no room in the backlog: whoever connects now waits.
        first.connect(listening.getsockname())
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        flags = ["--topic-pattern=.", f"--lookupd-http-address={address}", f"--output-dir={folder}"]
        flags += ["--topic-refresh=50ms", "--log-level=warn", "--http-client-request-timeout=5m"]
        # With the default of 2 seconds these would take longer than the deadline.
        lines = lines_before_the_deadline(nsq_to_file(*flags, "--http-client-connect-timeout=50ms"), 15)

    assert all("topics.failed" in line for line in lines), lines
