import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from millstream.base.errors import OptionError
from millstream.base.system import SystemClock
from millstream.net.http_client import HttpClient
from millstream.net.listener import ListenFailed
from millstream.nsqlookupd.options import LookupdOptions
from millstream.nsqlookupd.service import Nsqlookupd
from millstream.protocol.lookup import MAGIC_V1, Identify, Identity, Register

OPTIONS = LookupdOptions(tcp_address="127.0.0.1:0", http_address="127.0.0.1:0", broadcast_address="me")
IDENTITY = Identity(broadcast_address="h", tcp_port=4150, http_port=4151, version="1.3.0")
DEADLINE_S = 20


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_what_an_nsqd_registers_is_found_over_http_until_it_leaves() -> None:
    daemon = Nsqlookupd(OPTIONS, SystemClock())
    await daemon.start()
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http:
        reader, writer = await asyncio.open_connection(*daemon.tcp_address.split(":"))
        writer.write(MAGIC_V1 + Identify(IDENTITY).encode() + Register("t", "c").encode())
        size = int.from_bytes(await reader.readexactly(4), "big")
        reply = json.loads(await reader.readexactly(size))
        await reader.readexactly(6)

        found = await http.get(f"http://{daemon.http_address}/lookup?topic=t")
        writer.close()
        await writer.wait_closed()
        nodes = b"?"
        while nodes != b'{"producers":[]}':
            nodes = (await http.get(f"http://{daemon.http_address}/nodes")).body
    ports = [int(address.rpartition(":")[2]) for address in (daemon.tcp_address, daemon.http_address)]
    await daemon.stop()

    assert [reply["broadcast_address"], reply["tcp_port"], reply["http_port"]] == ["me", *ports]
    assert [one["broadcast_address"] for one in json.loads(found.body)["producers"]] == ["h"]


async def test_a_taken_port_is_told_and_nothing_is_left_open() -> None:
    first = Nsqlookupd(OPTIONS, SystemClock())
    await first.start()
    second = Nsqlookupd(LookupdOptions(tcp_address="127.0.0.1:0", http_address=first.http_address), SystemClock())

    with pytest.raises(ListenFailed, match=r"listen \(127\.0\.0\.1:\d+\) failed - "):
        await second.start()
    await second.stop()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*second.tcp_address.split(":"))
    await first.stop()


async def test_stopping_ends_the_connections_of_every_nsqd() -> None:
    daemon = Nsqlookupd(OPTIONS, SystemClock())
    await daemon.start()
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(*daemon.tcp_address.split(":"))
        writer.write(MAGIC_V1 + b"PING\n")
        await reader.readexactly(6)

        await daemon.stop()

        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def register(daemon: Nsqlookupd, *topics: str) -> asyncio.StreamWriter:
    """An nsqd that has these topics; the daemon knows of it."""
    reader, writer = await asyncio.open_connection(*daemon.tcp_address.split(":"))
    commands = [Identify(IDENTITY), *(Register(topic) for topic in topics)]
    writer.write(MAGIC_V1 + b"".join(command.encode() for command in commands))
    for _ in commands:
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    return writer


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_lookup_that_waits_hears_of_a_new_nsqd_and_stopping_ends_it() -> None:
    daemon = Nsqlookupd(OPTIONS, SystemClock())
    await daemon.start()
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http:
        url = f"http://{daemon.http_address}/lookup?topic=t&wait=60s"
        waiting = asyncio.create_task(http.get(url))
        metrics = b""
        while b"nsqlookupd_lookup_waiters 1" not in metrics:
            metrics = (await http.get(f"http://{daemon.http_address}/metrics")).body
        writer = await register(daemon, "t")
        first = await waiting
        waiting = asyncio.create_task(http.get(f"{url}&known={first.headers['x-millstream-version']}"))
        metrics = b""
        while b"nsqlookupd_lookup_waiters 1" not in metrics:
            metrics = (await http.get(f"http://{daemon.http_address}/metrics")).body

        await daemon.stop()

        assert (await waiting).status == 200
        writer.close()
    assert [one["broadcast_address"] for one in json.loads(first.body)["producers"]] == ["h"]


async def test_the_snapshot_is_read_at_the_start_and_written_at_the_end(tmp_path: Path) -> None:
    options = replace(OPTIONS, snapshot_path=str(tmp_path / "registry"))
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http:
        daemon = Nsqlookupd(options, SystemClock())
        await daemon.start()
        writer = await register(daemon, "t")
        await daemon.stop()
        writer.close()

        daemon = Nsqlookupd(options, SystemClock())
        await daemon.start()
        found = await http.get(f"http://{daemon.http_address}/lookup?topic=t")
        await daemon.stop()

    assert [one["broadcast_address"] for one in json.loads(found.body)["producers"]] == ["h"]


async def test_a_start_that_fails_leaves_the_snapshot_to_whoever_has_the_port(tmp_path: Path) -> None:
    first = Nsqlookupd(OPTIONS, SystemClock())
    await first.start()
    path = tmp_path / "registry"
    options = replace(OPTIONS, http_address=first.http_address, snapshot_path=str(path))
    second = Nsqlookupd(options, SystemClock())

    with pytest.raises(ListenFailed):
        await second.start()
    await second.stop()

    assert not path.exists()
    await first.stop()


async def test_http_asks_for_a_token_when_there_is_a_file_of_them(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("open-sesame\n")
    daemon = Nsqlookupd(replace(OPTIONS, http_auth_token_file=str(tmp_path / "tokens")), SystemClock())
    await daemon.start()
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http:
        answers = [
            (await http.get(f"http://{daemon.http_address}{path}", headers=headers)).status
            for path in ("/ping", "/topics", "/debug/pprof/cmdline")
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer open-sesame"})
        ]
    await daemon.stop()

    assert answers == [200, 200, 200, 401, 401, 200, 401, 401, 200]


async def test_a_token_file_that_cannot_be_read_keeps_it_from_starting(tmp_path: Path) -> None:
    daemon = Nsqlookupd(replace(OPTIONS, http_auth_token_file=str(tmp_path / "none")), SystemClock())

    with pytest.raises(OptionError):
        await daemon.start()
    await daemon.stop()


async def test_a_reload_changes_timeouts_under_the_connections() -> None:
    wanted = replace(OPTIONS, inactive_producer_timeout_ms=1)
    daemon = Nsqlookupd(OPTIONS, SystemClock(), lambda: wanted)
    await daemon.start()
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http:
        writer = await register(daemon, "t")
        daemon.reload()

        url = f"http://{daemon.http_address}/nodes"
        while (await http.get(url)).body != b'{"producers":[]}':
            pass
        writer.close()
    await daemon.stop()


async def test_it_can_be_looked_into_where_nsq_has_it() -> None:
    daemon = Nsqlookupd(OPTIONS, SystemClock())
    await daemon.start()
    async with asyncio.timeout(DEADLINE_S), HttpClient() as http:
        found = {
            path: (await http.get(f"http://{daemon.http_address}{path}")).status
            for path in ("/debug", "/debug/pprof", "/debug/pprof/", "/debug/pprof/goroutine")
        }
        waiting = asyncio.create_task(http.get(f"http://{daemon.http_address}/debug/pprof/block?seconds=120"))
        while b"DebugApi._block" not in (await http.get(f"http://{daemon.http_address}/debug/pprof/goroutine")).body:
            pass
        await daemon.stop()
        assert (await waiting).status == 200

    assert found == {"/debug": 200, "/debug/pprof": 200, "/debug/pprof/": 301, "/debug/pprof/goroutine": 200}
