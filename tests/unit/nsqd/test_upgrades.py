"""`nsqd.upgrades`: the order of things within one process; every stack from outside is in tests/system."""

import asyncio
import json
import socket
import ssl
import zlib
from pathlib import Path
from typing import Any

import pytest
import trustme

from millstream.net.upgrade import Deflate

BOTH_LOOPS = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
AUTHORITY = trustme.CA()


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Any]:
    keyed = AUTHORITY.issue_cert("127.0.0.1")
    keyed.private_key_pem.write_to_path(tmp_path / "key.pem")
    keyed.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return {
        "tls_cert": str(tmp_path / "cert.pem"),
        "tls_key": str(tmp_path / "key.pem"),
        "https_address": "127.0.0.1:0",
    }


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def secure(peer: Any, **features: object) -> None:
    peer.identify(feature_negotiation=True, tls_v1=True, **features)
    assert json.loads(await peer.text())["tls_v1"]
    await peer.writer.start_tls(trusting(), server_hostname="127.0.0.1")


@BOTH_LOOPS
async def test_what_a_client_pipelines_behind_its_handshake_is_not_lost(start: Any, tls: dict[str, Any]) -> None:
    async with start(**tls) as one:
        peer = await one.connect()
        await secure(peer)
        peer.publish("t", b"a", b"b")

        assert [await peer.text() for _ in range(3)] == ["OK"] * 3
        assert one.host.broker.topics["t"].message_count == 2


@BOTH_LOOPS
async def test_what_is_pipelined_is_read_by_the_rules_of_the_last_layer(start: Any, tls: dict[str, Any]) -> None:
    async with start(**tls) as one:
        peer = await one.connect()
        await secure(peer, deflate=True)
        codec = Deflate(1)
        peer.send(codec.encode(b"PUB t\n\x00\x00\x00\x01a"))

        assert await peer.text() == "OK"
        plain = b""
        async with asyncio.timeout(20):
            while plain.count(b"OK") < 2:
                plain += b"".join(codec.decode(await peer.reader.read(1 << 16)))
        assert one.host.broker.topics["t"].message_count == 1


@BOTH_LOOPS
async def test_a_heartbeat_never_falls_into_a_handshake(start: Any, tls: dict[str, Any]) -> None:
    async with start(**tls) as one:
        peer = await one.connect()
        peer.identify(feature_negotiation=True, tls_v1=True, heartbeat_interval=1000)
        assert json.loads(await peer.text())["tls_v1"]
        # A heartbeat would be due now; only the other side of the handshake may show one.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.2):
                await peer.reader.readexactly(1)

        await peer.writer.start_tls(trusting(), server_hostname="127.0.0.1")
        assert await peer.text() == "OK"
        assert (await peer.reader.readexactly(19))[8:] == b"_heartbeat_"


@BOTH_LOOPS
async def test_a_handshake_in_progress_does_not_keep_the_daemon(start: Any, tls: dict[str, Any]) -> None:
    async with start(**tls) as one:
        peers = [await one.connect() for _ in range(3)]
        for peer in peers:
            peer.identify(feature_negotiation=True, tls_v1=True)
            assert await peer.text()
    assert [await peer.is_closed() for peer in peers] == [True] * 3
    assert not one.host.sessions


@BOTH_LOOPS
async def test_a_client_that_fails_its_handshake_is_forgotten(start: Any, tls: dict[str, Any]) -> None:
    async with start(**tls) as one:
        peer = await one.connect()
        peer.identify(feature_negotiation=True, tls_v1=True)
        assert await peer.text()
        peer.send(b"NOP\n" * 10)

        assert (await peer.text()).startswith("E_IDENTIFY_FAILED IDENTIFY failed ")
        assert await peer.is_closed()
        await one.until(lambda: not one.host.sessions)


@BOTH_LOOPS
async def test_stats_tell_how_a_client_is_connected(start: Any, tls: dict[str, Any]) -> None:
    async with start(**tls) as one:
        peer = await one.connect()
        (session,) = await sessions_of(one)
        assert session.stats().tls is None
        await secure(peer, snappy=True)
        assert await peer.text() == "OK"
        stats = session.stats()

    assert (stats.snappy, stats.deflate) == (True, False)
    assert stats.tls.version == "TLS1.3"


async def sessions_of(one: Any) -> list[Any]:
    await one.until(lambda: bool(one.host.sessions))
    return list(one.host.sessions.values())


@BOTH_LOOPS
async def test_a_client_that_does_not_read_its_answer_has_no_more_time_than_a_handshake(start: Any) -> None:
    async with start(tls_handshake_timeout_ms=200) as one:
        peer = await one.connect()
        (session,) = await sessions_of(one)
        session.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer.writer.transport.pause_reading()

        topic = one.host.topic("t")
        published = 0

        def is_full() -> bool:
            """Whether more replies wait than the kernel may still take; else ask for more of them, a few at a time."""
            nonlocal published
            if session.transport.get_write_buffer_size() > 200_000:
                return True
            if topic.message_count == published:
                peer.publish("t", *[b"x"] * 2_000)
                published += 2_000
            return False

        await one.until(is_full)
        peer.identify(feature_negotiation=True, snappy=True)
        await one.until(lambda: not one.host.sessions)


@BOTH_LOOPS
async def test_deflate_alone_keeps_half_open_connections(start: Any) -> None:
    async with start() as one:
        peer = await one.connect()
        peer.identify(feature_negotiation=True, deflate=True)
        assert json.loads(await peer.text())["deflate"]
        reader = zlib.decompressobj(-15)
        codec = Deflate(6)
        peer.send(codec.encode(b"PUB t\n\x00\x00\x00\x01a"))
        peer.writer.write_eof()
        async with asyncio.timeout(20):
            plain = reader.decompress(await peer.reader.read())

    assert plain.count(b"OK") == 2
