"""The client's side of one HTTP connection: sends a request, collects the response; one at a time.

`net.http_client` opens these, lends them to callers and keeps them for reuse. Whatever goes wrong ends the connection
and reaches the waiting caller as ExchangeFailed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import httptools

from millstream.base.errors import MillstreamError

_HEADER_BYTES_MAX: Final = 65_536
_HEADER_COUNT_MAX: Final = 200
_CHUNK_OVERHEAD: Final = 8
_BODY_UNTIL_CLOSED: Final = -1
_BODY_CHUNKED: Final = -2


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A whole response. Header names are lower-case, repeated headers joined by a comma and a blank."""

    status: int
    headers: dict[str, str]
    body: bytes


class ExchangeFailed(MillstreamError):
    """No whole response came. `untouched` when not a byte of it did: a kept connection may just have been closed."""

    def __init__(self, reason: str, *, untouched: bool = False) -> None:
        super().__init__(reason)
        self.untouched = untouched


class HttpExchange(asyncio.Protocol):
    """A connection to one server. `usable` tells whether a further request may be sent."""

    _transport: asyncio.Transport

    def __init__(
        self,
        response_bytes_max: int,
        *,
        on_made: Callable[["HttpExchange"], None],
        on_lost: Callable[["HttpExchange"], None],
    ) -> None:
        self._response_bytes_max = response_bytes_max
        self._on_made = on_made
        self._on_lost = on_lost
        self._received_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[ClientResponse] | None = None
        self.requests = 0
        self.idle_since = 0.0
        self.usable = False
        self.on_message_begin()

    async def ask(self, request: bytes) -> ClientResponse:
        """Send the bytes of a request and wait for the response. Cancelled, it closes the connection."""
        waiter: asyncio.Future[ClientResponse] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self.requests += 1
        self._received_bytes = 0
        self.on_message_begin()
        self._transport.write(request)
        try:
            return await waiter
        finally:
            self._waiter = None
            if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
                self.abort()

    def close(self) -> None:
        """Close an idle connection."""
        self.usable = False
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection; a caller that waits gets ExchangeFailed."""
        self.usable = False
        self._transport.abort()

    # ------------------------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for a first request."""
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True
        self._on_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the caller that waits, unless the end of the connection is the end of the body."""
        self.usable = False
        self._finish_until_closed()
        self._fail(str(exc) if exc else "connection closed", untouched=self._received_bytes == 0)
        self._on_lost(self)

    def eof_received(self) -> bool:
        """The server has closed: so does the transport."""
        self.usable = False
        self._finish_until_closed()
        return False

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what nobody has asked for ends the connection."""
        if self._waiter is None or self._waiter.done():
            self.abort()
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server switches protocols")
        except httptools.HttpParserError as error:
            # Data behind a finished response only spoils the connection.
            self.usable = False
            self._fail(str(error.__context__ or error))
        if self._whole and not self.usable:
            self._transport.close()
        elif not self._whole:
            self._bound(len(data))

    # ------------------------------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """A response, interim ones included, begins."""
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._body = bytearray()
        self._framing = _BODY_UNTIL_CLOSED
        self._in_body = False
        self._whole = False
        self._raw_bytes = 0

    def on_header(self, name_bytes: bytes, value_bytes: bytes) -> None:
        """A header, or a trailer, which is ignored."""
        self._header_count += 1
        if self._header_count > _HEADER_COUNT_MAX:
            raise ExchangeFailed("too many headers")
        if self._in_body:
            return
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1").strip()
        self._headers[name] = f"{self._headers[name]}, {value}" if name in self._headers else value

    def on_headers_complete(self) -> None:
        """Know how the body ends, and whether it is too large."""
        self._in_body = True
        self._raw_bytes = 0
        if "transfer-encoding" in self._headers:
            self._framing = _BODY_CHUNKED
        elif "content-length" in self._headers:
            self._framing = int(self._headers["content-length"])
            if self._framing > self._response_bytes_max:
                raise ExchangeFailed(f"response of {self._framing} bytes is too large")

    def on_body(self, part: bytes) -> None:
        """Some of the content."""
        self._body += part
        if len(self._body) > self._response_bytes_max:
            raise ExchangeFailed(f"response is larger than {self._response_bytes_max} bytes")

    def on_message_complete(self) -> None:
        """Hand over, unless it was an interim response."""
        if self._parser.get_status_code() >= 200:
            self.usable = self.usable and self._parser.should_keep_alive()
            self._deliver()

    # ------------------------------------------------------------------------------------ the caller that waits

    def _deliver(self) -> None:
        self._whole = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(ClientResponse(self._parser.get_status_code(), self._headers, bytes(self._body)))

    def _fail(self, reason: str, *, untouched: bool = False) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(ExchangeFailed(reason, untouched=untouched))

    def _finish_until_closed(self) -> None:
        if self._in_body and not self._whole and self._framing == _BODY_UNTIL_CLOSED:
            self._deliver()

    def _bound(self, size_bytes: int) -> None:
        # Only bytes show an endless header, chunk extension or trailer: the parser calls back for what is whole.
        self._raw_bytes += size_bytes
        overhead_max = _CHUNK_OVERHEAD * len(self._body) if self._framing == _BODY_CHUNKED else len(self._body)
        if self._raw_bytes > 2 * _HEADER_BYTES_MAX + overhead_max + size_bytes:
            self._fail("headers are too large")
