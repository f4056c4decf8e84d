"""Splits the bytes of one HTTP connection into requests; no I/O.

Chunks come from `net.http_connection` in any size and leave as `Incoming` in the order they arrived: a request with
the route that the router chose, or the answer that takes its place. After a refusal that leaves the stream in an
unknown place, or a request that closes the connection, what follows is ignored.
"""

from collections import deque
from enum import IntEnum
from typing import Final

import httptools

from millstream.net.http_limits import HttpLimits
from millstream.net.http_messages import (
    HttpError,
    Request,
    Response,
    decode_headers,
    empty,
    percent_decode,
    plain_error,
)
from millstream.net.http_repeat import Repeat
from millstream.net.http_router import Match, Route, Router

_METHODS: Final = {name.encode(): name for name in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")}
_FRAMING: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"connection"})
# A longer head is parsed anew each time: what a connection keeps of its last request stays small.
_KNOWN_HEAD_BYTES_MAX: Final = 1024
_HEAD_END: Final = b"\r\n\r\n"
# Framing bytes of a chunked body that are accepted for each byte of content, beyond a fixed allowance: a chunk of one
# byte costs six. Without a bound, chunk extensions and trailers are an endless upload that stores nothing.
_CHUNK_OVERHEAD: Final = 8


class Phase(IntEnum):
    """Where in a request the stream stands."""

    IDLE = 0
    HEADERS = 1
    BODY = 2


class Incoming:
    """A request with its route, or an answer in its place; and whether the connection may go on after it."""

    __slots__ = ("answer", "keep_alive", "nsq_header", "request", "route", "say_keep_alive", "to_head")

    def __init__(
        self,
        *,
        request: Request | None = None,
        route: Route | None = None,
        answer: Response | None = None,
        keep_alive: bool = False,
        say_keep_alive: bool = False,
        nsq_header: bool = False,
        to_head: bool = False,
    ) -> None:
        self.request = request
        self.route = route
        self.answer = answer
        self.keep_alive = keep_alive
        self.say_keep_alive = say_keep_alive
        self.nsq_header = nsq_header
        self.to_head = to_head


class Known:
    """A request that came whole in one read, and that a client sends again and again with another body.

    `head` is all before the body. What it says is looked up once: the next read that begins with the same bytes, and
    has as many behind them, is the same request.
    """

    __slots__ = ("body_bytes", "head", "item", "repeat", "request")

    def __init__(self, head: bytes, body_bytes: int, item: Incoming, request: Request) -> None:
        self.head = head
        self.body_bytes = body_bytes
        self.item = item
        self.request = request
        route = item.route
        is_fixed = route is not None and isinstance(route.body_bytes_max, int)
        make = route.repeat if route is not None and is_fixed else None
        self.repeat: Repeat | None = make(request) if make is not None else None

    def again(self, data: bytes) -> Incoming:
        """The request in `data`, which `fits` has looked at."""
        item, request = self.item, self.request
        again = Incoming(route=item.route, keep_alive=True, nsq_header=item.nsq_header, to_head=item.to_head)
        again.request = request.with_body(data[len(self.head) :])
        return again

    def fits(self, data: bytes) -> bool:
        """Whether this is that request, and its body is still allowed to be so large."""
        route = self.item.route
        if len(data) - len(self.head) != self.body_bytes or route is None or not data.startswith(self.head):
            return False
        return not self.body_bytes or self.body_bytes <= route.body_limit()


class _StopParsing(Exception):
    """Leaves the parser from inside a callback; the reason is already among the incoming."""


