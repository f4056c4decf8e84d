import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.net.http_messages import (
    HttpError,
    Later,
    Request,
    Response,
    empty,
    encode_response,
    json,
    parse_query,
    percent_decode,
    plain_error,
    reason_of,
    redirect,
    text,
)


def test_the_first_value_of_a_parameter_wins_and_a_blank_one_is_present() -> None:
    assert parse_query("topic=a&topic=b&defer=&flag&&x=1=2") == {"topic": "a", "defer": "", "flag": "", "x": "1=2"}
    assert parse_query("") == {}


def test_a_query_is_decoded() -> None:
    assert parse_query("a%20b=c+d%2B&%C3%A4=%ff") == {"a b": "c d+", "ä": "\ufffd"}


@pytest.mark.parametrize("query", ["a=%", "a=%4", "a=%zz", "%g0=1", "a=1;b=2", "a=%+1"])
def test_a_malformed_query_is_an_invalid_request(query: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_query(query)

    assert (caught.value.status, caught.value.code) == (400, "INVALID_REQUEST")


@given(st.text())
def test_any_query_is_decoded_or_refused(query: str) -> None:
    try:
        found = parse_query(query)
    except HttpError:
        found = {}

    assert all(isinstance(value, str) for value in found.values())


@given(st.binary())
def test_percent_escapes_of_any_bytes_are_undone(data: bytes) -> None:
    assert percent_decode("".join(f"%{byte:02x}" for byte in data)) == data.decode("utf-8", "replace")


def test_a_request_decodes_when_asked() -> None:
    request = Request("GET", "/x", "a=%zz", [(b"X-One", b"1"), (b"x-one", b"2"), (b"Caf\xe9", b"\xe9")])

    assert request.headers == {"x-one": "1, 2", "caf\u00e9": "\u00e9"}
    with pytest.raises(HttpError):
        _ = request.query
    assert Request("GET", "/x", {"a": "b"}, {"c": "d"}).query == {"a": "b"}
    assert repr(request) == "<Request GET /x>"


def test_json_is_compact_and_escaped_as_go_escapes_it() -> None:
    assert json({"a": "<&>", "b": [1, None], "c": "\u2028"}).body == (
        b'{"a":"\\u003c\\u0026\\u003e","b":[1,null],"c":"\\u2028"}'
    )


def test_an_error_is_its_code_in_json() -> None:
    response = HttpError(404, "TOPIC_NOT_FOUND").response()

    assert response.status == 404
    assert response.body == b'{"message":"TOPIC_NOT_FOUND"}'
    assert response.content_type == "application/json; charset=utf-8"


def test_an_answer_is_encoded_whole() -> None:
    data = encode_response(text("OK"), b"Date: now\r\n", nsq_header=True)

    assert data == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Nsq-Content-Type: nsq; version=1.0\r\n"
        b"Content-Length: 2\r\nDate: now\r\n\r\nOK"
    )


def test_an_empty_answer_has_no_content_type() -> None:
    assert encode_response(empty(), b"", nsq_header=False) == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_head_gets_the_length_without_the_body() -> None:
    data = encode_response(Response(200, b"body"), b"", nsq_header=False, to_head=True)

    assert data.endswith(b"Content-Length: 4\r\n\r\n")


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\x00", "\u20ac"])
def test_a_header_cannot_be_used_to_write_another(value: str) -> None:
    with pytest.raises(ValueError, match=r"control|codec"):
        encode_response(Response(headers=(("X-Name", value),)), b"", nsq_header=False)


def test_a_redirect_of_get_carries_a_link() -> None:
    response = redirect("GET", "/ping?a=<b>")

    assert response.status == 301
    assert response.headers == (("Location", "/ping?a=<b>"),)
    assert response.body == b'<a href="/ping?a=&lt;b&gt;">Moved Permanently</a>.\n\n'
    assert redirect("POST", "/pub") == Response(307, b"", None, (("Location", "/pub"),))


def test_statuses_have_words() -> None:
    assert reason_of(413) == "Request Entity Too Large"
    assert reason_of(599) == "Unknown"
    assert plain_error(400).body == b"400 Bad Request"


def test_an_answer_that_comes_later_is_heard_whoever_is_first() -> None:
    heard: list[Response] = []
    for gives_first in (True, False):
        later = Later()
        if gives_first:
            later.give(text("OK"))
            later.hear(heard.append)
        else:
            later.hear(heard.append)
            later.give(text("OK"))

    assert heard == [text("OK"), text("OK")]
