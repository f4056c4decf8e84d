"""Bytes in any pieces give the same commands, and whatever else comes gives the documented error."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol import raw
from millstream.protocol.commands import Auth, Cls, Command, Dpub, Fin, Identify, Mpub, Nop, Pub, Rdy, Req, Sub, Touch
from millstream.protocol.errors import BadBody, CommandError
from millstream.protocol.parser import (
    COMMAND,
    FINISH,
    INCOMPLETE,
    LINE_BYTES_MAX,
    PUBLISH,
    PUBLISH_BATCH,
    PUBLISH_DEFERRED,
    CommandParser,
    LineTooLong,
    batch_of_lines,
)

MESSAGE_MAX = 100
BODY_MAX = 400
REQ_MAX_MS = 3_600_000
ID = b"0123456789abcdef"


def everything(_name: bytes) -> bool:
    return True


def parser() -> CommandParser:
    return CommandParser(everything, MESSAGE_MAX, BODY_MAX, REQ_MAX_MS)


class Session:
    """Feeds a parser as a session does: bytes pile up, and a scan begins where the incomplete command does."""

    def __init__(self, found: CommandParser | None = None) -> None:
        self.parser = found or parser()
        self.buffer = bytearray()
        self.needed = 0

    def feed(self, data: bytes) -> list[Command]:
        self.buffer += data
        if len(self.buffer) < self.needed:
            return []
        at = 0
        commands: list[Command] = []
        while at < len(self.buffer):
            kind = self.parser.scan(self.buffer, at, len(self.buffer))
            if kind == INCOMPLETE:
                break
            commands += self.found(kind, at)
            at = self.parser.position
        self.needed = self.parser.needed - at if at < len(self.buffer) and self.parser.needed else 0
        del self.buffer[:at]
        return commands

    def found(self, kind: int, at: int) -> Iterator[Command]:
        scanned, data = self.parser, self.buffer
        if kind == FINISH:
            yield from self.finished(at, scanned.position)
        elif kind == PUBLISH:
            yield Pub(scanned.topic, bytes(data[scanned.body : scanned.body + scanned.size]))
        elif kind == PUBLISH_DEFERRED:
            body = bytes(data[scanned.body : scanned.body + scanned.size])
            yield Dpub(scanned.topic, scanned.delay_ms, body)
        elif kind == PUBLISH_BATCH:
            bodies = []
            where = scanned.body
            for _ in range(scanned.count):
                size = raw.get32(data, where)
                bodies.append(bytes(data[where + 4 : where + 4 + size]))
                where += 4 + size
            assert where == scanned.position
            assert sum(map(len, bodies)) == scanned.size
            yield Mpub(scanned.topic, tuple(bodies))
        else:
            assert kind == COMMAND
            yield scanned.command

    def finished(self, at: int, stop: int) -> Iterator[Command]:
        """A run of FINs; the first whose id is none of ours is looked at as a line of its own."""
        while at < stop:
            if raw.get_id(self.buffer, at + 4) < 0:
                self.parser.line(self.buffer, at, len(self.buffer))
                yield self.parser.command
                return
            yield Fin(bytes(self.buffer[at + 4 : at + 20]))
            at += 21


def error_of(data: bytes) -> bytes:
    with pytest.raises(CommandError) as caught:
        Session().feed(data)
    return caught.value.encode()


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


names = st.from_regex(r"[.a-zA-Z0-9_-]{1,30}(#ephemeral)?", fullmatch=True)
ids = st.from_regex(r"[0-7][0-9a-f]{15}", fullmatch=True).map(str.encode)
bodies = st.binary(min_size=1, max_size=60)
commands = st.one_of(
    ids.map(Fin),
    ids.map(Fin),
    st.builds(Pub, names, bodies),
    st.builds(Mpub, names, st.lists(bodies, min_size=1, max_size=5).map(tuple)),
    st.builds(Dpub, names, st.integers(0, REQ_MAX_MS), bodies),
    st.builds(Sub, names, names),
    st.builds(Rdy, st.integers(0, 1 << 63)),
    st.builds(Req, ids, st.integers(0, REQ_MAX_MS)),
    st.builds(Touch, ids),
    st.builds(Identify, bodies),
    st.builds(Auth, bodies),
    st.just(Cls()),
    st.just(Nop()),
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def test_who_may_publish_a_batch_is_asked_before_its_body_is_looked_at() -> None:
    asked: list[str] = []
    found = parser()
    found.may_publish_batch = lambda topic: bool(asked.append(topic)) or len(asked) > 1
    session = Session(found)

    assert session.feed(b"MPUB t\n") == []
    assert asked == ["t"]
    with pytest.raises(BadBody):
        session.feed(sized(b"\0\0\0\0"))


@given(st.lists(commands, max_size=12), st.lists(st.integers(0, 1 << 20), max_size=12), st.booleans())
def test_any_pieces_give_the_same_commands(sent: list[Command], cuts: list[int], bytewise: bool) -> None:
    data = b"".join(command.encode() for command in sent)
    session = Session()

    received: list[Command] = []
    for piece in [data[at : at + 1] for at in range(len(data))] if bytewise else pieces(data, cuts):
        received += session.feed(piece)

    assert received == sent
    assert not session.buffer


@given(st.lists(commands, max_size=8), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_a_guarded_parser_finds_the_same(sent: list[Command], cuts: list[int]) -> None:
    asked: list[bytes] = []

    def guard(name: bytes) -> bool:
        asked.append(name)
        return True

    found = CommandParser(guard, MESSAGE_MAX, BODY_MAX, REQ_MAX_MS)
    found.is_guarded = True
    session = Session(found)

    received: list[Command] = []
    for piece in pieces(b"".join(command.encode() for command in sent), cuts):
        received += session.feed(piece)

    assert received == sent
    assert {command.name.encode() for command in sent} == set(asked)


noise = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [
                *[b"FIN ", b"PUB ", b"MPUB ", b"DPUB ", b"SUB ", b"RDY ", b"REQ ", b"TOUCH ", b"IDENTIFY", b"AUTH"],
                *[
                    b"NOP",
                    b"CLS",
                    b"\n",
                    b"\r\n",
                    b" ",
                    b"t",
                    b"c",
                    ID,
                    b"7",
                    b"-1",
                    b"\xff",
                    b"\0\0\0\1",
                    b"\0\0\0\x09",
                ],
            ]
        ),
        max_size=12,
    ).map(b"".join),
)


def outcome(session: Session, chunks: list[bytes]) -> tuple[list[Command], str]:
    received: list[Command] = []
    try:
        for chunk in chunks:
            received += session.feed(chunk)
    except (CommandError, LineTooLong) as error:
        return received, str(error)
    return received, ""


@given(st.lists(noise, max_size=6).map(b"".join), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_random_bytes_give_commands_or_a_documented_error_and_the_same_in_any_pieces(
    data: bytes, cuts: list[int]
) -> None:
    _, whole = outcome(Session(), [data])
    _, split = outcome(Session(), pieces(data, cuts))

    assert whole == split
    assert whole == "" or whole.split(" ")[0] in {*CommandError.by_code, "a"}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"FOO\n", b"E_INVALID invalid command FOO"),
        (b"\n", b"E_INVALID invalid command "),
        (b" PUB t\n", b"E_INVALID invalid command "),
        (b"pub t\n", b"E_INVALID invalid command pub"),
        (b'A\xff"\n', b'E_INVALID invalid command A\xff"'),
        # IDENTIFY and AUTH
        (b"IDENTIFY\n\0\0\1\x91", b"E_BAD_BODY IDENTIFY body too big 401 > 400"),
        (b"IDENTIFY\n\0\0\0\0", b"E_BAD_BODY IDENTIFY invalid body size 0"),
        (b"IDENTIFY\n\xff\xff\xff\xff", b"E_BAD_BODY IDENTIFY invalid body size -1"),
        (b"AUTH \n\0\0\0\1x", b"E_INVALID AUTH invalid number of parameters"),
        (b"AUTH\n\0\0\1\x91", b"E_BAD_BODY AUTH body too big 401 > 400"),
        (b"AUTH\n\x80\0\0\0", b"E_BAD_BODY AUTH invalid body size -2147483648"),
        # SUB
        (b"SUB t\n", b"E_INVALID SUB insufficient number of parameters"),
        (b"SUB\n", b"E_INVALID SUB insufficient number of parameters"),
        (b"SUB t! c\n", b'E_BAD_TOPIC SUB topic name "t!" is not valid'),
        (b"SUB #ephemeral c\n", b'E_BAD_TOPIC SUB topic name "#ephemeral" is not valid'),
        (b"SUB t \n", b'E_BAD_CHANNEL SUB channel name "" is not valid'),
        (b"SUB t " + b"c" * 65 + b"\n", b'E_BAD_CHANNEL SUB channel name "%b" is not valid' % (b"c" * 65)),
        # PUB
        (b"PUB\n", b"E_INVALID PUB insufficient number of parameters"),
        (b"PUB \n", b'E_BAD_TOPIC PUB topic name "" is not valid'),
        (b'PUB a"b\x01\xff\n', b'E_BAD_TOPIC PUB topic name "a\\"b\\x01\\xff" is not valid'),
        (b"PUB t\n\0\0\0\0", b"E_BAD_MESSAGE PUB invalid message body size 0"),
        (b"PUB t\n\xff\xff\xff\xfe", b"E_BAD_MESSAGE PUB invalid message body size -2"),
        (b"PUB t\n\0\0\0\x65", b"E_BAD_MESSAGE PUB message too big 101 > 100"),
        # DPUB
        (b"DPUB t\n", b"E_INVALID DPUB insufficient number of parameters"),
        (b"DPUB ! 5\n", b'E_BAD_TOPIC DPUB topic name "!" is not valid'),
        (b"DPUB t x\n", b"E_INVALID DPUB could not parse timeout x"),
        (b"DPUB t 1x\n", b"E_INVALID DPUB could not parse timeout 1x"),
        (b"DPUB  5\n", b'E_BAD_TOPIC DPUB topic name "" is not valid'),
        (b"DPUB\n", b"E_INVALID DPUB insufficient number of parameters"),
        (b"DPUB t 999999999999999999\n", b"E_INVALID DPUB timeout 999999999999999999 out of range 0-3600000"),
        (b"DPUB t -1\n", b"E_INVALID DPUB could not parse timeout -1"),
        (b"DPUB t 3600001\n", b"E_INVALID DPUB timeout 3600001 out of range 0-3600000"),
        (b"DPUB t 5\n\0\0\0\0", b"E_BAD_MESSAGE DPUB invalid message body size 0"),
        (b"DPUB t 5\n\0\0\0\x65", b"E_BAD_MESSAGE DPUB message too big 101 > 100"),
        # MPUB
        (b"MPUB\n", b"E_INVALID MPUB insufficient number of parameters"),
        (b"MPUB t!\n", b'E_BAD_TOPIC E_BAD_TOPIC MPUB topic name "t!" is not valid'),
        (b"MPUB t\n\0\0\0\0", b"E_BAD_BODY MPUB invalid body size 0"),
        (b"MPUB t\n\0\0\1\x91", b"E_BAD_BODY MPUB body too big 401 > 400"),
        (b"MPUB t\n\0\0\0\x08\0\0\0\0", b"E_BAD_BODY MPUB invalid message count 0"),
        (b"MPUB t\n\0\0\0\x08\xff\xff\xff\xff", b"E_BAD_BODY MPUB invalid message count -1"),
        (b"MPUB t\n\0\0\0\x08\0\0\0\x50", b"E_BAD_BODY MPUB invalid message count 80"),
        (b"MPUB t\n\0\0\0\x09\0\0\0\x01\0\0\0\0x", b"E_BAD_MESSAGE MPUB invalid message(0) body size 0"),
        (b"MPUB t\n\0\0\0\x09\0\0\0\x01\xff\xff\xff\xffx", b"E_BAD_MESSAGE MPUB invalid message(0) body size -1"),
        (b"MPUB t\n\0\0\0\x09\0\0\0\x01\0\0\0\x65x", b"E_BAD_MESSAGE MPUB message too big 101 > 100"),
        # RDY, FIN, REQ, TOUCH
        (b"RDY x\n", b"E_INVALID RDY could not parse count x"),
        (b"RDY +1\n", b"E_INVALID RDY could not parse count +1"),
        (b"FIN\n", b"E_INVALID FIN insufficient number of params"),
        (b"FIN 0123456789abcde\n", b"E_INVALID invalid message ID"),
        (b"FIN 0123456789abcde\r\n", b"E_INVALID invalid message ID"),
        (b"FIN x\nNOP\nNOP\nNOP\nNOP\n", b"E_INVALID invalid message ID"),
        (b"REQ %b\n" % ID, b"E_INVALID REQ insufficient number of params"),
        (b"REQ x 5\n", b"E_INVALID invalid message ID"),
        (b"REQ %b x\n" % ID, b"E_INVALID REQ could not parse timeout x"),
        (b"REQ %b -1\n" % ID, b"E_INVALID REQ could not parse timeout -1"),
        (b"TOUCH\n", b"E_INVALID TOUCH insufficient number of params"),
        (b"TOUCH x\n", b"E_INVALID invalid message ID"),
    ],
)
def test_every_mistake_has_its_text(data: bytes, error: bytes) -> None:
    assert error_of(data) == error


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b"PUB t\r\n" + sized(b"x"), Pub("t", b"x")),
        (b"PUB t extra\n" + sized(b"x"), Pub("t", b"x")),
        (b"DPUB t \n" + sized(b"x"), Dpub("t", 0, b"x")),
        (b"DPUB t 0\n" + sized(b"x"), Dpub("t", 0, b"x")),
        (b"DPUB t 7\r\n" + sized(b"x"), Dpub("t", 7, b"x")),
        (b"DPUB t 3600000\n" + sized(b"x"), Dpub("t", 3_600_000, b"x")),
        (b"DPUB t 000000000000000009\n" + sized(b"x"), Dpub("t", 9, b"x")),
        (b"DPUB t 0000000000000000000010\n" + sized(b"x"), Dpub("t", 10, b"x")),
        (b"DPUB t 5 extra\n" + sized(b"x"), Dpub("t", 5, b"x")),
        (b"DPUB t 18446744073709551617\n" + sized(b"x"), Dpub("t", 1, b"x")),
        (b"PUB t\n" + sized(b"x" * MESSAGE_MAX), Pub("t", b"x" * MESSAGE_MAX)),
        (b"RDY\n", Rdy(1)),
        (b"RDY \n", Rdy(0)),
        (b"RDY 18446744073709551617\n", Rdy(1)),
        (b"RDY " + b"0" * 5000 + b"7\n", Rdy(7)),
        (b"REQ %b 9999999999\n" % ID, Req(ID, REQ_MAX_MS)),
        (b"REQ %b \n" % ID, Req(ID, 0)),
        (b"FIN %b\r\n" % ID, Fin(ID)),
        (b"FIN %b extra\n" % ID, Fin(ID)),
        (b"FIN \xff123456789abcdef\n", Fin(b"\xff123456789abcdef")),
        (b"SUB t c extra\n", Sub("t", "c")),
        (b"NOP extra\n", Nop()),
        (b"IDENTIFY extra\n" + sized(b"{}"), Identify(b"{}")),
    ],
)
def test_what_nsq_accepts_is_accepted(data: bytes, command: Command) -> None:
    assert Session().feed(data) == [command]


def test_surplus_bytes_of_a_batch_are_the_next_command() -> None:
    batch = (1).to_bytes(4, "big") + sized(b"x")

    assert Session().feed(b"MPUB t\n" + sized(batch + b"NOP\n")) == [Mpub("t", (b"x",)), Nop()]


@pytest.mark.parametrize("declared", [5, 399])
def test_the_messages_of_a_batch_say_where_it_ends_and_not_its_declared_size(declared: int) -> None:
    batch = (2).to_bytes(4, "big") + sized(b"abc") + sized(b"de")
    session = Session()
    data = b"MPUB t\n" + declared.to_bytes(4, "big") + batch

    assert [session.feed(data[at : at + 1]) for at in range(len(data) - 1)] == [[]] * (len(data) - 1)
    assert session.feed(data[-1:] + b"NOP\n") == [Mpub("t", (b"abc", b"de")), Nop()]


@pytest.mark.shows("nsqd MPUB", better="stops at --max-body-size whatever size it declares; NSQ goes on reading")
def test_a_batch_never_grows_beyond_the_largest_body() -> None:
    batch = (BODY_MAX // 5 - 1).to_bytes(4, "big") + sized(b"x" * MESSAGE_MAX) * (BODY_MAX // MESSAGE_MAX + 1)

    assert error_of(b"MPUB t\n\0\0\0\x09" + batch).startswith(b"E_BAD_BODY MPUB body too big")


def test_a_huge_size_waits_for_nothing() -> None:
    assert error_of(b"PUB t\n\x7f\xff\xff\xff").startswith(b"E_BAD_MESSAGE PUB message too big 2147483647")


def test_an_incomplete_body_says_where_it_ends() -> None:
    found = parser()
    data = bytearray(b"NOP\nPUB t\n\0\0\0\x09abc")

    assert found.scan(data, 4, len(data)) == INCOMPLETE
    assert found.needed == 4 + 6 + 4 + 9
    assert found.scan(data, 4, 9) == INCOMPLETE
    assert found.needed == 0
    assert found.scan(data, len(data), len(data)) == INCOMPLETE


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_fits_the_read_buffer_or_is_too_long(ending: bytes) -> None:
    fits = b"NOP " + b"x" * (LINE_BYTES_MAX - 4 - len(ending)) + ending

    assert Session().feed(fits) == [Nop()]
    with pytest.raises(LineTooLong):
        Session().feed(b"x" + fits)
    with pytest.raises(LineTooLong):
        Session().feed(b"x" * LINE_BYTES_MAX)


def test_what_the_guard_ignores_is_a_nop_whatever_its_parameters() -> None:
    session = Session(CommandParser(lambda name: name != b"RDY", MESSAGE_MAX, BODY_MAX, REQ_MAX_MS))

    assert session.feed(b"RDY x\nCLS\n") == [Nop(), Cls()]


def test_the_topic_of_the_command_before_is_not_taken_for_a_bad_one() -> None:
    session = Session()
    session.feed(b"PUB clicks\n" + sized(b"x"))

    assert session.feed(b"PUB click\n" + sized(b"y")) == [Pub("click", b"y")]
    assert session.feed(b"MPUB clicks\n" + sized((1).to_bytes(4, "big") + sized(b"z"))) == [Mpub("clicks", (b"z",))]
    with pytest.raises(CommandError):
        session.feed(b"PUB \n")


@given(st.binary(max_size=60).map(lambda body: body.replace(b"a", b"\n")))
def test_lines_become_a_batch_without_the_empty_ones(body: bytes) -> None:
    lines = [line for line in body.split(b"\n") if line]

    batch, count, size_bytes = batch_of_lines(b"before\n" + body, 7, 60)

    assert bytes(batch) == b"".join(len(line).to_bytes(4, "big") + line for line in lines)
    assert (count, size_bytes) == (len(lines), sum(map(len, lines)))


def test_a_line_that_is_too_long_is_refused() -> None:
    with pytest.raises(CommandError, match="too big 4 > 3"):
        batch_of_lines(b"abc\nabcd", 0, 3)
