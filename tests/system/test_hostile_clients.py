"""What clients get wrong, by mistake or on purpose, on a real nsqd: each is answered as NSQ answers, or let go.

All of it happens to one nsqd while a well-behaved neighbour publishes and reads there; no test passes unless that
neighbour was served before, during and after. `MILLSTREAM_HOSTILE_SEED` repeats what was thrown at random.
"""

import asyncio
import json
import os
import random
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any, Final

import pytest

Connect = Callable[..., Awaitable[Any]]

DEADLINE_S: Final = 20
SEED: Final = int(os.environ.get("MILLSTREAM_HOSTILE_SEED", "0")) or random.randrange(1, 1 << 32)
MIB: Final = 1 << 20
ID: Final = b"0123456789abcdef"
pytestmark = pytest.mark.usefixtures("served")
ERROR_FRAME: Final = re.compile(rb"E_[A-Z_]+( |$)")


@pytest.fixture(scope="module")
def nsqd(shared_nsqd: Any) -> Any:
    """The daemon under attack, with a topic that has a channel."""
    shared_nsqd.post("/topic/create?topic=t")
    shared_nsqd.post("/channel/create?topic=t&channel=c")
    return shared_nsqd


def sized(body: bytes, size: int | None = None) -> bytes:
    """A body behind its size, or behind what it says is its size."""
    return struct.pack(">i", len(body) if size is None else size) + body


def batch(*bodies: bytes, count: int | None = None) -> bytes:
    """The body of MPUB, sizes and all."""
    packed = struct.pack(">i", len(bodies) if count is None else count) + b"".join(map(sized, bodies))
    return sized(packed)


def identify(**fields: object) -> bytes:
    return b"IDENTIFY\n" + sized(json.dumps(fields).encode())


SUBSCRIBED: Final = b"SUB t c\n"
CLOSING: Final = b"SUB t c\nCLS\n"
LONG: Final = b"n" * 65

