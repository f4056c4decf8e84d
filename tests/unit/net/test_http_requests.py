import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.net.http import HttpLimits, Request, Response, Router, text
from millstream.net.http_requests import Incoming, Phase, RequestParser

HOST = b"Host: x\r\n"


def handler(_: Request) -> Response:
    return text("OK")


def make_parser(**limits: int) -> RequestParser:
    router = Router()
    router.add("GET", "/ping", handler)
    router.add("POST", "/pub", handler, body_bytes_max=10, too_big="MSG_TOO_BIG")
    router.add("POST", "/topic/create", handler)
    return RequestParser(router, HttpLimits(**limits), "127.0.0.1:1")


def feed(parser: RequestParser, chunks: Iterable[bytes]) -> list[Incoming]:
    for chunk in chunks:
        parser.feed(chunk)
    return list(parser.ready)


def outcome(item: Incoming) -> tuple[object, ...]:
    if item.request is not None:
        return item.request.method, item.request.path, item.request.body, item.keep_alive
    assert item.answer is not None
    return item.answer.status, item.keep_alive


def parse(*chunks: bytes, **limits: int) -> list[tuple[object, ...]]:
    return [outcome(item) for item in feed(make_parser(**limits), chunks)]


def test_a_request_comes_with_all_its_parts() -> None:
    parser = make_parser()
    (item,) = feed(parser, [b"POST /pub?topic=a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc"])

    assert item.request is not None
    assert item.request.query == {"topic": "a"}
    assert item.request.headers == {"host": "x", "x-a": "1", "content-length": "3"}
    assert item.request.remote == "127.0.0.1:1"
    assert outcome(item) == ("POST", "/pub", b"abc", True)
    assert parser.phase is Phase.IDLE


STREAM = (
    b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"
    b"POST /pub HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\nT: u\r\n\r\n"
    b"POST /pub HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\nwxyz"
    b"POST /topic/create HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\n\r\nunused"[:-1]
    + b"GET /nope HTTP/1.1\r\n"
    + HOST
    + b"\r\n"
    b"GET http://x/ping HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
)
OUTCOMES = [
    ("GET", "/ping", b"", True),
    ("POST", "/pub", b"abcdefg", True),
    ("POST", "/pub", b"wxyz", True),
    ("POST", "/topic/create", b"", True),
    (404, True),
    ("GET", "/ping", b"", False),
]


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=40))
def test_any_chunking_gives_the_same_requests(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]

    assert parse(*(STREAM[a:b] for a, b in itertools.pairwise(places))) == OUTCOMES


