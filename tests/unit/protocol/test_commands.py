"""Commands as bytes; `read` below is the grammar of NSQ, written a second time and plainly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import UsageError
from millstream.protocol.commands import (
    MAGIC_V2,
    Auth,
    Cls,
    Command,
    Dpub,
    Fin,
    Identify,
    Mpub,
    Nop,
    Pub,
    Rdy,
    Req,
    Sub,
    Touch,
)

ID = b"0123456789abcdef"

names = st.from_regex(r"[.a-zA-Z0-9_-]{1,54}(#ephemeral)?", fullmatch=True)
ids = st.binary(min_size=16, max_size=16).filter(lambda value: not set(value) & set(b" \r\n"))
bodies = st.binary(max_size=40)
naturals = st.integers(0, 2**63 - 1)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Identify, bodies),
    st.builds(Auth, bodies),
    st.builds(Sub, names, names),
    st.builds(Rdy, naturals),
    st.builds(Fin, ids),
    st.builds(Req, ids, naturals),
    st.builds(Touch, ids),
    st.just(Cls()),
    st.just(Nop()),
    st.builds(Pub, names, bodies),
    st.builds(Mpub, names, st.lists(bodies, max_size=5)),
    st.builds(Dpub, names, naturals, bodies),
)


def read(data: bytes) -> tuple[Command, bytes]:
    """The first command of well-formed bytes, and what follows it."""
    line, _, rest = data.partition(b"\n")
    name, *words = line.split(b" ")
    texts = [word.decode("latin-1") for word in words]
    match name:
        case b"CLS":
            return Cls(), rest
        case b"NOP":
            return Nop(), rest
        case b"SUB":
            return Sub(*texts), rest
        case b"RDY":
            return Rdy(int(words[0])), rest
        case b"FIN":
            return Fin(words[0]), rest
        case b"TOUCH":
            return Touch(words[0]), rest
        case b"REQ":
            return Req(words[0], int(words[1])), rest
    body, rest = sized(rest)
    match name:
        case b"IDENTIFY":
            return Identify(body), rest
        case b"AUTH":
            return Auth(body), rest
        case b"PUB":
            return Pub(texts[0], body), rest
        case b"DPUB":
            return Dpub(texts[0], int(words[1]), body), rest
    assert name == b"MPUB"
    count, packed = int.from_bytes(body[:4], "big"), body[4:]
    messages = []
    for _ in range(count):
        message, packed = sized(packed)
        messages.append(message)
    assert packed == b""
    return Mpub(texts[0], messages), rest


def sized(data: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(data[:4], "big")
    assert end <= len(data)
    return data[4:end], data[end:]


@given(st.lists(commands, max_size=6))
def test_a_stream_of_commands_is_read_back_as_it_was(sent: list[Command]) -> None:
    data = b"".join(command.encode() for command in sent)

    received = []
    while data:
        command, data = read(data)
        received.append(command)

    assert received == sent


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (Identify(b"{}"), b"IDENTIFY\n\x00\x00\x00\x02{}"),
        (Auth(b"key"), b"AUTH\n\x00\x00\x00\x03key"),
        (Sub("clicks", "archive#ephemeral"), b"SUB clicks archive#ephemeral\n"),
        (Rdy(2500), b"RDY 2500\n"),
        (Fin(ID), b"FIN 0123456789abcdef\n"),
        (Req(ID, 0), b"REQ 0123456789abcdef 0\n"),
        (Touch(ID), b"TOUCH 0123456789abcdef\n"),
        (Cls(), b"CLS\n"),
        (Nop(), b"NOP\n"),
        (Pub("clicks", b"hi"), b"PUB clicks\n\x00\x00\x00\x02hi"),
        (Mpub("t", [b"a", b"bc"]), b"MPUB t\n\x00\x00\x00\x0f\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x02bc"),
        (Dpub("t", 1500, b"x"), b"DPUB t 1500\n\x00\x00\x00\x01x"),
    ],
)
def test_a_command_has_exactly_the_bytes_of_nsq(command: Command, data: bytes) -> None:
    assert command.encode() == data
    assert data.startswith(command.name.encode())


def test_the_magic_is_two_spaces_and_v2() -> None:
    assert MAGIC_V2 == b"\x20\x20\x56\x32"


@pytest.mark.parametrize("name", ["", "a b", "a\nNOP", "a\r", "x" * 65, "ü"])
def test_a_name_that_is_none_never_reaches_the_wire(name: str) -> None:
    for command in (Sub(name, "c"), Sub("t", name), Pub(name, b"x"), Mpub(name, [b"x"]), Dpub(name, 0, b"x")):
        with pytest.raises(UsageError):
            command.encode()


@pytest.mark.parametrize(
    "command", [Fin(b""), Req(ID + b"0", 0), Touch(ID[:15]), Req(ID, -1), Rdy(-1), Dpub("t", -1, b"x")]
)
def test_a_bad_id_or_a_negative_number_is_refused(command: Command) -> None:
    with pytest.raises(UsageError):
        command.encode()
