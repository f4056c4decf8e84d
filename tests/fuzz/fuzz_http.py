"""The HTTP server's parser: hostile requests in any pieces give the same requests and answers, within the limits."""

from typing import Final

from fuzz_target import Target, pieces, whole

from millstream.base.system import SystemClock
from millstream.net.http_debug import DebugApi
from millstream.net.http_limits import HttpLimits
from millstream.net.http_messages import HttpError, Request, Response, encode_response, text
from millstream.net.http_requests import Incoming, RequestParser
from millstream.net.http_router import Router

LIMITS: Final = HttpLimits(header_bytes_max=800, header_count_max=20, discard_bytes_max=600)
BODY_BYTES_MAX: Final = 500
TOKEN: Final = "Bearer sesame"


def _answer(_request: Request) -> Response:
    return text("OK")


def _refuse_strangers(headers: object) -> Response | None:
    assert isinstance(headers, dict)
    return None if headers.get("authorization") == TOKEN else text("no", 401)


def _router() -> Router:
    router = Router()
    router.add("GET", "/secret", _answer)
    router.add("POST", "/secret", _answer, body_bytes_max=BODY_BYTES_MAX)
    router.guard(_refuse_strangers, open_paths=())
    router.add("GET", "/ping", _answer, nsq_header=False)
    router.add("POST", "/pub", _answer, body_bytes_max=BODY_BYTES_MAX, too_big="MSG_TOO_BIG")
    router.add("POST", "/topic/create", _answer)
    router.add("GET", "/config/:opt", _answer)
    router.add("PUT", "/config/:opt", _answer, body_bytes_max=lambda: 100)
    DebugApi("fuzz", SystemClock()).join(router)
    return router


_ROUTER: Final = _router()


def _outcome(item: Incoming) -> tuple[object, ...]:
    request = item.request
    if request is None:
        answer = item.answer
        assert answer is not None
        assert 200 <= answer.status < 600
        assert answer.status != 500
        encode_response(answer, b"", nsq_header=item.nsq_header, to_head=item.to_head)
        return "answer", answer.status, answer.body, tuple(answer.headers), item.keep_alive
    assert item.route is not None
    assert len(request.body) <= max(item.route.body_limit(), 0)
    assert len(request.path) <= 4 * LIMITS.header_bytes_max
    assert len(request.headers) <= LIMITS.header_count_max
    if request.path == "/secret":
        assert request.headers["authorization"] == TOKEN
    try:
        query: object = request.query
    except HttpError as error:
        assert error.status == 400
        query = "malformed"
    return request.method, request.path, query, request.headers, request.body, request.params, item.keep_alive


def _requests(parts: list[bytes]) -> list[tuple[object, ...]]:
    parser = RequestParser(_ROUTER, LIMITS, "127.0.0.1:1")
    found = []
    for part in parts:
        parser.feed(part)
        found += [_outcome(item) for item in parser.ready]
        parser.ready.clear()
    parser.end()
    return found


def requests(data: bytes) -> None:
    """What comes over one HTTP connection."""
    by_piece, at_once = _requests(pieces(data)), _requests([whole(data)])
    # Endless headers are noticed by the read, so a limit may strike in pieces only; what came before is the same.
    refusals = [
        found[1] for found in (by_piece[-1:] or [("", 0)]) + (at_once[-1:] or [("", 0)]) if found[0] == "answer"
    ]
    if not {400, 431} & set(refusals):
        assert by_piece == at_once
    shorter, longer = sorted((by_piece, at_once), key=len)
    assert longer[: len(shorter) - 1] == shorter[:-1]


_HOST: Final = b"Host: x\r\n"
REQUESTS: Final = Target(
    requests,
    (
        b"GET /ping HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"POST /pub?topic=a%20b&x=+ HTTP/1.1\r\n" + _HOST + b"Content-Length: 5\r\n\r\nhello" * 2,
        b"POST /pub?topic=t HTTP/1.1\r\n"
        + _HOST
        + b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\nX: y\r\n\r\n",
        b"POST /pub HTTP/1.1\r\n" + _HOST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        b"PUT /config/log_level HTTP/1.1\r\n" + _HOST + b"Content-Length: 5\r\nConnection: close\r\n\r\ndebug",
        b"POST /pub HTTP/1.1\r\n" + _HOST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\nwxyz",
        b"POST /secret HTTP/1.1\r\n" + _HOST + b"Authorization: Bearer sesame\r\nContent-Length: 2\r\n\r\nok",
        b"POST /secret HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\n\r\nno",
        b"GET http://h/%70ing/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\nHEAD /ping HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"PUT /debug/setblockrate?rate=1 HTTP/1.1\r\n" + _HOST + b"\r\n",
    ),
    (
        *(b"GET ", b"POST ", b"PUT ", b"HEAD ", b"CONNECT ", b"OPTIONS * ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", _HOST),
        *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Upgrade: x\r\n"),
        *(
            b"Connection: close\r\n",
            b"\r\n\r\n",
            b"0\r\n\r\n",
            b"FFFFFFFFFFFFFFFF\r\n",
            b"/config/",
            b"%zz",
            b"%00",
            b"/../",
        ),
    ),
)
