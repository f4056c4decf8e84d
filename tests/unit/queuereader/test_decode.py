from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.errors import UsageError
from millstream.queuereader.decode import Undecodable, decoder_for, encode_events


class Click(msgspec.Struct):
    hash: str
    count: int = 1


@dataclass
class Visit:
    hash: str


@pytest.mark.parametrize("annotation", [dict, dict[str, Any], Mapping, Any, object, None])
def test_an_object_becomes_a_dict(annotation: Any) -> None:
    assert decoder_for(annotation)(b'{"a": [1, null]}\n') == {"a": [1, None]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b"{",
        b'{"a":1}x',
        b'{"a":NaN}',
        b'{"a":"\xff"}',
        b'{"a":' * 100_000,
        b"\x00" * 9,
    ],
)
def test_what_is_no_json_object_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        decoder_for(dict)(body)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_dict_or_are_undecodable(body: bytes) -> None:
    try:
        assert isinstance(decoder_for(dict)(body), dict)
    except Undecodable:
        pass


@pytest.mark.parametrize("kind", [Click, Visit])
def test_typed_events_are_decoded_and_validated(kind: Any) -> None:
    decode = decoder_for(kind)

    assert decode(b'{"hash": "abc", "unknown": 1}').hash == "abc"
    for body in (b'{"hash": 5}', b"{}", b"[]", b"{", b'{"hash": "\xff"}'):
        with pytest.raises(Undecodable):
            decode(body)


def test_a_pydantic_model_decodes_and_encodes_itself() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", hash=(str, ...))
    decode = decoder_for(model)

    assert encode_events(decode(b'{"hash": "abc"}')) == [b'{"hash":"abc"}']
    for body in (b'{"hash": 5}', b"{}", b"[]", b"{", b'{"hash": "\xff"}'):
        with pytest.raises(Undecodable):
            decode(body)


class Plain:
    pass


@pytest.mark.parametrize("annotation", [Plain, list[int] | tuple[str, ...]])
def test_an_annotation_that_nothing_decodes_is_refused(annotation: Any) -> None:
    with pytest.raises(UsageError):
        decoder_for(annotation)


def test_events_become_json() -> None:
    assert encode_events(Click("abc")) == [b'{"hash":"abc","count":1}']
    assert encode_events(Visit("abc")) == [b'{"hash":"abc"}']
    assert encode_events({"a": 1}) == [b'{"a":1}']
    assert encode_events(b"as it is") == [b"as it is"]


def test_a_list_is_many_events() -> None:
    assert encode_events([{"a": 1}, b"raw"]) == [b'{"a":1}', b"raw"]
    assert encode_events(()) == []


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        encode_events(b"")


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(UsageError, match="object"):
        encode_events(object())