# What is said before, what is wrong, and the answer, after which the connection is closed.
FATAL: Final[list[tuple[bytes, bytes, str]]] = [
    (b"", b"HELLO t\n", "E_INVALID invalid command HELLO"),
    (b"", b"\n", "E_INVALID invalid command "),
    (b"", b" PUB t\n", "E_INVALID invalid command "),
    (b"", b"pub t\n", "E_INVALID invalid command pub"),
    (b"", b"FINAL\n", "E_INVALID invalid command FINAL"),
    (b"", b"\x00\xff\n", "E_INVALID invalid command \x00\udcff"),
    # States.
    *[(b"", line + b"\n", f"E_INVALID cannot {line.split()[0].decode()} in current state") for line in (
        b"RDY 1", b"FIN " + ID, b"REQ " + ID + b" 0", b"TOUCH " + ID, b"CLS", b"FIN", b"RDY x",
    )],
    *[(SUBSCRIBED, data, f"E_INVALID cannot {data.split()[0].decode()} in current state") for data in (
        b"SUB t c\n", b"SUB\n", identify(), b"AUTH\n" + sized(b"secret"),
    )],
    (CLOSING, b"CLS\n", "E_INVALID cannot CLS in current state"),
    (CLOSING, b"SUB t c\n", "E_INVALID cannot SUB in current state"),
    # IDENTIFY.
    (b"", b"IDENTIFY\n" + sized(b"", 0), "E_BAD_BODY IDENTIFY invalid body size 0"),
    (b"", b"IDENTIFY\n" + sized(b"", -1), "E_BAD_BODY IDENTIFY invalid body size -1"),
    (b"", b"IDENTIFY\n" + sized(b"", 5242881), "E_BAD_BODY IDENTIFY body too big 5242881 > 5242880"),
    *[(b"", b"IDENTIFY\n" + sized(body), "E_BAD_BODY IDENTIFY failed to decode JSON body") for body in (
        b"{", b"[]", b"1", b'"a"', b"{} x", b'{"heartbeat_interval":1000.0}', b'{"heartbeat_interval":1e3}',
        b'{"heartbeat_interval":"1000"}', b'{"tls_v1":1}', b'{"client_id":7}', b'{"sample_rate":2147483648}',
        b'{"msg_timeout":9223372036854775808}', b"[" * 100_000, b"\xff",
    )],
    *[(b"", identify(**{name: value}), f"E_BAD_BODY IDENTIFY {name.replace('_', ' ')} ({value}) is invalid")
      for name, value in (
        ("heartbeat_interval", 100), ("heartbeat_interval", 60_001), ("heartbeat_interval", -2),
        ("output_buffer_timeout", 24), ("output_buffer_timeout", 30_001), ("output_buffer_size", 63),
        ("output_buffer_size", 65_537), ("sample_rate", 100), ("sample_rate", -1), ("msg_timeout", 999),
        ("msg_timeout", 900_001), ("msg_timeout", -1),
    )],
    # AUTH.
    (b"", b"AUTH x\n", "E_INVALID AUTH invalid number of parameters"),
    (b"", b"AUTH \n", "E_INVALID AUTH invalid number of parameters"),
    (b"", b"AUTH\n" + sized(b"secret"), "E_AUTH_DISABLED AUTH disabled"),
    (b"", b"AUTH\n" + sized(b"", 0), "E_BAD_BODY AUTH invalid body size 0"),
    (b"", b"AUTH\n" + sized(b"", 5242881), "E_BAD_BODY AUTH body too big 5242881 > 5242880"),
    # SUB.
    (b"", b"SUB\n", "E_INVALID SUB insufficient number of parameters"),
    (b"", b"SUB t\n", "E_INVALID SUB insufficient number of parameters"),
    *[(b"", b"SUB %b c\n" % name, f'E_BAD_TOPIC SUB topic name "{name.decode()}" is not valid') for name in (
        b"", b"a:b", b"a/b", b"#ephemeral", b"t#", LONG, "é".encode(),
    )],
    (b"", b'SUB a\t"\xff c\n', r'E_BAD_TOPIC SUB topic name "a\t\"\xff" is not valid'),
    (b"", b"SUB t \n", 'E_BAD_CHANNEL SUB channel name "" is not valid'),
    (b"", b"SUB t c!\n", 'E_BAD_CHANNEL SUB channel name "c!" is not valid'),
    (b"", b"SUB t " + LONG + b"\n", f'E_BAD_CHANNEL SUB channel name "{LONG.decode()}" is not valid'),
    (identify(heartbeat_interval=-1), b"SUB t c\n", "E_INVALID cannot SUB with heartbeats disabled"),
    # PUB and DPUB.
    *[case for name, line in (("PUB", b"PUB t\n"), ("DPUB", b"DPUB t 1\n"), ("PUB", b"PUB t more\n")) for case in (
        (b"", line + sized(b"", 0), f"E_BAD_MESSAGE {name} invalid message body size 0"),
        (b"", line + sized(b"", -1), f"E_BAD_MESSAGE {name} invalid message body size -1"),
        (b"", line + sized(b"", -(1 << 31)), f"E_BAD_MESSAGE {name} invalid message body size -2147483648"),
        (b"", line + sized(b"", MIB + 1), f"E_BAD_MESSAGE {name} message too big 1048577 > 1048576"),
        (b"", line + sized(b"", (1 << 31) - 1), f"E_BAD_MESSAGE {name} message too big 2147483647 > 1048576"),
    )],
    (b"", b"PUB\n", "E_INVALID PUB insufficient number of parameters"),
    (b"", b"DPUB\n", "E_INVALID DPUB insufficient number of parameters"),
    (b"", b"DPUB t\n", "E_INVALID DPUB insufficient number of parameters"),
    (b"", b"PUB \n" + sized(b"x"), 'E_BAD_TOPIC PUB topic name "" is not valid'),
    (b"", b"PUB t$\n" + sized(b"x"), 'E_BAD_TOPIC PUB topic name "t$" is not valid'),
    (b"", b"DPUB t$ 1\n" + sized(b"x"), 'E_BAD_TOPIC DPUB topic name "t$" is not valid'),
    *[(b"", b"DPUB t %b\n" % number + sized(b"x"), f"E_INVALID DPUB could not parse timeout {number.decode()}")
      for number in (b"x", b"-1", b"+1", b"1.5", b"1s", b"0x1")],
    (b"", b"DPUB t 3600001\n" + sized(b"x"), "E_INVALID DPUB timeout 3600001 out of range 0-3600000"),
    # MPUB.
    (b"", b"MPUB\n", "E_INVALID MPUB insufficient number of parameters"),
    (b"", b"MPUB t$\n" + batch(b"x"), 'E_BAD_TOPIC E_BAD_TOPIC MPUB topic name "t$" is not valid'),
    (b"", b"MPUB t\n" + sized(b"", 0), "E_BAD_BODY MPUB invalid body size 0"),
    (b"", b"MPUB t\n" + sized(b"", -5), "E_BAD_BODY MPUB invalid body size -5"),
    (b"", b"MPUB t\n" + sized(b"", 5242881), "E_BAD_BODY MPUB body too big 5242881 > 5242880"),
    (b"", b"MPUB t\n" + batch(b"x", count=0), "E_BAD_BODY MPUB invalid message count 0"),
    (b"", b"MPUB t\n" + batch(b"x", count=-1), "E_BAD_BODY MPUB invalid message count -1"),
    (b"", b"MPUB t\n" + batch(b"x", count=1048576), "E_BAD_BODY MPUB invalid message count 1048576"),
    (b"", b"MPUB t\n" + batch(b"x", b"", b"y"), "E_BAD_MESSAGE MPUB invalid message(1) body size 0"),
    (b"", b"MPUB t\n" + sized(struct.pack(">ii", 1, -7)), "E_BAD_MESSAGE MPUB invalid message(0) body size -7"),
    (b"", b"MPUB t\n" + sized(struct.pack(">ii", 1, MIB + 1)), "E_BAD_MESSAGE MPUB message too big 1048577 > 1048576"),
    # RDY, FIN, REQ, TOUCH.
    *[(SUBSCRIBED, b"RDY %b\n" % number, f"E_INVALID RDY could not parse count {number.decode()}")
      for number in (b"x", b"-1", b"+1", b"1.0", b"1e3")],
    (SUBSCRIBED, b"RDY 2501\n", "E_INVALID RDY count 2501 out of range 0-2500"),
    (SUBSCRIBED, b"FIN\n", "E_INVALID FIN insufficient number of params"),
    (SUBSCRIBED, b"TOUCH\n", "E_INVALID TOUCH insufficient number of params"),
    (SUBSCRIBED, b"REQ\n", "E_INVALID REQ insufficient number of params"),
    (SUBSCRIBED, b"REQ " + ID + b"\n", "E_INVALID REQ insufficient number of params"),
    *[(SUBSCRIBED, line + b"\n", "E_INVALID invalid message ID") for line in (
        b"FIN x", b"FIN ", b"FIN " + ID + b"0", b"FIN " + ID[1:], b"TOUCH x", b"REQ x 0",
    )],
    *[(SUBSCRIBED, b"REQ " + ID + b" " + number + b"\n", f"E_INVALID REQ could not parse timeout {number.decode()}")
      for number in (b"x", b"-1", b"1.5")],
]  # fmt: skip

