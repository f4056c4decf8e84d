import asyncio

import pytest

from millstream.nsqd.announce_peer import AnnounceLimits, Link, PeerFailed
from millstream.protocol.lookup import MAGIC_V1, Ping, Register, encode_reply

OK = encode_reply(b"OK")


class Wire(asyncio.Transport):
    """A transport that answers each write as it is told to."""

    def __init__(self, link: Link, answers: list[bytes]) -> None:
        super().__init__()
        self.link = link
        self.answers = answers
        self.written = b""
        link.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        if self.answers:
            self.link.data_received(self.answers.pop(0))

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.link.connection_lost, None)


def linked(*answers: bytes) -> tuple[Link, Wire]:
    link = Link(AnnounceLimits(reply_timeout_ms=20, reply_bytes_max=100), asyncio.Event())
    return link, Wire(link, list(answers))


async def test_commands_leave_in_one_write_and_replies_come_back_in_order() -> None:
    link, wire = linked(encode_reply(b"a") + encode_reply(b"b"))

    assert await link.ask([Ping(), Register("t", "c")], preface=MAGIC_V1) == [b"a", b"b"]

    assert wire.written == b"  V1PING\nREGISTER t c\n"


async def test_a_reply_may_come_in_pieces() -> None:
    link, _ = linked(OK[:3])
    asyncio.get_running_loop().call_soon(link.data_received, OK[3:])

    assert await link.ask([Ping()]) == [b"OK"]


async def test_a_missing_reply_is_a_failure_that_shows_what_came_before() -> None:
    link, _ = linked(encode_reply(b"E_INVALID no"))

    with pytest.raises(PeerFailed, match=r"no reply within 20ms, after replying b'E_INVALID no'"):
        await link.ask([Ping(), Ping()])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (OK * 2, "nobody asked for"),
        (b"\xff\xff\xff\xff", "outside 0 to 100"),
        (b"\x00\x00\x00\x65", "outside 0 to 100"),
    ],
)
async def test_nonsense_ends_the_connection(answer: bytes, reason: str) -> None:
    link, _ = linked(answer)

    with pytest.raises(PeerFailed, match=reason):
        await link.ask([Ping()])
    with pytest.raises(PeerFailed, match=reason):
        link.check()


async def test_a_reply_that_nobody_waits_for_ends_the_connection() -> None:
    link, _ = linked()

    link.data_received(OK)

    with pytest.raises(PeerFailed, match="nobody asked for"):
        await link.ask([Ping()])


async def test_a_closed_connection_is_noticed_without_asking() -> None:
    changed = asyncio.Event()
    link = Link(AnnounceLimits(), changed)
    Wire(link, [])

    link.connection_lost(None)

    assert changed.is_set()
    with pytest.raises(PeerFailed, match="closed the connection"):
        link.check()


async def test_closing_waits_for_the_end() -> None:
    link, _ = linked()

    await link.close()

    with pytest.raises(PeerFailed):
        link.check()
