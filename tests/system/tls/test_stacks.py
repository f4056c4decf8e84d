"""TLS, snappy and deflate from outside, alone and stacked: what a connection carries, and what it does not survive."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import nsq
import pytest

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Upgrade = Callable[..., Awaitable[dict[str, Any]]]

DEADLINE_S = 20
TLS, SNAPPY, DEFLATE = {"tls_v1": True}, {"snappy": True}, {"deflate": True}
STACKS = {
    "tls": TLS,
    "snappy": SNAPPY,
    "deflate": DEFLATE,
    "tls and snappy": TLS | SNAPPY,
    "tls and deflate": TLS | DEFLATE,
}
EVERY_STACK = pytest.mark.parametrize("features", STACKS.values(), ids=STACKS.keys())


def sized(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@EVERY_STACK
@pytest.mark.shows(
    "nsqd IDENTIFY tls_v1",
    "nsqd IDENTIFY snappy",
    "nsqd IDENTIFY deflate",
    "nsqd IDENTIFY answers tls_v1",
    "nsqd IDENTIFY answers snappy",
    "nsqd IDENTIFY answers deflate",
    "nsqd: TLS, then its OK",
    "nsqd: snappy, then its OK",
    "nsqd: deflate, then its OK",
    "nsqd: TLS under snappy or deflate",
    "nsqd /stats client.tls",
    "nsqd /stats client.tls_version",
    "nsqd /stats client.snappy",
    "nsqd /stats client.deflate",
)
async def test_every_stack_carries_messages_both_ways(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade, features: dict[str, bool]
) -> None:
    nsqd = start()
    consumer, producer = await connect(nsqd), await connect(nsqd)
    big = os.urandom(300_000)
    bodies = [b"%d" % number * 20 for number in range(500)]

    for client in (consumer, producer):
        reply = await upgrade(client, **features)
        assert {name: reply[name] for name in ("tls_v1", "snappy", "deflate")} == {
            "tls_v1": False,
            "snappy": False,
            "deflate": False,
            **features,
        }
    await consumer.subscribe("events", "work", 100)
    await producer.publish("events", *bodies)
    await producer.publish("events", big)
    for body in [*bodies, big]:
        message = await consumer.message()
        assert message.body == body
        consumer.finish(message)
    shown = nsqd.channel("events", "work")["clients"][0]

    assert (shown["tls"], shown["snappy"], shown["deflate"]) == (
        "tls_v1" in features,
        "snappy" in features,
        "deflate" in features,
    )
    assert shown["tls_version"] == ("TLS1.3" if shown["tls"] else "")
    assert shown["tls_cipher_suite"].startswith("Unknown 48" if shown["tls"] else "")
    assert shown["tls_negotiated_protocol"] == ""


@EVERY_STACK
async def test_errors_heartbeats_and_the_end_come_through_every_stack(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade, features: dict[str, bool]
) -> None:
    nsqd = start()
    client = await connect(nsqd)
    await upgrade(client, heartbeat_interval=1000, **features)

    plain = b""
    async with asyncio.timeout(DEADLINE_S):
        while b"_heartbeat_" not in plain:
            plain += await client.reader.read(1 << 16)
    client.send(b"NOP\nSUB bad!name c\n")

    assert await client.closed() == [(1, b'E_BAD_TOPIC SUB topic name "bad!name" is not valid')]


@EVERY_STACK
async def test_a_consumer_that_does_not_read_is_not_dealt_more(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade, eventually: Eventually, features: dict[str, bool]
) -> None:
    nsqd = start()
    slow, producer = await connect(nsqd), await connect(nsqd)
    await upgrade(slow, **features)
    await slow.subscribe("events", "work")
    for _ in range(40):
        await producer.publish("events", os.urandom(1_000_000))

    # Only what the system's buffers, asyncio's in this process among them, hold is on its way.
    slow.send(b"RDY 2500\n")
    held = 0

    def is_stuck() -> bool:
        nonlocal held
        before, held = held, nsqd.channel("events", "work")["in_flight_count"]
        return bool(0 < held == before)

    await eventually(is_stuck)
    assert held < 35
    for _ in range(40):
        slow.finish(await slow.message())
    await eventually(lambda: nsqd.channel("events", "work")["in_flight_count"] == 0)


@pytest.mark.shows("nsqd: HTTP: HTTPS beside HTTP")
def test_without_a_certificate_there_is_no_https(daemons: Any) -> None:
    assert "https" not in "".join(daemons.nsqd().log)


@pytest.mark.shows("nsqd IDENTIFY deflate_level", "nsqd --deflate", "nsqd --snappy", "nsqd --max-deflate-level")
async def test_what_is_switched_off_is_not_granted(daemons: Any, connect: Any) -> None:
    nsqd = daemons.nsqd("--deflate=false", "--snappy=false", "--max-deflate-level=3")
    client = await connect(nsqd)
    reply = await client.identify(tls_v1=True, snappy=True, deflate=True, deflate_level=9)

    assert (reply["tls_v1"], reply["snappy"], reply["deflate"]) == (False, False, False)
    assert (reply["deflate_level"], reply["max_deflate_level"]) == (3, 3)
    assert await client.ask(b"SUB t c\n") == b"OK"


@pytest.mark.shows("nsqd: both compressions at once are refused", "nsqd E_IDENTIFY_FAILED")
async def test_two_compressions_at_once_are_refused(start: Callable[..., Any], connect: Any) -> None:
    client = await connect(start())
    client.send(b"IDENTIFY\n" + sized(b'{"feature_negotiation":true,"tls_v1":true,"snappy":true,"deflate":true}'))

    assert await client.closed() == [(1, b"E_IDENTIFY_FAILED cannot enable both deflate and snappy compression")]


@pytest.mark.shows(
    "nsqd: bytes behind IDENTIFY, before its answer", better="refused with the reason; NSQ may lose them"
)
async def test_who_does_not_wait_for_the_answer_to_identify_is_refused(start: Callable[..., Any], connect: Any) -> None:
    client = await connect(start())
    client.send(b"IDENTIFY\n" + sized(b'{"feature_negotiation":true,"deflate":true}') + b"NOP\n")
    (_, reply), error = await client.closed()

    assert json.loads(reply)["deflate"]
    assert error == (1, b"E_IDENTIFY_FAILED IDENTIFY failed more was sent before its answer")


@EVERY_STACK
async def test_publishes_before_identify_are_answered_before_the_upgrade(
    start: Callable[..., Any], connect: Any, certificates: Any, features: dict[str, bool]
) -> None:
    client = await connect(start("--durability=fsync"))
    client.send(b"".join(b"PUB events\n" + sized(b"%d" % number) for number in range(50)))
    body = json.dumps({"feature_negotiation": True, **features}).encode()
    client.send(b"IDENTIFY\n" + sized(body))

    assert [await client.raw_frame() for _ in range(50)] == [(0, b"OK")] * 50
    _, reply = await client.raw_frame()
    assert json.loads(reply)
    if "tls_v1" in features:
        await client.writer.start_tls(certificates.context(), server_hostname="127.0.0.1")
        assert await client.raw_frame() == (0, b"OK")


@pytest.mark.shows("nsqd: a second upgrade of a connection")
@pytest.mark.parametrize("features", [SNAPPY, DEFLATE], ids=["snappy", "deflate"])
async def test_compression_over_tls_may_be_asked_for_in_a_second_identify(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade, features: dict[str, bool]
) -> None:
    nsqd = start()
    client, producer = await connect(nsqd), await connect(nsqd)
    await upgrade(client, tls_v1=True)
    reply = await client.identify(client_id="me", tls_v1=False)
    assert reply["tls_v1"] is False
    await upgrade(client, **features)
    await client.subscribe("events", "work", 10)
    big = os.urandom(300_000)
    await producer.publish("events", big)

    message = await client.message()
    assert message.body == big
    shown = nsqd.channel("events", "work")["clients"][0]
    assert (shown["tls"], shown["snappy"], shown["deflate"]) == (True, "snappy" in features, "deflate" in features)


@pytest.mark.parametrize(("has", "asks"), [(TLS, TLS), (SNAPPY, TLS), (SNAPPY, SNAPPY), (TLS | DEFLATE, SNAPPY)])
async def test_a_layer_is_not_taken_away_for_another(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade, has: dict[str, bool], asks: dict[str, bool]
) -> None:
    client = await connect(start())
    await upgrade(client, **has)
    client.send(b"IDENTIFY\n" + sized(json.dumps({"feature_negotiation": True, **asks}).encode()))

    assert await client.error() == b"E_IDENTIFY_FAILED IDENTIFY failed the connection was upgraded before"


async def test_bytes_that_are_not_what_was_agreed_on_end_the_connection(
    start: Callable[..., Any], connect: Any, upgrade: Upgrade
) -> None:
    nsqd = start()
    for features in (SNAPPY, DEFLATE, TLS | SNAPPY, TLS | DEFLATE):
        client = await connect(nsqd)
        await upgrade(client, **features)
        client.writer.raw.write(b"\x07PUB events\n" * 3)
        assert await client.closed() == []
    assert nsqd.get("/ping") == b"OK"


async def test_a_bomb_is_read_within_bounds(start: Callable[..., Any], connect: Any, upgrade: Upgrade) -> None:
    nsqd = start()
    before = nsqd.resident_bytes()
    client = await connect(nsqd)
    await upgrade(client, deflate=True)
    # A hundred million NOPs of a few bytes each would be fair play; a line without an end is not.
    client.send(bytes(200 << 20))

    assert await client.closed() == []
    assert nsqd.resident_bytes() - before < 64 << 20
    assert nsqd.get("/ping") == b"OK"


@EVERY_STACK
@pytest.mark.shows(
    "nsqd: TLS, then its OK",
    "nsqd: snappy, then its OK",
    "nsqd: deflate, then its OK",
    "nsqd: TLS under snappy or deflate",
)
async def test_pynsq_works_over_every_stack(
    start: Callable[..., Any], certificates: Any, eventually: Eventually, features: dict[str, bool]
) -> None:
    if "snappy" in features:
        pytest.importorskip("snappy", reason="pynsq needs python-snappy for snappy")
    nsqd = start()
    options: dict[str, Any] = {**features}
    if "tls_v1" in features:
        options["tls_options"] = {"ca_certs": certificates.authority}
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    published: asyncio.Queue[Any] = asyncio.Queue()

    def handle(message: Any) -> bool:
        arrived.put_nowait(message.body)
        return True

    writer = nsq.Writer([nsqd.tcp_address], **options)
    reader = nsq.Reader("events", "work", handle, nsqd_tcp_addresses=[nsqd.tcp_address], max_in_flight=20, **options)
    try:
        await eventually(lambda: bool(writer.conns))
        bodies = [b"%d" % number * 50 for number in range(200)]
        writer.mpub("events", bodies, callback=lambda _, data: published.put_nowait(data))
        writer.pub("events", b"x" * 200_000, callback=lambda _, data: published.put_nowait(data))
        async with asyncio.timeout(DEADLINE_S):
            assert [await published.get() for _ in range(2)] == [b"OK", b"OK"]
            got = [await arrived.get() for _ in range(201)]
        assert sorted(got) == sorted([*bodies, b"x" * 200_000])
        shown = nsqd.channel("events", "work")["clients"][0]
        assert {name for name in ("tls", "snappy", "deflate") if shown[name]} == {
            name.removesuffix("_v1") for name in features
        }
    finally:
        reader.close()
        for connection in list(writer.conns.values()):
            connection.close()