HARMLESS: Final[list[tuple[bytes, str]]] = [
    (b"FIN " + ID + b"\n", f"E_FIN_FAILED FIN {ID.decode()} failed ID not in flight"),
    (b"REQ " + ID + b" 0\n", f"E_REQ_FAILED REQ {ID.decode()} failed ID not in flight"),
    (b"TOUCH " + ID + b"\n", f"E_TOUCH_FAILED TOUCH {ID.decode()} failed ID not in flight"),
    (b"FIN zzzzzzzzzzzzzzzz\n", "E_FIN_FAILED FIN zzzzzzzzzzzzzzzz failed ID not in flight"),
    (b"FIN ffffffffffffffff\n", "E_FIN_FAILED FIN ffffffffffffffff failed ID not in flight"),
    (b"FIN ABCDEFABCDEFABCD\r\n", "E_FIN_FAILED FIN ABCDEFABCDEFABCD failed ID not in flight"),
]

# Odd, but right.
ACCEPTED: Final = [b"NOP\r\n", b"RDY\n", b"RDY \n", b"RDY 18446744073709551617\n", b"RDY 0 more\n", b"NOP x y\n"]


# The client stops in the middle of a body, and listens.
CUT_SHORT: Final = [
    (b"PUB t\n\x00\x00", "E_BAD_MESSAGE PUB failed to read message body size"),
    (b"PUB t\n\x00\x00\x00\x05ab", "E_BAD_MESSAGE PUB failed to read message body"),
    (b"DPUB t 1\n", "E_BAD_MESSAGE DPUB failed to read message body size"),
    (b"DPUB t 1\n\x00\x00\x00\x05ab", "E_BAD_MESSAGE DPUB failed to read message body"),
    (b"MPUB t\n\x00", "E_BAD_BODY MPUB failed to read body size"),
    (b"MPUB t\n\x00\x00\x00\x20", "E_BAD_BODY MPUB failed to read message count"),
    (b"MPUB t\n" + batch(b"x", count=2)[:-1], "E_BAD_MESSAGE MPUB failed to read message body"),
    (b"MPUB t\n" + sized(batch(b"x", count=2)[4:], 90), "E_BAD_MESSAGE MPUB failed to read message(1) body size"),
    (b"IDENTIFY\n", "E_BAD_BODY IDENTIFY failed to read body size"),
    (b"IDENTIFY\n\x00\x00\x00\x05{", "E_BAD_BODY IDENTIFY failed to read body"),
    (b"AUTH\n", "E_BAD_BODY AUTH failed to read body size"),
    (b"AUTH\n\x00\x00\x00\x05a", "E_BAD_BODY AUTH failed to read body"),
]