def test_byte_by_byte_gives_the_same_requests() -> None:
    assert parse(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == OUTCOMES


def test_nothing_is_read_after_a_request_that_closes() -> None:
    assert parse(b"GET /ping HTTP/1.0\r\n\r\nGET /ping HTTP/1.0\r\n\r\n", b"garbage") == [("GET", "/ping", b"", False)]


def test_http_1_0_keeps_the_connection_when_asked() -> None:
    (item,) = feed(make_parser(), [b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"])

    assert item.keep_alive
    assert item.say_keep_alive


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"  V2", 400),
        (b"IDENTIFY\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /pub HTTP/1.1\r\n" + HOST + b"Expect: rain\r\nContent-Length: 3\r\n\r\n", 417),
        (b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (
            b"POST /pub HTTP/1.1\r\n"
            + HOST
            + b"Upgrade: x\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n",
            501,
        ),
    ],
)
def test_what_breaks_the_rules_is_refused_and_ends_the_stream(data: bytes, status: int) -> None:
    parser = make_parser()

    assert [outcome(item) for item in feed(parser, [data, b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"])] == [
        (status, False)
    ]
    assert parser.ended


def test_a_declared_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    (item,) = feed(make_parser(), [b"POST /pub HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\n"])

    assert item.answer is not None
    assert (item.answer.status, item.answer.body) == (413, b'{"message":"MSG_TOO_BIG"}')
    assert not item.keep_alive


def test_a_chunked_body_is_refused_once_it_is_beyond_the_limit() -> None:
    head = b"POST /pub HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

    assert parse(head, b"a\r\n0123456789\r\n") == []
    assert parse(head, b"a\r\n0123456789\r\n", b"1\r\nx\r\n") == [(413, False)]


def test_where_everything_has_one_answer_a_large_body_has_it_too() -> None:
    router = Router()
    router.answer_everything(Response(403))
    parser = RequestParser(router, HttpLimits(), "127.0.0.1:1")
    (item,) = feed(parser, [b"POST /pub HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999\r\n\r\n"])

    assert item.answer is not None
    assert item.answer.status == 403


def test_a_body_that_nobody_wants_is_dropped_up_to_a_bound() -> None:
    head = b"POST /topic/create HTTP/1.1\r\n" + HOST + b"Content-Length: 20\r\n\r\n"

    assert parse(head + bytes(20), discard_bytes_max=20) == [("POST", "/topic/create", b"", True)]
    assert parse(head, discard_bytes_max=19) == [(413, False)]
    assert parse(head.replace(b"create", b"nope"), discard_bytes_max=19) == [(404, False)]


def test_endless_headers_are_refused() -> None:
    one_header = [b"GET /ping HTTP/1.1\r\n", b"A: ", *[b"x" * 100] * 12]
    many_headers = [b"GET /ping HTTP/1.1\r\n", b"A: x\r\n" * 12]
    long_url = [b"GET /", b"x" * 1001]

    assert parse(*one_header, header_bytes_max=1000) == [(431, False)]
    assert parse(*many_headers, header_count_max=10) == [(431, False)]
    assert parse(*long_url, header_bytes_max=1000) == [(431, False)]


def test_endless_chunk_extensions_and_trailers_are_refused() -> None:
    head = b"POST /pub HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

    assert parse(head, b"1;", *[b"x" * 100] * 12, header_bytes_max=1000) == [(400, False)]
    assert parse(head, b"0\r\nA: ", *[b"x" * 100] * 12, header_bytes_max=1000) == [(400, False)]
    assert parse(head, b"0\r\n", b"A: b\r\n" * 11, header_count_max=10) == [(431, False)]


def test_trailers_are_no_headers() -> None:
    (item,) = feed(make_parser(), [STREAM[STREAM.index(b"POST /pub") : STREAM.index(b"POST /pub", 60)]])

    assert item.request is not None
    assert "t" not in item.request.headers


def test_continue_is_due_until_the_body_comes() -> None:
    parser = make_parser()
    parser.feed(b"POST /pub HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")

    assert parser.continue_due
    assert parser.phase is Phase.BODY
    parser.feed(b"abc")
    assert not parser.continue_due
    assert [outcome(item) for item in parser.ready] == [("POST", "/pub", b"abc", True)]


def test_who_expects_to_be_refused_is_not_told_to_continue() -> None:
    head = b"POST /nope HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"

    assert parse(head) == [(404, False)]


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_random_bytes_give_a_documented_refusal_or_nothing(chunks: list[bytes]) -> None:
    for item in feed(make_parser(header_bytes_max=200), chunks):
        assert outcome(item)[0] in {400, 431, 404, 405, 413, 501, "GET", "POST"}


REPEATED = b"POST /pub?topic=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


def test_the_same_head_with_another_body_is_the_same_request_with_another_body() -> None:
    parser = make_parser()

    items = feed(parser, [REPEATED + b"abc", REPEATED + b"def", REPEATED + b"ghi"])

    requests = [item.request for item in items]
    assert [(one.body, one.query, one.headers["host"]) for one in requests if one is not None] == [
        (body, {"topic": "a"}, "x") for body in (b"abc", b"def", b"ghi")
    ]
    assert parser.messages == 3
    assert parser.phase is Phase.IDLE


# What a client sends behind a request that came whole: any of these may look like it, and must not be taken for it.
SAME = REPEATED + b"abc"
NEXT = [
    SAME,
    SAME + SAME,
    SAME + b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
    REPEATED.replace(b"3", b"2") + b"ab",
    REPEATED.replace(b"/pub", b"/ping") + b"abc",
    REPEATED.replace(b"x\r\n", b"x\r\nConnection: close\r\n") + b"abc",
    REPEATED.replace(b"x\r\n", b"x\r\nExpect: 100-continue\r\n") + b"abc",
    REPEATED.replace(b"x\r\n", b"x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n") + b"abc",
    REPEATED.replace(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /pub HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /pub HTTP/1.1\nHost: x\nContent-Length: 7\n\na\r\n\r\nbc",
    REPEATED.replace(b"3", b"11") + b"abcdefghijk",
]


@given(st.lists(st.sampled_from(NEXT), min_size=2, max_size=6), st.sets(st.integers(1, 400), max_size=3))
def test_a_connection_that_repeats_itself_is_read_as_one_that_is_parsed_anew(
    pieces: list[bytes], cuts: set[int]
) -> None:
    stream = b"".join(pieces)
    ends = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]

    # A byte at a time nothing is ever recognised.
    expected = parse(*(bytes([byte]) for byte in stream))

    assert parse(*pieces) == expected
    assert parse(*(stream[start:end] for start, end in itertools.pairwise(ends))) == expected


def test_a_body_limit_that_was_lowered_holds_for_a_request_that_is_known() -> None:
    limit = [10]
    router = Router()
    router.add("POST", "/pub", handler, body_bytes_max=lambda: limit[0])
    parser = RequestParser(router, HttpLimits(), "127.0.0.1:1")
    feed(parser, [SAME])

    limit[0] = 2
    *_, last = feed(parser, [SAME])

    assert last.answer is not None
    assert last.answer.status == 413
