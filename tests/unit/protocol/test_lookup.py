import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.errors import BadBody, CommandError, Invalid
from millstream.protocol.lookup import (
    MAGIC_V1,
    BadReply,
    Command,
    Identify,
    Identity,
    LookupServerConnection,
    Ping,
    Register,
    ReplyDecoder,
    Unregister,
    decode_identity,
    decode_identity_reply,
    encode_identity_reply,
    encode_reply,
)

IDENTITY = Identity(
    broadcast_address="10.0.0.1",
    tcp_port=4150,
    http_port=4151,
    version="1.3.0",
    hostname="web1",
    topology_region="r",
    topology_zone="z",
)
BODY = {"broadcast_address": "10.0.0.1", "tcp_port": 4150, "http_port": 4151, "version": "1.3.0"}


def read(data: bytes, *, identified: bool = True, **limits: int) -> list[Command]:
    connection = LookupServerConnection(**limits)
    preface = MAGIC_V1 + (Identify(IDENTITY).encode() if identified else b"")
    connection.receive(preface + data)
    return list(connection.commands())[int(identified) :]


def error_of(data: bytes, *, identified: bool = True) -> bytes:
    with pytest.raises(CommandError) as caught:
        read(data, identified=identified)
    return caught.value.encode()


def names() -> st.SearchStrategy[str]:
    return st.from_regex(r"[.a-zA-Z0-9_-]{1,54}(#ephemeral)?", fullmatch=True)


def commands() -> st.SearchStrategy[Command]:
    channels = st.one_of(st.just(""), names())
    return st.one_of(st.just(Ping()), st.builds(Register, names(), channels), st.builds(Unregister, names(), channels))


@given(st.lists(commands(), max_size=10), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_any_chunking_gives_the_commands_that_were_encoded(sent: list[Command], sizes: list[int]) -> None:
    sent = [Identify(IDENTITY), *sent]
    stream = MAGIC_V1 + b"".join(command.encode() for command in sent)
    connection = LookupServerConnection()
    got: list[Command] = []

    turn = 0
    while stream:
        size = sizes[turn % len(sizes)]
        connection.receive(stream[:size])
        got += connection.commands()
        stream = stream[size:]
        turn += 1

    assert got == sent


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_give_commands_or_a_documented_error(noise: bytes, identified: bool) -> None:
    try:
        read(noise, identified=identified)
    except CommandError:
        pass


@given(st.binary(max_size=200))
def test_a_random_identify_body_gives_an_identity_or_bad_body(body: bytes) -> None:
    try:
        decode_identity(body)
    except BadBody:
        pass


def test_commands_can_be_read_one_by_one_before_the_one_that_fails() -> None:
    connection = LookupServerConnection()
    connection.receive(MAGIC_V1 + b"PING\nPING\nNOPE\n")

    found = connection.commands()

    assert [next(found), next(found)] == [Ping(), Ping()]
    with pytest.raises(Invalid):
        next(found)


def test_wrong_magic_is_refused_with_the_bare_code() -> None:
    connection = LookupServerConnection()
    connection.receive(b"  V2")

    with pytest.raises(CommandError) as caught:
        list(connection.commands())

    assert caught.value.encode() == b"E_BAD_PROTOCOL"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"\n", b"E_INVALID invalid command "),
        (b"foo bar\n", b"E_INVALID invalid command foo"),
        (b"ping\n", b"E_INVALID invalid command ping"),
        (b"REGISTER\n", b"E_INVALID REGISTER insufficient number of params"),
        (b"REGISTER \n", b"E_INVALID REGISTER insufficient number of params"),
        (b"UNREGISTER\n", b"E_INVALID UNREGISTER insufficient number of params"),
        (b"REGISTER  c\n", b"E_BAD_TOPIC REGISTER topic name '' is not valid"),
        (b"REGISTER *\n", b"E_BAD_TOPIC REGISTER topic name '*' is not valid"),
        (b"UNREGISTER a b*\n", b"E_BAD_CHANNEL UNREGISTER channel name 'b*' is not valid"),
        (b"REGISTER a \xff\n", b"E_BAD_CHANNEL REGISTER channel name '\xff' is not valid"),
        (b"IDENTIFY\n", b"E_INVALID cannot IDENTIFY again"),
    ],
)
def test_a_bad_line_is_refused_in_the_words_of_nsq(line: bytes, error: bytes) -> None:
    assert error_of(line) == error