def error_frame(text: str) -> tuple[int, bytes]:
    return 1, text.encode("utf-8", "surrogateescape")


async def say(client: Any, before: bytes) -> None:
    """What precedes the mistake: lines that are answered one by one, or one command with a body."""
    for line in before.splitlines(keepends=True) if before.startswith(b"SUB") else [before] * bool(before):
        await client.ask(line)


async def drip(client: Any, data: bytes) -> None:
    """Send one byte at a time, as long as anybody listens."""
    with suppress(ConnectionError):
        for index in range(len(data)):
            client.send(data[index : index + 1])
            await client.writer.drain()
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("before", "wrong", "text"), FATAL, ids=[f"{index} {text[:60]}" for index, (_, _, text) in enumerate(FATAL)]
)
async def test_a_fatal_mistake_is_named_and_ends_the_connection(
    nsqd: Any, connect: Connect, before: bytes, wrong: bytes, text: str
) -> None:
    client = await connect(nsqd)
    await say(client, before)
    client.send(wrong)

    assert await client.closed() == [error_frame(text)]


async def test_mistakes_that_come_byte_by_byte_are_no_different(nsqd: Any, connect: Connect) -> None:
    async def check(before: bytes, wrong: bytes, text: str) -> None:
        client = await connect(nsqd)
        await say(client, before)
        await drip(client, wrong)
        # Bytes sent after the answer make a reset of the close, which may take the answer with it.
        assert await client.closed() in ([], [error_frame(text)]), wrong

    await asyncio.gather(*[check(*case) for case in FATAL if len(case[1]) < 200])


@pytest.mark.parametrize(("wrong", "text"), CUT_SHORT, ids=[text for _, text in CUT_SHORT])
async def test_a_body_that_never_comes_is_named(nsqd: Any, connect: Connect, wrong: bytes, text: str) -> None:
    client = await connect(nsqd)
    client.send(wrong)
    client.writer.write_eof()

    assert await client.closed() == [error_frame(text)]


async def test_who_stops_sending_still_gets_the_replies_that_are_owed(nsqd: Any, connect: Connect) -> None:
    client = await connect(nsqd)
    client.send(b"MPUB t\n" + batch(b"a", b"b") + b"PUB t\n" + sized(b"c") + b"PUB t")
    client.writer.write_eof()

    assert await client.closed() == [(0, b"OK"), (0, b"OK")]


async def test_answers_to_messages_that_are_not_held_are_refused_and_no_more(nsqd: Any, connect: Connect) -> None:
    client = await connect(nsqd)
    await client.subscribe("t", "c")
    for line, text in HARMLESS:
        client.send(line)
        assert await client.frame() == error_frame(text)
    client.send(b"".join(line for line, _ in HARMLESS))
    for _, text in HARMLESS:
        assert await client.frame() == error_frame(text)
    await client.publish("t", b"still welcome")


async def test_a_message_of_another_client_is_not_given_away(nsqd: Any, connect: Connect) -> None:
    holder, thief = await connect(nsqd), await connect(nsqd)
    await holder.subscribe("held", "c", 1)
    await thief.subscribe("held", "c")
    await holder.publish("held", b"mine")
    message = await holder.message()
    thief.send(b"FIN %b\nREQ %b 0\nTOUCH %b\n" % (message.id, message.id, message.id))

    for name in ("FIN", "REQ", "TOUCH"):
        text = f"E_{name}_FAILED {name} {message.id.decode()} failed client does not own message"
        assert await thief.frame() == error_frame(text)
    holder.finish(message)
    await holder.publish("held", b"next")


