import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.commands import Cls, Command, Fin, Nop, Rdy, Req, Sub, Touch
from millstream.protocol.errors import CommandError
from millstream.protocol.lines import parse_line, parse_number, quoted, text

ID = b"0123456789abcdef"
REQ_MAX_MS = 3_600_000


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (b"", 0),
        (b"0", 0),
        (b"007", 7),
        (b"18446744073709551615", (1 << 64) - 1),
        (b"18446744073709551616", 0),
        (b"0" * 5000 + b"9", 9),
        (b"-1", -1),
        (b"+1", -1),
        (b" 1", -1),
        (b"1_0", -1),
        (b"\xd9\xa1", -1),
    ],
)
def test_numbers_are_digits_modulo_2_to_the_64(raw: bytes, number: int) -> None:
    assert parse_number(raw) == number


@given(st.integers(0, 10**400))
def test_long_numbers_wrap_as_in_nsq(number: int) -> None:
    assert parse_number(b"%d" % number) == number % (1 << 64)


@given(st.binary(max_size=30))
def test_bytes_go_back_unchanged(raw: bytes) -> None:
    assert text(raw).encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"", '""'),
        (b'a"b\x01\xff', r'"a\"b\x01\xff"'),
        (b"a\\b\xc3\xa9", '"a\\\\bé"'),
        (b"\x7f\a\b\f\r\t\v\0\n", r'"\x7f\a\b\f\r\t\v\x00\n"'),
        ("\u200b\ue000\U0001f600\u00a0\U000e0001".encode(), '"\\u200b\\ue000\U0001f600\\u00a0\\U000e0001"'),
    ],
)
def test_names_that_are_none_are_shown_as_go_quotes_them(raw: bytes, shown: str) -> None:
    assert quoted(raw) == shown


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"SUB t c", Sub("t", "c")),
        (b"SUB t#ephemeral c#ephemeral", Sub("t#ephemeral", "c#ephemeral")),
        (b"RDY", Rdy(1)),
        (b"RDY 5", Rdy(5)),
        (b"FIN " + ID, Fin(ID)),
        (b"REQ " + ID + b" 5", Req(ID, 5)),
        (b"REQ " + ID + b" 3600001", Req(ID, REQ_MAX_MS)),
        (b"TOUCH " + ID, Touch(ID)),
        (b"CLS", Cls()),
        (b"NOP", Nop()),
    ],
)
def test_lines_become_commands(line: bytes, command: Command) -> None:
    name, *parameters = line.split(b" ")

    assert parse_line(name, parameters, REQ_MAX_MS) == command


@given(
    st.sampled_from([b"SUB", b"RDY", b"FIN", b"REQ", b"TOUCH", b"CLS", b"NOP", b"X"]), st.lists(st.binary(max_size=20))
)
def test_random_parameters_give_a_command_or_a_documented_error(name: bytes, parameters: list[bytes]) -> None:
    errors = []
    try:
        parse_line(name, parameters, REQ_MAX_MS)
    except CommandError as error:
        errors.append(error)

    assert all(error.fatal and error.code in {"E_INVALID", "E_BAD_TOPIC", "E_BAD_CHANNEL"} for error in errors)