@pytest.mark.parametrize("line", [b"REGISTER\n", b"REGISTER t\n", b"UNREGISTER t c\n"])
def test_nothing_is_registered_before_identify(line: bytes) -> None:
    assert error_of(line, identified=False) == b"E_INVALID client must IDENTIFY"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"  PING  \r\n", Ping()),
        (b"REGISTER t c more words\n", Register("t", "c")),
        (b"REGISTER t  c\n", Register("t")),
        (b"UNREGISTER t\r\n", Unregister("t")),
    ],
)
def test_lines_are_trimmed_and_superfluous_words_ignored(line: bytes, command: Command) -> None:
    assert read(line) == [command]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "failed to decode JSON body"),
        (b"[]", "failed to decode JSON body"),
        (b"{} x", "failed to decode JSON body"),
        (b"[" * 60_000, "failed to decode JSON body"),
        (b'{"tcp_port":"1"}', "failed to decode JSON body"),
        (b'{"tcp_port":true}', "failed to decode JSON body"),
        (b'{"tcp_port":1.0}', "failed to decode JSON body"),
        (b'{"tcp_port":65536}', "failed to decode JSON body"),
        (b'{"version":1}', "failed to decode JSON body"),
        (b"null", "missing fields"),
        (b"{}", "missing fields"),
        (b'{"broadcast_address":"h","tcp_port":1,"http_port":0,"version":"1"}', "missing fields"),
        (b'{"broadcast_address":"","tcp_port":1,"http_port":2,"version":"1"}', "missing fields"),
        (b'{"broadcast_address":"h","tcp_port":1,"http_port":2,"version":null}', "missing fields"),
    ],
)
def test_an_unusable_identify_body_is_refused(body: bytes, problem: str) -> None:
    expected = f"E_BAD_BODY IDENTIFY {problem}".encode()

    assert error_of(b"IDENTIFY\n" + encode_reply(body), identified=False) == expected


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (-1, b"E_BAD_BODY IDENTIFY invalid body size -1"),
        (-(2**31), b"E_BAD_BODY IDENTIFY invalid body size -2147483648"),
        (65_537, b"E_BAD_BODY IDENTIFY body too big 65537 > 65536"),
    ],
)
@pytest.mark.shows("nsqlookupd --max-identify-size")
@pytest.mark.shows(
    "nsqlookupd: IDENTIFY: sizes of its body",
    better="a negative one is refused, where NSQ's daemon ends; a huge one is refused as well",
)
def test_an_identify_size_out_of_bounds_is_refused_before_the_body_comes(size: int, error: bytes) -> None:
    assert error_of(b"IDENTIFY\n" + size.to_bytes(4, "big", signed=True), identified=False) == error


def test_identify_keys_match_in_any_case_and_unknown_ones_are_ignored() -> None:
    fields = {key.upper(): value for key, value in BODY.items()} | {"remote_address": 7, "short_id": []}

    assert decode_identity(json.dumps(fields).encode()).tcp_port == 4150


def test_of_a_field_that_comes_twice_the_last_value_counts_and_null_is_none() -> None:
    body = json.dumps(BODY).encode()[:-1] + b',"tcp_port":null,"http_port":7,"HTTP_PORT":8,"version":null}'
    identity = decode_identity(body)

    assert (identity.tcp_port, identity.http_port, identity.version) == (4150, 8, "1.3.0")


def test_invalid_utf8_in_a_name_is_replaced() -> None:
    body = json.dumps(BODY | {"hostname": "?"}).encode().replace(b"?", b"\xff")

    assert decode_identity(body).hostname == "\ufffd"


@pytest.mark.shows("nsqlookupd --max-line-size")
def test_an_endless_line_is_refused_at_the_limit() -> None:
    with pytest.raises(Invalid, match="longer than 300 bytes"):
        read(b"REGISTER " + b"x" * 300, line_bytes_max=300)


@pytest.mark.parametrize(
    ("cut", "problem"), [(b"\x00\x00", "failed to read body size"), (b"\x00\x00\x00\x05{", "failed to read body")]
)
def test_an_end_within_identify_is_told(cut: bytes, problem: str) -> None:
    connection = LookupServerConnection()
    connection.receive(MAGIC_V1 + b"IDENTIFY\n" + cut)
    assert list(connection.commands()) == []

    with pytest.raises(BadBody, match=f"IDENTIFY {problem}$"):
        connection.end()


def test_an_end_between_commands_is_no_error() -> None:
    connection = LookupServerConnection()
    connection.receive(MAGIC_V1 + b"PIN")
    assert list(connection.commands()) == []

    connection.end()


def test_the_identify_body_has_its_keys_sorted() -> None:
    body = Identify(IDENTITY).encode().removeprefix(b"IDENTIFY\n")[4:]

    assert body == (
        b'{"broadcast_address":"10.0.0.1","hostname":"web1","http_port":4151,"tcp_port":4150,'
        b'"topology_region":"r","topology_zone":"z","version":"1.3.0"}'
    )


def test_the_identify_reply_is_that_of_nsqlookupd() -> None:
    assert encode_identity_reply(IDENTITY) == (
        b'{"broadcast_address":"10.0.0.1","hostname":"web1","http_port":4151,"tcp_port":4150,"version":"1.3.0"}'
    )


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 30))
def test_replies_survive_any_chunking(replies: list[bytes], size: int) -> None:
    stream = b"".join(encode_reply(reply) for reply in replies)
    decoder = ReplyDecoder()

    got = [reply for at in range(0, len(stream), size) for reply in decoder.feed(stream[at : at + size])]

    assert got == replies


@pytest.mark.parametrize("size", [-1, 101, 1213486160])
def test_an_impossible_reply_size_is_refused(size: int) -> None:
    with pytest.raises(BadReply):
        ReplyDecoder(size_bytes_max=100).feed(size.to_bytes(4, "big", signed=True))


def test_an_identify_reply_may_lack_fields_but_must_be_an_object() -> None:
    assert decode_identity_reply(b'{"http_port":4161}').http_port == 4161
    with pytest.raises(BadReply, match="E_INVALID invalid command IDENTIFY"):
        decode_identity_reply(b"E_INVALID invalid command IDENTIFY")