async def test_what_is_odd_but_right_is_accepted(nsqd: Any, connect: Connect) -> None:
    client = await connect(nsqd)
    await client.subscribe("odd", "c")
    for data in ACCEPTED:
        client.send(data)
    client.send(b"RDY 0\nDPUB odd \n" + sized(b"x") + b"MPUB odd\n" + batch(b"a") + b"NOP\r\n")
    assert [await client.response() for _ in range(2)] == [b"OK", b"OK"]
    assert await client.ask(b"CLS\n") == b"CLOSE_WAIT"
    client.send(b"RDY 5\n")
    await client.publish("odd", b"RDY is ignored now")


async def test_a_conversation_may_come_byte_by_byte(nsqd: Any, connect: Connect) -> None:
    client = await connect(nsqd, b"")
    body = json.dumps({"client_id": "slow"}).encode()
    said = b"  V2IDENTIFY\n" + sized(body) + b"SUB drip c\nRDY 5\nMPUB drip\n" + batch(b"a", b"bc")
    await drip(client, said + b"PUB drip\n" + sized(b"d") + b"NOP\n")
    frames = [await client.frame() for _ in range(7)]
    assert [data for kind, data in frames if kind == 0] == [b"OK"] * 4
    assert sorted(data[26:] for kind, data in frames if kind == 2) == [b"a", b"bc", b"d"]
    await drip(client, b"".join(b"FIN %b\n" % data[10:26] for kind, data in frames if kind == 2))
    await drip(client, b"CLS\n")
    assert await client.response() == b"CLOSE_WAIT"


@pytest.mark.parametrize("magic", [b"  V1", b"  v2", b"GET ", b"\x00\x00\x00\x00", b"\x16\x03\x01\x02"])
async def test_other_magic_is_refused(nsqd: Any, connect: Connect, magic: bytes) -> None:
    client = await connect(nsqd, magic)

    assert await client.closed() == [(1, b"E_BAD_PROTOCOL")]


@pytest.mark.parametrize("line", [b"x" * 16_384, b"PUB " + b"t" * 16_380, b"FIN " * 5_000])
async def test_a_line_without_end_is_closed_without_a_word(nsqd: Any, connect: Connect, line: bytes) -> None:
    client = await connect(nsqd)
    client.send(line)

    assert await client.closed() == []


@pytest.mark.shows(
    "nsqd: the magic, and what answers any other four bytes",
    better="who never sends them is let go after --handshake-timeout",
)
@pytest.mark.shows("nsqd --handshake-timeout")
async def test_who_never_finishes_the_magic_is_let_go(daemons: Any, connect: Connect) -> None:
    nsqd = daemons.nsqd("--handshake-timeout=300ms")
    greeted, *silent = [await connect(nsqd, first) for first in (b"  V2", b"", b" ", b"  V")]

    assert [await client.closed() for client in silent] == [[], [], []]
    await greeted.publish("t", b"was in time")


def flood(client: socket.socket, data: bytes, bytes_max: int) -> int:
    """Send over and over without reading, until the other side takes no more: how many bytes it took."""
    client.settimeout(1)
    sent = 0
    with suppress(TimeoutError, ConnectionError):
        while sent < bytes_max:
            sent += client.send(data[sent % len(data) :])
    return sent


