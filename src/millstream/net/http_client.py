"""A small HTTP/1.1 client for talking to daemons: lookup polling, statistics, authorisation, publishing.

Connections are kept and reused per server, within bounds. Redirects are not followed: they are answers like others.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from millstream.base.errors import MillstreamError
from millstream.base.units import Address
from millstream.net.http_exchange import ClientResponse, ExchangeFailed, HttpExchange
from millstream.net.http_messages import header_line
from millstream.net.listener import join_host_port
from millstream.net.resolver import connect

__all__ = ["ClientResponse", "HttpClient", "HttpFailed"]

_PORTS: Final = {"http": 80, "https": 443}


_CLOSE_TIMEOUT_S: Final = 1.0


class HttpFailed(MillstreamError):
    """No whole answer was got: bad URL, no connection, time-out, or a server that breaks the rules."""

    def __init__(self, method: str, url: str, reason: str) -> None:
        super().__init__(f"{method} {url} failed - {reason}")
        self.url = url
        self.reason = reason


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class HttpClient:
    """Asks HTTP servers. Use within one running event loop; `close` it, or use it as `async with`."""

    def __init__(
        self,
        *,
        connect_timeout_ms: int = 2_000,
        request_timeout_ms: int = 5_000,
        response_bytes_max: int = 64 * 1024 * 1024,
        connections_max: int = 64,
        idle_max: int = 16,
        idle_timeout_ms: int = 60_000,
        user_agent: str = "millstream",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_timeout_s = connect_timeout_ms / 1000
        self._request_timeout_s = request_timeout_ms / 1000
        self._response_bytes_max = response_bytes_max
        self._idle_max = idle_max
        self._idle_timeout_s = idle_timeout_ms / 1000
        self._user_agent = user_agent
        self._tls = tls
        self._turn = asyncio.Semaphore(connections_max)
        self._idle: deque[tuple[_Origin, HttpExchange]] = deque()
        self._open: set[HttpExchange] = set()
        self._all_lost = asyncio.Event()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> ClientResponse:
        """Ask once more on a fresh connection when a kept one turns out to be closed. Raises HttpFailed."""
        return await self.request("GET", url, headers=headers)

    async def post(self, url: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None) -> ClientResponse:
        """Send a body, once: after HttpFailed it is not known whether the server has acted on it."""
        return await self.request("POST", url, body, headers=headers)

    async def request(
        self, method: str, url: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        """Any method. Every status is a result; HttpFailed means that there is no response."""
        if self._closed:
            raise HttpFailed(method, url, "the client is closed")
        try:
            origin, target = _split(url)
            message = self._encode(method, origin, target, body, headers or {})
        except (ValueError, UnicodeError) as error:
            raise HttpFailed(method, url, f"bad request: {error}") from error
        try:
            async with self._turn:
                return await self._ask(method, origin, message)
        except ExchangeFailed as error:
            raise HttpFailed(method, url, str(error)) from error
        except TimeoutError as error:
            raise HttpFailed(method, url, str(error) or "timed out") from error
        except OSError as error:
            raise HttpFailed(method, url, error.strerror or str(error)) from error

    async def close(self) -> None:
        """Close every connection; requests that are waiting fail. On return no socket is left open."""
        self._closed = True
        self._idle.clear()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                while self._open:
                    self._all_lost.clear()
                    for exchange in list(self._open):
                        exchange.abort()
                    await self._all_lost.wait()
        except TimeoutError:
            # uvloop: a connect that is cancelled in the moment it succeeds is reported as made, and never as lost.
            self._open.clear()

    async def _ask(self, method: str, origin: _Origin, message: bytes) -> ClientResponse:
        while True:
            exchange = self._take_idle(origin) or await self._connect(origin)
            reused = exchange.requests > 0
            try:
                async with asyncio.timeout(self._request_timeout_s):
                    response = await exchange.ask(message)
            except TimeoutError as error:
                raise TimeoutError(f"no answer within {self._request_timeout_s:g} s") from error
            except ExchangeFailed as error:
                # The server may have closed it while it was idle. Only what is safe to repeat is repeated.
                if reused and error.untouched and method == "GET" and not self._closed:
                    continue
                raise
            self._keep(origin, exchange)
            return response

    async def _connect(self, origin: _Origin) -> HttpExchange:
        tls = (self._tls or ssl.create_default_context()) if origin.scheme == "https" else None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                exchange = await connect(
                    lambda: HttpExchange(self._response_bytes_max, on_made=self._open.add, on_lost=self._forget),
                    Address(origin.host, origin.port),
                    tls=tls,
                )
        except TimeoutError as error:
            raise TimeoutError(f"no connection within {self._connect_timeout_s:g} s") from error
        if self._closed:
            exchange.abort()
        return exchange

    def _take_idle(self, origin: _Origin) -> HttpExchange | None:
        """The kept connection to this server that was used last, if any; old ones are closed on the way."""
        oldest = asyncio.get_running_loop().time() - self._idle_timeout_s
        while self._idle and (self._idle[0][1].idle_since < oldest or not self._idle[0][1].usable):
            self._idle.popleft()[1].close()
        for index in range(len(self._idle) - 1, -1, -1):
            found, exchange = self._idle[index]
            if found == origin and exchange.usable:
                del self._idle[index]
                return exchange
        return None

    def _keep(self, origin: _Origin, exchange: HttpExchange) -> None:
        if self._closed or not exchange.usable:
            exchange.close()
            return
        exchange.idle_since = asyncio.get_running_loop().time()
        self._idle.append((origin, exchange))
        if len(self._idle) > self._idle_max:
            self._idle.popleft()[1].close()

    def _forget(self, exchange: HttpExchange) -> None:
        self._open.discard(exchange)
        for index, (_, idle) in enumerate(self._idle):
            if idle is exchange:
                del self._idle[index]
                break
        if not self._open:
            self._all_lost.set()

    def _encode(self, method: str, origin: _Origin, target: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        if not method.isascii() or not method.isalpha():
            raise ValueError(f"method {method!r}")
        host = join_host_port(origin.host, origin.port)
        lines = [f"{method} {target} HTTP/1.1\r\n".encode("ascii"), header_line("Host", host)]
        lines.append(header_line("User-Agent", self._user_agent))
        if body or method not in {"GET", "HEAD", "DELETE", "OPTIONS"}:
            lines.append(header_line("Content-Length", str(len(body))))
        lines.extend(header_line(name, value) for name, value in headers.items())
        return b"".join((*lines, b"\r\n", body))


def _split(url: str) -> tuple[_Origin, str]:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        raise ValueError("an http:// or https:// URL with a host is needed")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if any(not "!" <= char <= "~" for char in url):
        raise ValueError("the URL holds characters that need % escapes")
    return _Origin(parts.scheme, parts.hostname, port), target
