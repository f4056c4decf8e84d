"""Flags of nsqd as an operator gives them: each is taken by a real process, and does what its row in the page says."""

import asyncio
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

Connect = Callable[..., Awaitable[Any]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

DEADLINE_S: Final = 20
COMMANDS: Final = Path(sys.executable).parent


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    """A command that ends by itself."""
    command = [sys.executable, "-m", "millstream.cli.nsqd", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


# ------------------------------------------------------------------------------------------------------ without effect


@pytest.mark.shows("nsqd --verbose", "nsqd --worker-id")
def test_verbose_and_worker_id_are_taken_as_by_nsq(daemons: Any) -> None:
    nsqd = daemons.nsqd("--verbose", "-worker-id")

    assert nsqd.get("/ping") == b"OK"
    assert run("--worker-id=5").returncode == 2


@pytest.mark.shows(
    "nsqd --sync-every",
    "nsqd --sync-timeout",
    better="has no effect: a message is in the log, or synced, before its OK, as --durability says",
)
async def test_no_figure_of_syncs_makes_an_acknowledged_message_unsafe(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd("--sync-every=1000000000", "--sync-timeout=24h")
    publisher = await connect(nsqd)
    await publisher.publish("t", *[b"%d" % number for number in range(100)])
    nsqd.kill()
    nsqd.start()
    subscriber = await connect(nsqd)
    await subscriber.subscribe("t", "c", 100)

    assert [message.body for message in await subscriber.messages(100)] == [b"%d" % number for number in range(100)]


@pytest.mark.shows(
    "nsqd --queue-scan-selection-count",
    "nsqd --queue-scan-worker-pool-max",
    better="has no effect: no channel waits for its turn",
)
@pytest.mark.shows(
    "nsqd: timeouts and delays are met in time, however many channels",
    better="each when it is due; NSQ looks at a sample of the channels, and at new ones up to 5 seconds late",
)
async def test_every_channel_is_looked_at_whatever_is_said_of_a_selection(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd("--queue-scan-selection-count=1", "--queue-scan-worker-pool-max=1", "--msg-timeout=100ms")
    publisher, *subscribers = [await connect(nsqd) for _ in range(41)]
    for number, subscriber in enumerate(subscribers):
        await subscriber.subscribe("t", f"c{number}", 1)
    await publisher.publish("t", b"x")

    for subscriber in subscribers:
        assert [message.attempts for message in await subscriber.messages(2)] == [1, 2]


@pytest.mark.shows("nsqd --node-id", better="has no effect: ids are unique without it")
@pytest.mark.shows("nsqd: message ids", better="unique over topics, nodes and restarts, without a node id")
async def test_two_nsqd_of_one_node_id_give_no_id_twice(daemons: Any, connect: Connect) -> None:
    ids: list[bytes] = []
    for nsqd in [daemons.nsqd("--node-id=5") for _ in range(2)]:
        for _ in range(2):
            for topic in ("t", "u"):
                client = await connect(nsqd)
                await client.publish(topic, *[b"x"] * 100)
                await client.subscribe(topic, "c", 200)
                messages = await client.messages(100)
                client.finish(*messages)
                ids += [message.id for message in messages]
            assert nsqd.signal() == 0
            nsqd.start()

    assert all(re.fullmatch(rb"[0-9a-f]{16}", each) for each in ids)
    assert len(set(ids)) == len(ids) == 800


# -------------------------------------------------------------------------------------------------------- on the disk


@pytest.mark.shows("nsqd --max-bytes-per-file", better="the size of a segment of the log, and 64 MiB by default")
async def test_a_log_has_segments_of_the_size_that_was_given(daemons: Any, connect: Connect, tmp_path: Path) -> None:
    limit = 256 << 10
    nsqd = daemons.nsqd(f"--max-bytes-per-file={limit}", f"--data-path={tmp_path}")
    publisher = await connect(nsqd)
    for _ in range(30):
        await publisher.publish("t", bytes(100_000))

    sizes = [size for path in (tmp_path / "t.topic").iterdir() if (size := path.stat().st_size) >= 100_000]
    assert len(sizes) >= 8
    assert max(sizes) <= 2 * limit


@pytest.mark.shows(
    "nsqd --mem-queue-size",
    better="memory beside the log: every message is on the disk as well, and kept over kill -9",
)
async def test_what_is_in_memory_is_on_the_disk_as_well(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd("--mem-queue-size=1000")
    publisher = await connect(nsqd)
    await publisher.publish("t", b"a", b"b")
    before = json.loads(nsqd.get("/stats?format=json"))["topics"][0]
    nsqd.kill()
    nsqd.start()
    after = json.loads(nsqd.get("/stats?format=json"))["topics"][0]

    assert [(topic["depth"], topic["backend_depth"]) for topic in (before, after)] == [(2, 0), (2, 0)]


@pytest.mark.shows(
    "nsqd: an ephemeral channel that overflows", better="the oldest messages are dropped; NSQ drops the newest"
)
async def test_an_ephemeral_channel_keeps_the_newest(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd("--mem-queue-size=3")
    publisher, subscriber = await connect(nsqd), await connect(nsqd)
    await subscriber.subscribe("t", "c#ephemeral")
    await publisher.publish("t", *[b"%d" % number for number in range(10)])
    subscriber.send(b"RDY 10\n")

    assert [message.body for message in await subscriber.messages(3)] == [b"7", b"8", b"9"]


QUEUE_FILES: Final = {
    "old.diskqueue.000000.dat": b"\0\0\0\x1b" + bytes(8) + b"\0\1" + b"0123456789abcdef" + b"x",
    "old.diskqueue.meta.dat": b"1\n0,0\n0,31\n",
}


@pytest.mark.shows(
    "nsqd: queue files of go-diskqueue",
    absent="a topic has a log of its own (durability.md); files of NSQ are left alone, so drain an nsqd of NSQ first",
)
def test_queue_files_of_nsq_are_left_alone(daemons: Any, tmp_path: Path) -> None:
    for name, content in QUEUE_FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "nsqd.dat").write_text('{"topics":[{"name":"old","paused":false,"channels":[]}],"version":"1.3.0"}')
    nsqd = daemons.nsqd(f"--data-path={tmp_path}")
    (topic,) = json.loads(nsqd.get("/stats?format=json"))["topics"]
    nsqd.post("/topic/delete?topic=old")

    assert nsqd.signal() == 0
    assert (topic["topic_name"], topic["depth"]) == ("old", 0)
    assert {name: (tmp_path / name).read_bytes() for name in QUEUE_FILES} == QUEUE_FILES


# --------------------------------------------------------------------------------------------------- addresses and log


@pytest.mark.shows("program nsqd", "nsqd: found on PATH, and started in the current directory", "nsqd --tcp-address")
def test_it_is_found_on_the_path_and_works_in_the_current_directory(tmp_path: Path) -> None:
    program = shutil.which("nsqd", path=str(COMMANDS))
    assert program is not None
    command = [program, "-tcp-address=127.0.0.1:0", "-http-address=127.0.0.1:0", "--verbose"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("http.listening" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()

    assert process.returncode == 0
    assert (tmp_path / "nsqd.dat").exists()


@pytest.mark.shows("nsqd --version", "all: flags: --version")
def test_the_version_is_that_of_nsq() -> None:
    done = run("--version")

    assert done.returncode == 0
    assert re.fullmatch(r"nsqd v1\.3\.0 \(built w/Python [\d.]+\)\n", done.stdout)


@pytest.mark.shows("nsqd --broadcast-address", "nsqd --broadcast-tcp-port", "nsqd --broadcast-http-port")
@pytest.mark.shows("nsqd --lookupd-tcp-address")
async def test_what_is_broadcast_is_what_nsqlookupd_tells(daemons: Any, eventually: Eventually) -> None:
    lookupd = daemons.nsqlookupd()
    ports = ("--broadcast-tcp-port=4711", "--broadcast-http-port=4712")
    daemons.nsqd("--broadcast-address=mill.example", *ports, f"--lookupd-tcp-address={lookupd.tcp_address}")

    def told() -> list[tuple[str, int, int]]:
        nodes = json.loads(lookupd.get("/nodes"))["producers"]
        return [(node["broadcast_address"], node["tcp_port"], node["http_port"]) for node in nodes]

    await eventually(lambda: bool(told()))
    assert told() == [("mill.example", 4711, 4712)]


@pytest.mark.shows("nsqd: nsqlookupd: an nsqd without HTTP")
def test_an_nsqd_without_http_is_refused_by_nsqlookupd(daemons: Any) -> None:
    lookupd = daemons.nsqlookupd()
    nsqd = daemons.nsqd("--http-address=", f"--lookupd-tcp-address={lookupd.tcp_address}", starts=False)
    nsqd.spawn()

    assert "E_BAD_BODY IDENTIFY missing fields" in nsqd.wait_for_log("lookupd.failed")
    assert json.loads(lookupd.get("/nodes")) == {"producers": []}


@pytest.mark.shows("nsqd --log-level", "nsqd --log-prefix")
def test_the_log_has_its_prefix_and_nothing_below_its_level(daemons: Any) -> None:
    talkative = daemons.nsqd(f"--data-path={daemons.folder}", "--log-prefix=[mill] ", "--log-level=DEBUG")
    silent = daemons.nsqd(f"--data-path={daemons.folder}", "--log-level=fatal", starts=False)
    silent.spawn()

    assert silent.wait() == 1
    assert talkative.log
    assert all(line.startswith("[mill] ") for line in talkative.log)
    assert talkative.get("/config/log_level") == b"1"
    assert [line for line in silent.log if re.search(r"INFO|WARNING|ERROR", line)] == []
    assert any("FATAL" in line for line in silent.log)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the socket at a path."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


@pytest.mark.shows("nsqd --http-address", "nsqd: HTTP: on a unix socket, or not at all")
def test_http_is_served_on_a_unix_socket(daemons: Any, tmp_path: Path) -> None:
    nsqd = daemons.nsqd(f"--http-address={tmp_path / 'http'}", starts=False)
    nsqd.spawn()
    nsqd.wait_for_log("http.listening")
    connection = UnixConnection(tmp_path / "http")
    connection.request("GET", "/info")
    info = json.loads(connection.getresponse().read())
    connection.close()

    assert info["http_port"] == -1


# ------------------------------------------------------------------------------------------------------ clients of HTTP


async def refused_in_a_row(nsqd: Any, connect: Connect, count: int) -> None:
    """That AUTH fails so many times in a row before the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(count):
            client = await connect(nsqd)
            client.send(b"AUTH\n\0\0\0\1s")
            assert await client.error() == b"E_AUTH_FAILED AUTH failed"


@pytest.mark.shows("nsqd --http-client-request-timeout")
async def test_an_auth_server_that_does_not_answer_is_waited_for_as_long_as_was_said(
    daemons: Any, connect: Connect
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        nsqd = daemons.nsqd(f"--auth-http-address={address}", "--http-client-request-timeout=50ms")
        # With the default of 5 seconds these would take a minute.
        await refused_in_a_row(nsqd, connect, 12)


@contextmanager
def full_backlog() -> Iterator[str]:
    """An address at which no connection is made, and none is refused: Linux drops what finds no room in the backlog."""
    with socket.socket() as listening, socket.socket() as first:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        first.connect(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.shows("nsqd --http-client-connect-timeout")
async def test_a_connection_to_an_auth_server_is_waited_for_as_long_as_was_said(daemons: Any, connect: Connect) -> None:
    with full_backlog() as address:
        flags = ("--http-client-connect-timeout=50ms", "--http-client-request-timeout=1h")
        nsqd = daemons.nsqd(f"--auth-http-address={address}", *flags)
        # With the default of 2 seconds these would take longer than the deadline.
        await refused_in_a_row(nsqd, connect, 15)


# --------------------------------------------------------------------------------------------------------- statistics


def figure(nsqd: Any, name: str) -> float:
    """A sample of `/metrics` by the beginning of its line."""
    lines = nsqd.get("/metrics").decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


@pytest.mark.shows("nsqd --e2e-processing-latency-window-time", "nsqd: end-to-end latency: percentiles over a window")
async def test_latency_is_forgotten_when_its_window_has_passed(
    daemons: Any, connect: Connect, eventually: Eventually
) -> None:
    flags = ("--e2e-processing-latency-percentile=0.5", "--e2e-processing-latency-window-time=200ms")
    nsqd = daemons.nsqd(*flags)
    client = await connect(nsqd)
    await client.publish("t", b"x")
    await client.subscribe("t", "c", 1)
    client.finish(await client.message())

    await eventually(lambda: figure(nsqd, "nsqd_channel_e2e_latency_seconds_count") == 1)
    await eventually(lambda: nsqd.channel("t", "c")["e2e_processing_latency"]["count"] == 0)


@pytest.mark.shows(
    "nsqd --statsd-address",
    "nsqd --statsd-interval",
    "nsqd --statsd-prefix",
    "nsqd --statsd-mem-stats",
    "nsqd --statsd-exclude-ephemeral",
    "nsqd --statsd-udp-packet-size",
)
def test_what_goes_to_statsd_is_what_the_flags_say(daemons: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(DEADLINE_S)
        nsqd = daemons.nsqd(
            f"--statsd-address=127.0.0.1:{statsd.getsockname()[1]}",
            "--statsd-interval=100ms",
            "--statsd-prefix=mill.%s.x",
            "--statsd-mem-stats=false",
            "--statsd-exclude-ephemeral=true",
            "--statsd-udp-packet-size=120",
        )
        nsqd.post("/pub?topic=u%23ephemeral", b"x")
        nsqd.post("/pub?topic=t", b"x")
        packets: list[str] = []
        end = time.monotonic() + DEADLINE_S
        # The last name of a topic, after it was counted, and once more: so a whole push has been seen.
        while "".join(packets).count(".topic.t.backend_depth:") < 3:
            assert time.monotonic() < end, packets
            packets.append(statsd.recv(65_536).decode())

    lines = "".join(packets).splitlines()
    assert {line.partition(".topic.t.")[0] for line in lines} == {f"mill.127_0_0_1_{nsqd.http_port}.x"}
    assert f"mill.127_0_0_1_{nsqd.http_port}.x.topic.t.message_count:1|c" in lines
    assert max(len(packet) for packet in packets) <= 120


# -------------------------------------------------------------------------------------------------------------- output


@pytest.mark.shows(
    "nsqd: when messages leave nsqd",
    "nsqd IDENTIFY output_buffer_timeout",
    "nsqd IDENTIFY output_buffer_size",
    "nsqd --output-buffer-timeout",
    better="messages leave at the end of each turn of the loop: none waits for a full buffer or a timeout",
)
async def test_a_message_does_not_wait_for_a_buffer(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd("--output-buffer-timeout=10s")
    publisher, client = await connect(nsqd), await connect(nsqd)
    # The only thing that would flush it besides is a heartbeat, and that is later than the deadline.
    reply = await client.identify(output_buffer_timeout=-1, output_buffer_size=65_536, heartbeat_interval=60_000)
    await client.subscribe("t", "c", 10)
    await publisher.publish("t", b"alone")

    assert (reply["output_buffer_timeout"], reply["output_buffer_size"]) == (0, 65_536)
    assert (await client.message()).body == b"alone"
    plain = await connect(nsqd)
    assert (await plain.identify())["output_buffer_timeout"] == 10_000


# ---------------------------------------------------------------------------------------------------------------- HTTP


@pytest.mark.shows(
    "nsqd: HTTP: every request is logged", absent="it costs more than it tells; /metrics and /stats count"
)
def test_requests_are_not_logged_one_by_one(shared_nsqd: Any) -> None:
    shared_nsqd.get("/stats?format=json")
    shared_nsqd.post("/topic/create?topic=logged")
    shared_nsqd.wait_for_log("topic.created topic=logged")

    assert [line for line in shared_nsqd.log if "/stats" in line or "/topic/create" in line] == []