def deaf(stack: ExitStack, nsqd: Any) -> socket.socket:
    """A client that has next to no room for what it does not read."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", nsqd.tcp_port))
    client.sendall(b"  V2")
    return client


def test_sizes_that_are_only_promised_take_no_memory(nsqd: Any, neighbour: Any) -> None:
    before = nsqd.resident_bytes()
    promised = (b"PUB t\n" + sized(b"x", MIB), b"MPUB t\n" + sized(b"", 5 * MIB), b"IDENTIFY\n" + sized(b"{", 5 * MIB))
    with ExitStack() as stack:
        for index in range(150):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", nsqd.tcp_port)))
            client.sendall(b"  V2" + promised[index % 3])
        neighbour.was_served()

        # More than half a gigabyte was promised.
        assert nsqd.resident_bytes() - before < 32 * MIB


def test_five_hundred_half_open_connections_do_no_harm(nsqd: Any, neighbour: Any) -> None:
    before = nsqd.resident_bytes()
    with ExitStack() as stack:
        for index in range(500):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", nsqd.tcp_port)))
            client.sendall((b"", b"  V", b"  V2", b"  V2PUB t")[index % 4])
        neighbour.was_served()

        assert nsqd.resident_bytes() - before < 48 * MIB


async def test_a_subscriber_that_never_reads_gets_little_and_hurts_nobody(
    nsqd: Any, connect: Connect, neighbour: Any
) -> None:
    nsqd.post("/topic/create?topic=heavy")
    nsqd.post("/channel/create?topic=heavy&channel=other")
    publisher, other = await connect(nsqd), await connect(nsqd)
    before = nsqd.resident_bytes()
    with ExitStack() as stack:
        for _ in range(5):
            deaf(stack, nsqd).sendall(b"SUB heavy deaf\nRDY 2500\n")
        await other.subscribe("heavy", "other", 100)
        for _ in range(20):
            await publisher.publish("heavy", *[bytes(100_000)] * 40)
            other.finish(*await other.messages(40))
        neighbour.was_served()

        # 80 MB were published, and each of the five would have had room for all of it in its RDY.
        assert nsqd.resident_bytes() - before < 48 * MIB
        assert nsqd.channel("heavy", "other")["in_flight_count"] <= 40
    nsqd.post("/topic/delete?topic=heavy")


@pytest.mark.parametrize(
    "command", [b"PUB deaf\n" + sized(b"x" * 100), identify(feature_negotiation=True), b"HELP ME\n" * 100, b"FIN x\n"]
)
def test_a_publisher_that_never_reads_is_not_read_from_for_ever(nsqd: Any, neighbour: Any, command: bytes) -> None:
    before = nsqd.resident_bytes()
    with ExitStack() as stack:
        client = deaf(stack, nsqd)
        flood(client, command * 2_000, 4 * MIB)
        neighbour.was_served()

        assert nsqd.resident_bytes() - before < 32 * MIB


def test_thousands_of_replies_wait_until_they_are_read(nsqd: Any, neighbour: Any) -> None:
    before = nsqd.resident_bytes()
    count = 30_000
    with ExitStack() as stack:
        client = deaf(stack, nsqd)
        sender = threading.Thread(target=client.sendall, args=((b"PUB deaf\n" + sized(b"x")) * count,))
        sender.start()
        neighbour.was_served()
        assert nsqd.resident_bytes() - before < 32 * MIB

        client.settimeout(DEADLINE_S)
        with client.makefile("rb") as replies:
            got = replies.read(10 * count)
        sender.join(DEADLINE_S)
        assert got == b"\x00\x00\x00\x06\x00\x00\x00\x00OK" * count


def rubbish(rng: random.Random) -> bytes:
    """Commands as they should be, with bytes changed, cut out and put in; or nothing but chance."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(1, 3_000))
    good = [
        identify(client_id="x", feature_negotiation=True), b"SUB rubbish c\n", b"RDY 10\n", b"NOP\n", b"CLS\n",
        b"PUB rubbish\n" + sized(rng.randbytes(50)), b"MPUB rubbish\n" + batch(b"a", rng.randbytes(300), b"c"),
        b"DPUB rubbish 5\n" + sized(b"later"), b"FIN " + ID + b"\n", b"REQ " + ID + b" 10\n", b"TOUCH " + ID + b"\n",
    ]  # fmt: skip
    data = bytearray(b"".join(rng.choices(good, k=rng.randrange(1, 30))))
    for _ in range(rng.choice((0, 1, 3, 30))):
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        data = data or bytearray(b"x")
    return bytes(data)


async def test_rubbish_in_any_pieces_is_answered_with_frames_or_a_close(nsqd: Any, connect: Connect) -> None:
    async def throw(seed: int) -> None:
        rng = random.Random(seed)
        client = await connect(nsqd, b"  V2" if rng.random() < 0.9 else rng.randbytes(4))
        data = rubbish(rng)
        with suppress(OSError):
            while data:
                size = rng.choice((1, 2, 5, 50, 1_000))
                client.send(data[:size])
                await client.writer.drain()
                data = data[size:]
                await asyncio.sleep(0)
            client.writer.write_eof()
        for kind, payload in await client.closed():
            assert kind in {0, 1, 2}, seed
            assert kind != 1 or ERROR_FRAME.match(payload), (seed, payload)
            assert kind != 2 or len(payload) >= 26, (seed, payload)

    print(f"MILLSTREAM_HOSTILE_SEED={SEED}")  # noqa: T201 - pytest shows it on failure
    for start in range(0, 300, 50):
        await asyncio.gather(*[throw(SEED + start + index) for index in range(50)])