class RequestParser:
    """The parser of one connection. `ready` is emptied by the caller; `phase` tells what is still to come."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_limit",
        "_body_rest",
        "_chunked",
        "_content_length",
        "_expect",
        "_has_connection",
        "_header_bytes",
        "_header_count",
        "_headers",
        "_host_count",
        "_keep_alive",
        "_keep_body",
        "_limits",
        "_match",
        "_method",
        "_parser",
        "_path",
        "_query",
        "_raw_bytes",
        "_raw_left",
        "_remote",
        "_router",
        "_url",
        "continue_due",
        "ended",
        "known",
        "messages",
        "phase",
        "ready",
    )

    def __init__(self, router: Router, limits: HttpLimits, remote: str = "") -> None:
        self._router = router
        self._limits = limits
        self._remote = remote
        self._parser = httptools.HttpRequestParser(self)
        self.ready: deque[Incoming] = deque()
        self.phase = Phase.IDLE
        self.messages = 0
        self.continue_due = False
        self.ended = False
        self._raw_left = 0
        self._body_limit = 0
        self._keep_alive = False
        self._keep_body = False
        self._match = Match()
        self.known: Known | None = None
        self._body_rest = bytearray()
        self.on_message_begin()
        self.phase = Phase.IDLE

    def next_may_repeat(self) -> Known | None:
        """What is known of the last request, when a whole one may come next and its route takes what it repeats."""
        known = self.known
        if known is None or known.repeat is None or self.phase is not Phase.IDLE or self.ended or self.ready:
            return None
        return known

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream. Never raises for what they hold."""
        phase, messages = self.phase, self.messages
        known = self.known
        if known is not None and phase is Phase.IDLE and not self.ended and known.fits(data):
            self.messages += 1
            self.ready.append(known.again(data))
            return
        while data and not self.ended:
            if self._raw_left:
                data = self._take_raw(data)
                continue
            try:
                self._parser.feed_data(data)
                if phase is Phase.IDLE and self.messages == messages + 1:
                    self._know(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # Offers to upgrade are ignored, but the parser steps back from the rest of the bytes.
                data = data[int(upgrade.args[0]) :]
            except httptools.HttpParserError as error:
                self._give_up(error)
        if not self.ended and phase is not Phase.IDLE and phase is self.phase and messages == self.messages:
            self._count_incomplete(len(data))

    def _know(self, data: bytes) -> None:
        """Remember the request that `data` holds, if it is nothing but one that the connection outlives."""
        self.known = None
        if self.phase is not Phase.IDLE or self.ended or not self.ready or self._chunked or self._expect:
            return
        item = self.ready[-1]
        request = item.request
        head_bytes = data.find(_HEAD_END, 0, _KNOWN_HEAD_BYTES_MAX) + len(_HEAD_END)
        body_bytes = max(0, self._content_length)
        if request is None or not item.keep_alive or item.say_keep_alive or head_bytes + body_bytes != len(data):
            return
        # The path of a route without parameters: those are a request's own.
        if head_bytes > len(_HEAD_END) and not request.params and len(request.body) == body_bytes:
            self.known = Known(data[:head_bytes], body_bytes, item, request)

    def end(self) -> None:
        """Ignore everything from here on."""
        self.ended = True
        self.phase = Phase.IDLE
        self._drop_body()

    def _give_up(self, error: httptools.HttpParserError) -> None:
        if self.ended:
            return  # refused in a callback, or bytes behind a request that closes the connection
        if error.__context__ is not None:
            raise error  # a callback of ours has failed: our bug, not the client's
        self._refuse(plain_error(400))

    def _count_incomplete(self, size_bytes: int) -> None:
        # The parser calls back only for whole headers and for content: an endless one shows in the bytes alone.
        self._raw_bytes += size_bytes
        if self.phase is Phase.HEADERS:
            if self._raw_bytes > self._limits.header_bytes_max:
                self._refuse(plain_error(431))
        elif self._chunked and self._raw_bytes > self._limits.header_bytes_max + _CHUNK_OVERHEAD * self._body_bytes:
            self._refuse(plain_error(400))

    def _refuse(self, answer: Response, *, nsq_header: bool = False) -> None:
        self.ready.append(Incoming(answer=answer, nsq_header=nsq_header, to_head=self._method == "HEAD"))
        self.end()

    def _abort(self, answer: Response, *, nsq_header: bool = False) -> None:
        """As _refuse, from inside a callback of the parser."""
        self._refuse(answer, nsq_header=nsq_header)
        raise _StopParsing

    # ---------------------------------------------------------------------------------- callbacks of the parser

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self.phase = Phase.HEADERS
        self._url = b""
        self._method = ""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._header_count = 0
        self._raw_bytes = 0
        self._host_count = 0
        self._content_length = -1
        self._chunked = False
        self._expect = b""
        self._has_connection = False
        self._drop_body()
        self._body_bytes = 0

    def on_url(self, part: bytes) -> None:
        """The target, or a further part of it."""
        self._url = self._url + part if self._url else part
        if len(self._url) > self._limits.header_bytes_max:
            self._abort(plain_error(431))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header, or one of the trailers after a chunked body."""
        self._header_bytes += len(name) + len(value)
        self._header_count += 1
        if self._header_bytes > self._limits.header_bytes_max or self._header_count > self._limits.header_count_max:
            self._abort(plain_error(431))
        if self.phase is Phase.HEADERS:
            self._headers.append((name, value))
            lower = name.lower()
            if lower in _FRAMING:
                self._on_framing(lower, value.strip())

    def _on_framing(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._host_count += 1
        elif name == b"content-length":
            self._content_length = int(value)  # the parser has refused anything but one decimal number
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                self._abort(plain_error(501))
            self._chunked = True
        elif name == b"expect":
            self._expect = value.lower()
        else:
            self._has_connection = True

    def on_headers_complete(self) -> None:
        """Choose the route, and refuse what is already known to be wrong, before any of the body is read."""
        self.phase = Phase.BODY
        self._raw_bytes = 0
        if self._content_length >= 0 and self._chunked:
            self._abort(plain_error(400))
        if self._host_count != 1 and (self._host_count or self._parser.get_http_version() != "1.0"):
            self._abort(plain_error(400))
        self._find_route()
        self._bound_body()
        if self._parser.should_upgrade():
            if self._chunked or self._method == "CONNECT":
                self._abort(self._match.answer or plain_error(501), nsq_header=self._match.nsq_header)
            self._raw_left = max(self._content_length, 0)

    def on_body(self, part: bytes) -> None:
        """Some of the content."""
        self.continue_due = False
        self._body_bytes += len(part)
        if self._body_bytes > self._body_limit:
            self._too_big()
        if self._keep_body:
            # The usual body comes whole and is not copied. Not a list of parts: some come two bytes at a time.
            if self._body_bytes == len(part):
                self._body = part
            else:
                self._body_rest += part

    def on_message_complete(self) -> None:
        """The request is whole, unless its body was hidden from the parser by an offer to upgrade."""
        self._keep_alive = self._parser.should_keep_alive()
        if not self._raw_left:
            self._complete()

    # ---------------------------------------------------------------------------------- steps of one request

    def _find_route(self) -> None:
        method_bytes = self._parser.get_method()
        method = self._method = _METHODS.get(method_bytes) or method_bytes.decode("latin-1")
        url = self._url.decode("latin-1")
        if url[:1] != "/" and url[:7].lower() in {"http://", "https:/"}:
            _, slash, rest = url.partition("//")[2].partition("/")
            url = slash + rest or "/"
        path, _, self._query = url.partition("?")
        if "%" in path:
            decoded = percent_decode(path)
            if decoded is None:
                self._abort(plain_error(400))
            else:
                path = decoded
        self._path = path
        match = self._match = self._router.match(method, path, self._query)
        route = match.route
        if route is not None and route.check is not None:
            refusal = route.check(decode_headers(self._headers))
            if refusal is not None:
                # As for a path that does not exist: the body of a stranger is not kept.
                self._match = Match(answer=refusal, nsq_header=route.nsq_header)

    def _bound_body(self) -> None:
        route = self._match.route
        wanted = 0 if route is None else route.body_limit()
        self._keep_body = wanted > 0
        self._body_limit = wanted if wanted > 0 else self._limits.discard_bytes_max
        if self._content_length > self._body_limit:
            self._too_big()
        if self._expect and (self._content_length > 0 or self._chunked):
            if self._expect != b"100-continue":
                self._abort(empty(417))
            if self._match.answer is not None:
                self._abort(self._match.answer, nsq_header=self._match.nsq_header)
            self.continue_due = True

    def _too_big(self) -> None:
        match = self._match
        answer = match.answer
        if answer is None:
            answer = HttpError(413, match.route.too_big if match.route else "BODY_TOO_BIG").response()
        self._abort(answer, nsq_header=match.nsq_header if match.route is None else match.route.nsq_header)

    def _take_raw(self, data: bytes) -> bytes:
        part, rest = data[: self._raw_left], data[self._raw_left :]
        self._raw_left -= len(part)
        try:
            self.on_body(part)
        except _StopParsing:
            return b""
        if not self._raw_left:
            self._complete()
        return rest

    def _drop_body(self) -> None:
        self._body = b""
        if self._body_rest:
            self._body_rest = bytearray()

    def _complete(self) -> None:
        keep_alive = self._keep_alive
        match = self._match
        route = match.route
        self.phase = Phase.IDLE
        self.messages += 1
        self.continue_due = False
        # HTTP/1.0 keeps a connection only when both sides say so.
        say = keep_alive and self._has_connection and self._parser.get_http_version() == "1.0"
        item = Incoming(
            route=route,
            answer=match.answer,
            keep_alive=keep_alive,
            say_keep_alive=say,
            nsq_header=match.nsq_header if route is None else route.nsq_header,
            to_head=self._method == "HEAD",
        )
        if route is not None:
            body = self._body + self._body_rest if self._body_rest else self._body
            item.request = Request(
                self._method, self._path, self._query, self._headers, body, self._remote, match.params
            )
        self.ready.append(item)
        if not keep_alive:
            self.end()
