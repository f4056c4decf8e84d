"""JSON as Go reads and writes it; the cases were compared with nsqd itself."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.go_json import NotDecodable, encode, folded, members, typed

scalars = st.one_of(st.booleans(), st.text(max_size=8), st.integers(-(2**63), 2**63 - 1))


@given(st.dictionaries(st.text(max_size=6), scalars, max_size=6))
def test_an_encoded_object_is_read_back_as_it_was(value: dict[str, str | int | bool]) -> None:
    read = {key: typed(item, type(value[key])) for key, item in members(encode(value))}

    assert read == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\0123eE+-.ntrufalse \n', max_size=30).map(str.encode))
def test_any_bytes_are_an_object_or_not_decodable(body: bytes) -> None:
    try:
        read = list(members(body))
    except NotDecodable:
        return
    assert dict(read).keys() == (json.loads(body.decode("utf-8", "replace")) or {}).keys()


@pytest.mark.parametrize("body", [b"null", b" null\n", b"{}", b" { } \r\n\t"])
def test_null_and_an_empty_object_have_no_members(body: bytes) -> None:
    assert list(members(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"[]", b"5", b"true", b'"x"', b"nul", b"nullx", b"{", b"}", b"{,}", b'{"a"}', b'{"a":}', b'{"a":1,}',
        b'{"a" 1}', b"{1:2}", b'{"a":1} {}', b'{"a":1}x', b'{"a":1}\x0b', b"{}\x00", b"\xef\xbb\xbf{}", b"{\xc2\xa0}",
        b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":01}', b'{"a":1.}', b'{"a":.5}', b'{"a":+1}', b'{"a":-}', b'{"a":tru}',
        b'{"a":"\t"}', b'{"a":"\\x"}', b'{"a":"\\u12"}', b'{"a":"\\u+123"}', b'{"a":"b}', b'{"a":[1,]}', b'{"a":\xff}',
    ],
)  # fmt: skip
def test_what_go_does_not_decode_is_not_decoded(body: bytes) -> None:
    with pytest.raises(NotDecodable):
        list(members(body))


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_deep_nesting_is_not_decoded(deep: bytes) -> None:
    with pytest.raises(NotDecodable):
        list(members(b'{"a":' + deep + b"}"))


def test_a_repeated_key_comes_as_often_as_it_was_given() -> None:
    assert list(members(b'{"a":"x","A":"y","a":null}')) == [("a", "x"), ("A", "y"), ("a", None)]


def test_a_huge_number_that_nobody_reads_is_no_error() -> None:
    body = b'{"a":' + b"9" * 10_000 + b',"b":1e999}'

    assert [key for key, _ in members(body)] == ["a", "b"]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b"a\xff\xfeb", "a\ufffd\ufffdb"),
        (b"\xe2\x82A", "\ufffd\ufffdA"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\\ud800", "\ufffd"),
        (b"\\ud83d\\ude00", "\U0001f600"),
        ("ü".encode(), "ü"),
    ],
)
def test_what_is_no_unicode_becomes_the_replacement_character(written: bytes, text: str) -> None:
    [(_, value)] = members(b'{"a":"' + written + b'"}')

    assert typed(value, str) == text


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (b"1.0", int), (b"1e3", int), (b'"1"', int), (b"true", int), (b"[]", int), (b"9223372036854775808", int),
        (b"-9223372036854775809", int), (b"1" * 5000, int), (b"1", bool), (b'"true"', bool), (b"5", str), (b"{}", str),
        (b"null", int),
    ],
)  # fmt: skip
def test_a_value_of_another_type_or_width_is_not_decoded(written: bytes, wanted: type) -> None:
    [(_, value)] = members(b'{"a":' + written + b"}")

    with pytest.raises(NotDecodable):
        typed(value, wanted)


def test_an_integer_is_bounded_by_its_bits() -> None:
    [(_, low), (_, high), (_, above)] = members(b'{"a":-2147483648,"b":2147483647,"c":2147483648}')

    assert (typed(low, int, 32), typed(high, int, 32)) == (-(2**31), 2**31 - 1)
    with pytest.raises(NotDecodable):
        typed(above, int, 32)


def test_keys_are_compared_as_go_folds_them() -> None:
    assert folded("Client_ID") == "client_id"
    assert folded("ho\u017ftname to\u212aen") == "hostname token"
    assert folded("bu\ufb00er") != "buffer"


def test_text_is_escaped_as_go_escapes_it() -> None:
    assert (
        encode({"a": '<b>&"\u2028\\', "b": "ü\ud800"})
        == '{"a":"\\u003cb\\u003e\\u0026\\"\\u2028\\\\","b":"ü\ufffd"}'.encode()
    )
