"""HTTP requests and responses as values, and the bytes of a response.

Requests are made by `net.http_requests` and read by the handlers of a daemon; responses go the other way, to
`net.http_connection`. Query and headers of a request are decoded when they are first asked for: publishing looks at
little of either.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from millstream.base.errors import MillstreamError

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
NSQ_HEADER: Final = "X-Nsq-Content-Type: nsq; version=1.0\r\n"

# Names that the standard library has changed over its versions; the wire keeps these.
_REASONS: Final = {413: "Request Entity Too Large", 422: "Unprocessable Entity"}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
# What Go's encoder escapes, so that JSON may stand inside HTML. None of these occurs outside a JSON string.
_ESCAPES: Final = (
    (b"&", b"\\u0026"),
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Without a content type, a body is plain text and an empty one has no type at all.

    One value may be returned for many requests. Header names and values must be Latin-1 without control characters.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: Sequence[tuple[str, str]] = ()


class HttpError(MillstreamError):
    """Raised by a handler to answer `{"message":"<code>"}` with this status."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code

    def response(self) -> Response:
        """The answer that the client gets."""
        return json({"message": self.code}, self.status)


class Later:
    """An answer that will be given on this loop, without a Future: whoever waits hears of it within `give`.

    A handler that answers by the thousand returns one; a Future costs it a callback in another turn of the loop.
    """

    __slots__ = ("_heard", "response")

    def __init__(self) -> None:
        self.response: Response | None = None
        self._heard: Callable[[Response], None] | None = None

    def give(self, response: Response) -> None:
        """This is the answer; called once."""
        self.response = response
        if self._heard is not None:
            self._heard(response)

    def hear(self, heard: Callable[[Response], None]) -> None:
        """Call this with the answer, at once when it is there."""
        self._heard = heard
        if self.response is not None:
            heard(self.response)


class Request:
    """One request, whole, with a body within the route's limit.

    `query` and `headers` may be given as a ready dict, or raw and then decoded at first use. `path` is decoded;
    `params` holds what stood in the place of a route's `:name` segments; `remote` is the peer's `host:port`, empty
    for a unix socket.
    """

    __slots__ = ("_headers", "_query", "body", "method", "params", "path", "remote")

    def __init__(
        self,
        method: str,
        path: str,
        query: str | dict[str, str] = "",
        headers: dict[str, str] | Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        remote: str = "",
        params: dict[str, str] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.remote = remote
        self.params = {} if params is None else params
        self._query = query
        self._headers = headers

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the query string: the first value wins, a blank value is kept.

        Raises HttpError 400 INVALID_REQUEST when it is malformed; left to propagate, that is the right answer.
        """
        query = self._query
        if isinstance(query, str):
            query = self._query = parse_query(query)
        return query

    @property
    def headers(self) -> dict[str, str]:
        """Header values by lower-case name; repeated headers are joined by a comma and a blank."""
        headers = self._headers
        if not isinstance(headers, dict):
            headers = self._headers = decode_headers(headers)
        return headers

    def with_body(self, body: bytes) -> "Request":
        """The same request with another body; what was decoded of it is shared."""
        return Request(self.method, self.path, self._query, self._headers, body, self.remote)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


def text(body: str | bytes, status: int = 200) -> Response:
    """Plain text."""
    return Response(status, body.encode() if isinstance(body, str) else body, TEXT)


def json(value: Any, status: int = 200) -> Response:
    """Compact JSON with `<`, `>` and `&` escaped as Go does."""
    body = msgspec.json.encode(value)
    for raw, escaped in _ESCAPES:
        if raw in body:
            body = body.replace(raw, escaped)
    return Response(status, body, JSON)


def empty(status: int = 200) -> Response:
    """No body and no content type."""
    return Response(status)


def plain_error(status: int) -> Response:
    """What HTTP itself refuses is answered by a line of text and not by NSQ's JSON."""
    return text(f"{status} {reason_of(status)}", status)


def redirect(method: str, location: str) -> Response:
    """301 with a line of HTML for GET, 307 for what may carry a body."""
    target = (("Location", location),)
    if method != "GET":
        return Response(307, b"", None, target)
    return Response(301, f'<a href="{html.escape(location)}">Moved Permanently</a>.\n\n'.encode(), HTML, target)


def parse_query(query: str) -> dict[str, str]:
    """Decode a query string by Go's rules: a semicolon or a bad % escape makes all of it invalid."""
    if ";" in query:
        raise HttpError(400, "INVALID_REQUEST")
    found: dict[str, str] = {}
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            found.setdefault(_decode_plus(name), _decode_plus(value))
    return found


def _decode_plus(part: str) -> str:
    if "+" in part:
        part = part.replace("+", " ")
    if "%" not in part:
        return part
    decoded = percent_decode(part)
    if decoded is None:
        raise HttpError(400, "INVALID_REQUEST")
    return decoded


def percent_decode(part: str) -> str | None:
    """Decode % escapes; None when one is malformed. What is no UTF-8 becomes U+FFFD."""
    for piece in part.split("%")[1:]:
        if len(piece) < 2 or piece[0] not in _HEX or piece[1] not in _HEX:
            return None
    return unquote_to_bytes(part).decode("utf-8", "replace")


def decode_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header values by lower-case name; repeated headers are joined by a comma and a blank."""
    found: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def encode_response(
    response: Response, date_line: bytes, *, nsq_header: bool, connection: bytes = b"", to_head: bool = False
) -> bytes:
    """The bytes of an answer. `date_line` and `connection` are whole header lines, or empty; HEAD gets no body.

    Raises ValueError for a header that cannot be sent.
    """
    body = response.body
    head = _head(response.status, response.content_type or (TEXT if body else None), nsq_header)
    if response.headers:
        connection += b"".join(header_line(name, value) for name, value in response.headers)
    return b"%b%d\r\n%b%b\r\n%b" % (head, len(body), date_line, connection, b"" if to_head else body)


@lru_cache(maxsize=128)
def _head(status: int, content_type: str | None, nsq_header: bool) -> bytes:  # noqa: FBT001 - positional for the cache
    kind = header_line("Content-Type", content_type).decode("latin-1") if content_type else ""
    nsq = NSQ_HEADER if nsq_header else ""
    return f"HTTP/1.1 {status} {reason_of(status)}\r\n{kind}{nsq}Content-Length: ".encode("latin-1")


def header_line(name: str, value: str) -> bytes:
    """One header as bytes. Raises ValueError for what would end the line early or is no Latin-1."""
    line = f"{name}: {value}".encode("latin-1")
    if any(byte < 32 or byte == 127 for byte in line):
        raise ValueError(f"control character in header {name!r}")
    return line + b"\r\n"


def reason_of(status: int) -> str:
    """The words behind a status number."""
    if status in _REASONS:
        return _REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
