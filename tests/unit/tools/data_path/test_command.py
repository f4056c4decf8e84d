"""`millstream log` on files in memory: what is printed, and with which status."""

import io
import json
from typing import Any

import pytest

from millstream.protocol.chunks import BufferPool
from millstream.storage.inspection import Inspection
from millstream.storage.settings import LogSettings
from millstream.storage.store import DiskStore
from millstream.testing import FakeClock, FaultyFiles
from millstream.tools.data_path.command import DataPath
from millstream.tools.data_path.options import DumpOptions, LookOptions


class Shell:
    """A data path with two topics, and what a command says of it."""

    def __init__(self) -> None:
        self.files = FaultyFiles()
        self.files.make_directory("/data")
        store = DiskStore(self.files, "/data", LogSettings(), BufferPool())
        for topic, count in (("clicks", 3), ("spam", 2)):
            log = store.open_log(topic, 0xABC0)
            for number in range(count):
                body = bytearray(b"%s %d" % (topic.encode(), number))
                log.append(body, 0, len(body), 7)
            log.commit()
            progress, _ = store.open_progress(topic, "archive")
            progress.position(0xABC1, 0xABC1, 0xABC1)
            progress.flush()
        self.files.overwrite("/data/nsqd.dat", b'{"topics":[],"version":"1.3.0"}')

    @property
    def segment(self) -> str:
        return "/data/clicks.topic/000000000000abc0.seg"

    def run(self, verb: str, path: str = "/data", **options: Any) -> tuple[int, str, str]:
        output, errors = io.BytesIO(), io.StringIO()
        inspection = Inspection(self.files, thorough=verb == "verify", pause=lambda: None)
        found = DataPath(path, self.files, inspection, output, errors)
        if verb == "inspect":
            status = found.inspect(LookOptions(**options), FakeClock())
        elif verb == "verify":
            status = found.verify(LookOptions(**options))
        else:
            status = found.dump(DumpOptions(**options))
        return status, output.getvalue().decode(), errors.getvalue()


@pytest.fixture
def shell() -> Shell:
    return Shell()


def test_inspect_shows_every_topic(shell: Shell) -> None:
    status, output, errors = shell.run("inspect")

    assert (status, errors) == (0, "")
    assert [line for line in output.splitlines() if line.startswith("topic")] == [
        "topic clicks: 3 messages, 190 bytes",
        "topic spam: 2 messages, 144 bytes",
    ]
    assert "archive" in output


@pytest.mark.parametrize("how", [{"topic": "spam"}, {"path": "/data/spam.topic"}, {"path": "/data/spam.topic/"}])
def test_one_topic_can_be_named(shell: Shell, how: dict[str, str]) -> None:
    status, output, _ = shell.run("inspect", **how)

    assert (status, output.count("topic ")) == (0, 1)
    assert output.startswith("topic spam")


def test_verify_says_what_it_looked_at(shell: Shell) -> None:
    assert shell.run("verify") == (0, "sound: 2 topics, 5 messages\n", "")


def test_verify_names_everything_that_is_damaged(shell: Shell) -> None:
    shell.files.overwrite(shell.segment, shell.files.read(shell.segment) + b"torn")
    shell.files.overwrite("/data/spam.topic/archive.channel", b"\xee" * 40)
    shell.files.overwrite("/data/nsqd.dat", b"{")

    status, output, errors = shell.run("verify")

    assert (status, errors) == (1, "")
    assert output.splitlines() == [
        "/data/clicks.topic: 000000000000abc0.seg ends in 4 bytes that are no sound record",
        "/data/spam.topic: archive ends in 40 bytes that are no sound batch",
        "/data: nsqd.dat is no JSON - Input data was truncated",
        "3 damaged: 2 topics, 5 messages",
    ]
    assert "damaged: nsqd.dat" in shell.run("inspect")[1]


def test_dump_writes_lines_of_json(shell: Shell) -> None:
    status, output, errors = shell.run("dump", topic="clicks", start="000000000000abc1", limit=1)

    assert (status, errors) == (0, "")
    assert json.loads(output) == {
        "topic": "clicks",
        "id": "000000000000abc1",
        "timestamp": 7,
        "attempts": 1,
        "body": "clicks 1",
    }


def test_dump_writes_raw_bodies(shell: Shell) -> None:
    _, output, _ = shell.run("dump", "/data/clicks.topic", format="raw", end="000000000000abc2")

    assert output == "clicks 0\nclicks 1\n"


def test_dump_reads_a_file_that_was_set_aside(shell: Shell) -> None:
    shell.files.overwrite(shell.segment + ".bad-64", shell.files.read(shell.segment)[70:])

    status, output, _ = shell.run("dump", shell.segment + ".bad-64", format="raw")

    assert (status, output) == (0, "clicks 1\nclicks 2\n")


def test_dump_shows_what_a_channel_keeps_outside_of_the_log(shell: Shell) -> None:
    assert shell.run("dump", topic="clicks", channel="archive") == (0, "", "")


@pytest.mark.parametrize(
    ("verb", "path", "options", "text"),
    [
        ("inspect", "/none", {}, "/none is no data path of nsqd: it has no folder <topic>.topic"),
        ("verify", "/data/none.topic", {}, "/data/none.topic is no data path of nsqd"),
        ("inspect", "/data", {"topic": "none"}, "/data has no topic none: it would be a folder none.topic"),
        ("dump", "/data", {}, "/data has 2 topics: choose one with --topic (clicks, spam)"),
        ("dump", "/data", {"topic": "spam", "channel": "x"}, "topic spam has no channel x with a journal: there is"),
        ("dump", "/none", {}, "/none is no data path of nsqd"),
    ],
)
def test_what_is_not_there_is_said_and_how_to_go_on(
    shell: Shell, verb: str, path: str, options: dict[str, str], text: str
) -> None:
    status, output, errors = shell.run(verb, path, **options)

    assert (status, output) == (2, "")
    assert errors.startswith(f"millstream log: {text}")


def test_a_data_path_without_topics_is_sound(shell: Shell) -> None:
    shell.files.make_directory("/empty")
    shell.files.overwrite("/empty/nsqd.dat", b'{"topics":null}')

    assert shell.run("verify", "/empty") == (0, "sound: 0 topics, 0 messages\n", "")
    status, _, errors = shell.run("dump", "/empty")
    assert (status, errors) == (2, "millstream log: /empty has no topics\n")


def test_a_newer_version_is_refused(shell: Shell) -> None:
    data = shell.files.read(shell.segment)
    shell.files.overwrite(shell.segment, data[:7] + b"\x02" + data[8:])

    for verb in ("inspect", "verify"):
        status, _, errors = shell.run(verb)
        assert (status, "was written by a newer version" in errors) == (2, True)


def test_whoever_reads_may_have_seen_enough(shell: Shell) -> None:
    class Closed(io.BytesIO):
        def write(self, data: Any, /) -> int:
            del data
            raise BrokenPipeError

    inspection = Inspection(shell.files, thorough=False, pause=lambda: None)
    found = DataPath("/data/clicks.topic", shell.files, inspection, Closed(), io.StringIO())

    assert found.dump(DumpOptions()) == 0
