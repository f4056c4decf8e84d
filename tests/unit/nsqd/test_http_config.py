"""`nsqd.http_config` on a real socket."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from millstream.base.log import get_level, set_level
from millstream.base.system import host_name
from millstream.nsqd.http_config import tls_required
from millstream.nsqd.options import DaemonOptions


def code(name: str) -> bytes:
    return b'{"message":"%s"}' % name.encode()


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    before = get_level()
    yield
    set_level(before)


async def test_options_are_shown_by_their_keys(start: Any) -> None:
    async with start(mem_queue_size=7, broadcast_address="me", e2e_processing_latency_percentile=(0.5, 1.0)) as one:

        async def shown(key: str) -> bytes:
            status, body = await one.ask("GET", f"/config/{key}")
            assert status == 200, key
            return bytes(body)

        assert await shown("mem_queue_size") == b"7"
        assert await shown("broadcast_address") == b"me"
        assert await shown("msg_timeout") == b"60000000000"
        assert await shown("nsqlookupd_tcp_addresses") == b"[]"
        assert await shown("log_prefix") == b"[nsqd] "
        assert await shown("durability") == b"log"
        assert await shown("e2e_processing_latency_percentiles") == b"[1,0.5]"
        assert (await shown("statsd_prefix")).startswith(b"nsq.me_")


async def test_the_broadcast_address_is_this_hosts_name_when_none_was_given(start: Any) -> None:
    async with start() as one:
        assert await one.ask("GET", "/config/broadcast_address") == (200, host_name().encode())


@pytest.mark.parametrize("key", ["nope", "verbose", "config", "node_id", "MEM_QUEUE_SIZE", "mem-queue-size"])
async def test_what_is_no_key_is_an_invalid_option(start: Any, key: str) -> None:
    async with start() as one:
        assert await one.ask("GET", f"/config/{key}") == (400, code("INVALID_OPTION"))
        assert await one.ask("PUT", f"/config/{key}", b"1") == (400, code("INVALID_OPTION"))


async def test_the_log_level_can_be_changed(start: Any) -> None:
    async with start() as one:
        assert await one.ask("PUT", "/config/log_level", b"WARN") == (200, b"3")
        assert await one.ask("GET", "/config/log_level") == (200, b"3")
        assert get_level() == "warn"


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        ("log_level", b"", 413),
        ("log_level", b"x" * 101, 413),
        ("log_level", b"loud", 400),
        ("log_level", b"\xff", 400),
        ("nsqlookupd_tcp_addresses", b"xx", 400),
        ("nsqlookupd_tcp_addresses", b"[1]", 400),
        ("nsqlookupd_tcp_addresses", b'["a"]', 400),
        ("nsqlookupd_tcp_addresses", b"[" * 100, 400),
    ],
)
async def test_a_value_of_no_use_is_refused(start: Any, key: str, body: bytes, status: int) -> None:
    async with start(max_msg_size=100, lookupd_tcp_address=("127.0.0.1:9",)) as one:
        assert await one.ask("PUT", f"/config/{key}", body) == (status, code("INVALID_VALUE"))
        assert await one.ask("GET", "/config/nsqlookupd_tcp_addresses") == (200, b'["127.0.0.1:9"]')


async def test_the_nsqlookupds_can_be_changed(start: Any) -> None:
    async with start(lookupd_tcp_address=("127.0.0.1:9",)) as one:
        for body in (b'["127.0.0.1:8","127.0.0.1:7"]', b"[]"):
            assert await one.ask("PUT", "/config/nsqlookupd_tcp_addresses", body) == (200, body)
            assert await one.ask("GET", "/config/nsqlookupd_tcp_addresses") == (200, body)


async def test_an_nsqd_without_nsqlookupd_can_be_given_one(start: Any) -> None:
    hears: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hears.put_nowait(await reader.readexactly(4))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with start() as one, server:
        body = b'["127.0.0.1:%d"]' % server.sockets[0].getsockname()[1]
        assert await one.ask("PUT", "/config/nsqlookupd_tcp_addresses", body) == (200, body)
        async with asyncio.timeout(20):
            assert await hears.get() == b"  V1"


async def test_the_nsqlookupds_cannot_be_changed_before_there_is_discovery(start: Any) -> None:
    async with start() as one:
        one.host.discovery = None
        answer = await one.ask("PUT", "/config/nsqlookupd_tcp_addresses", b'["127.0.0.1:9"]')

    assert answer == (503, code("STARTING"))


async def test_the_node_id_is_the_one_given_or_made_of_the_hosts_name(start: Any) -> None:
    async with start(node_id=7) as one:
        assert await one.ask("GET", "/config/id") == (200, b"7")
    async with start() as one:
        status, body = await one.ask("GET", "/config/id")
        assert (status, 0 <= int(body) < 1024) == (200, True)


async def test_the_broadcast_ports_are_the_listening_ones_when_none_were_given(start: Any) -> None:
    async with start() as one:
        tcp_port, http_port = one.nsqd.tcp_address.rpartition(":")[2], one.nsqd.http_address.rpartition(":")[2]
        assert await one.ask("GET", "/config/broadcast_tcp_port") == (200, tcp_port.encode())
        assert await one.ask("GET", "/config/broadcast_http_port") == (200, http_port.encode())
    async with start(broadcast_tcp_port=1, broadcast_http_port=2) as one:
        assert await one.ask("GET", "/config/broadcast_tcp_port") == (200, b"1")
        assert await one.ask("GET", "/config/broadcast_http_port") == (200, b"2")


async def test_tls_is_shown_as_numbers(start: Any) -> None:
    async with start(tls_min_version="tls1.3") as one:
        assert await one.ask("GET", "/config/tls_required") == (200, b"0")
        assert await one.ask("GET", "/config/tls_min_version") == (200, b"772")


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({"tls_required": "tcp-https"}, 1),
        ({"tls_required": "true"}, 2),
        ({"tls_client_auth_policy": "require"}, 2),
        ({"tls_client_auth_policy": "require", "tls_required": "tcp-https"}, 1),
    ],
)
def test_what_needs_tls_has_nsqs_number(options: dict[str, str], number: int) -> None:
    assert tls_required(DaemonOptions(**options)) == number
