"""One HTTP connection: runs handlers on the requests that `net.http_requests` finds, and answers in their order.

A handler that returns a Response is answered in the same callback, one write for all requests of a read. A Later or a
Future is waited for by a callback, and later requests go on meanwhile. A coroutine runs in a task that this connection
owns: the requests behind it wait, so that effects happen in the order of the requests; the task is cancelled when the
client goes away. While nothing is under way and the last request may come again, reads go to `net.http_repeat` first.
Back-pressure: while too many requests are unanswered, or the client does not read, none is read or begun.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable
from typing import Final, cast

from millstream.base.log import get_logger
from millstream.net.http_messages import CONTINUE, HttpError, Later, Response, encode_response, plain_error
from millstream.net.http_repeat import NEVER, ShortWay
from millstream.net.http_requests import Incoming, Phase, RequestParser
from millstream.net.http_shared import HttpShared
from millstream.net.listener import join_host_port

_LOG: Final = get_logger("net.http")
_WRITE_BYTES: Final = 65_536
_CLOSE_LINE: Final = b"Connection: close\r\n"
_KEEP_ALIVE_LINE: Final = b"Connection: keep-alive\r\n"
_INTERNAL_ERROR: Final = HttpError(500, "INTERNAL_ERROR").response()


class _Slot:
    """The place of one answer in the order of answers."""

    __slots__ = ("connection", "item", "response")

    def __init__(self, connection: "HttpConnection", item: Incoming, response: Response | None = None) -> None:
        self.connection = connection
        self.item = item
        self.response = response

    def give(self, response: Response) -> None:
        """A handler gives the answer that it owed."""
        self.response = response
        self.connection.settle()


class HttpConnection(asyncio.Protocol):
    """Made by `HttpServer.protocol` for each connection; lives until the transport is closed."""

    __slots__ = (
        "_closing",
        "_draining",
        "_eof",
        "_out",
        "_out_bytes",
        "_parser",
        "_reading_paused",
        "_repeated",
        "_shared",
        "_short",
        "_slots",
        "_task",
        "_timed",
        "_transport",
        "_unsent_bytes",
        "_writing_paused",
    )

    _transport: asyncio.Transport
    _parser: RequestParser

    def __init__(self, shared: HttpShared) -> None:
        self._shared = shared
        self._slots: deque[_Slot] = deque()
        self._task: asyncio.Future[Response] | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._timed = (-1, -1)
        self._closing = False
        self._draining = False
        self._eof = False
        self._reading_paused = False
        self._writing_paused = False
        self._unsent_bytes = 0
        self._short = ShortWay(self, shared, shared.limits.idle_timeout_ms / 1000)
        self._repeated = Incoming()

    @property
    def deadline(self) -> float:
        """When `expire` is due, in the loop's seconds."""
        return self._short.deadline

    # ------------------------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the server's connections, or refuse when they are too many."""
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        socket = transport.get_extra_info("socket")
        # Behind TLS the socket takes only what the transport has encrypted.
        is_plain = socket is not None and transport.get_extra_info("sslcontext") is None
        self._short.connect(
            asyncio.get_running_loop().time, self._transport.get_write_buffer_size, socket.fileno() if is_plain else -1
        )
        peer = _peer(transport)
        self._parser = RequestParser(self._shared.router, self._shared.limits, peer)
        if not self._shared.join(self, peer.rpartition(":")[0]):
            busy = plain_error(503)
            self._transport.write(
                encode_response(busy, self._shared.date_line, nsq_header=False, connection=_CLOSE_LINE)
            )
            self._parser.end()
            self._linger()
            return
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason changes nothing
        """Cancel the coroutine that works for the client, forget the rest."""
        self._leave_short_way()
        self._closing = True
        self._short.descriptor = -1
        self._parser.end()
        self._parser.ready.clear()
        self._slots.clear()
        self._out.clear()
        if self._task is not None:
            self._task.cancel()
        self._shared.leave(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket; answers that are ready leave in one write."""
        if self._short.take(data) or self._closing:
            return
        self._leave_short_way()
        self._parser.feed(data)
        self._advance()

    def _leave_short_way(self) -> None:
        """From here on everything is done in its order, what comes now behind what is owed."""
        short = self._short
        if short.is_open:
            # The short way has its own time.
            self._timed = (-1, -1)
            slot = _Slot(self, self._repeated)
            if short.leave(slot):
                self._slots.append(slot)

    def _open_short_way(self) -> None:
        """When nothing is under way, and the last request may come again."""
        if (
            self._slots
            or self._out
            or self._writing_paused
            or self._reading_paused
            or self._draining
            or self._eof
            or self._task is not None
        ):
            return
        known = self._parser.next_may_repeat()
        if known is not None and known.repeat is not None and not known.item.to_head:
            self._repeated = known.item
            self._short.open(known.head, known.body_bytes, known.repeat, nsq_header=known.item.nsq_header)

    def write(self, data: bytes) -> None:
        """Send what the socket did not take at once."""
        self._transport.write(data)

    def failed(self, error: Exception) -> Response:
        """What took a request again made a mistake."""
        return _response_to(error, self._repeated)

    def eof_received(self) -> bool:
        """The client will send no more. What it has asked for is answered, unless a coroutine works on it."""
        self._leave_short_way()
        if self._task is not None or not self._is_busy() or self._closing:
            return False
        self._eof = True
        self._parser.end()
        # A TLS transport cannot be half open.
        return self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        """The client reads slower than it asks: begin no more requests."""
        self._leave_short_way()
        self._writing_paused = True
        self._watch_writing()
        self._balance_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writing_paused = False
        self._timed = (-1, -1)
        if not self._closing:
            self._advance()

    # ------------------------------------------------------------------------------------ asked by the server

    def shut(self) -> None:
        """Close now when idle, otherwise after what is in flight has been answered."""
        self._leave_short_way()
        self._draining = True
        if not self._closing and not self._is_busy() and self._parser.phase is Phase.IDLE:
            self._close()

    def abort(self) -> None:
        """Drop the connection; the task that works for it is cancelled, and ends a little later."""
        self._leave_short_way()
        if self._task is not None:
            self._task.cancel()
        self._short.descriptor = -1
        self._transport.abort()

    def expire(self) -> None:
        """Called after the deadline: a client in the middle of a request is told, a silent one is dropped."""
        self._leave_short_way()
        if self._closing or self._writing_paused:
            if self._transport.get_write_buffer_size() < self._unsent_bytes:
                self._watch_writing()
            else:
                self._transport.abort()
        elif self._parser.phase is Phase.IDLE:
            self._close()
        else:
            self._parser.end()
            self._parser.ready.append(Incoming(answer=plain_error(408)))
            self._advance()

    # ------------------------------------------------------------------------------------ requests to answers

    def _advance(self) -> None:
        """Begin what may begin, write what is due, then see to reading and time."""
        ready = self._parser.ready
        pipelined_max = self._shared.limits.pipelined_max
        while (
            ready
            and not self._closing
            and not self._writing_paused
            and self._task is None
            and len(self._slots) < pipelined_max
        ):
            self._begin(ready.popleft())
            if self._out_bytes > _WRITE_BYTES:
                self._write_out()
        if self._closing:
            return
        if self._parser.continue_due and not self._is_busy():
            self._parser.continue_due = False
            self._out.append(CONTINUE)
        self._write_out()
        if (self._eof or self._draining) and not self._is_busy() and self._parser.phase is Phase.IDLE:
            self._close()
            return
        self._balance_reading()
        self._set_deadline()
        self._open_short_way()

    def _begin(self, item: Incoming) -> None:
        route, request = item.route, item.request
        if route is None or request is None:
            self._answer(item, item.answer or _INTERNAL_ERROR)
            return
        try:
            result = route.handler(request)
        except Exception as error:  # noqa: BLE001 - a handler's bug must not take the connection's order with it
            self._answer(item, _response_to(error, item))
            return
        if isinstance(result, Response):
            self._answer(item, result)
        elif isinstance(result, Later):
            slot = _Slot(self, item)
            self._slots.append(slot)
            result.hear(slot.give)
        else:
            self._wait_for(item, result)

    def _wait_for(self, item: Incoming, result: Awaitable[Response]) -> None:
        try:
            future = asyncio.ensure_future(result)
        except TypeError as error:
            self._answer(item, _response_to(error, item))
            return
        slot = _Slot(self, item)
        self._slots.append(slot)
        if future is not result:
            # A coroutine has become a task, ours until it ends; a Future is its maker's.
            self._task = future
            self._shared.tasks.add(future)
        future.add_done_callback(lambda done: self._end(slot, done))

    def settle(self) -> None:
        """Answers leave in the order of their requests, as soon as they are there."""
        slots = self._slots
        while slots and slots[0].response is not None and not self._closing:
            done = slots.popleft()
            self._write(done.item, done.response or _INTERNAL_ERROR)
        if not self._closing:
            self._advance()

    def _end(self, slot: _Slot, future: asyncio.Future[Response]) -> None:
        if future is self._task:
            self._task = None
        self._shared.tasks.discard(future)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if self._closing:
            return
        slot.response = future.result() if error is None else _response_to(error, slot.item)
        self.settle()

    def _answer(self, item: Incoming, response: Response) -> None:
        if self._slots:
            self._slots.append(_Slot(self, item, response))
        else:
            self._write(item, response)

    def _write(self, item: Incoming, response: Response) -> None:
        """Put one answer, whose turn it is, on the wire."""
        last = not item.keep_alive or (
            (self._draining or self._eof) and not self._is_busy() and self._parser.phase is Phase.IDLE
        )
        line = _CLOSE_LINE if last else _KEEP_ALIVE_LINE if item.say_keep_alive else b""
        date_line, nsq_header = self._shared.date_line, item.nsq_header
        try:
            data = encode_response(response, date_line, nsq_header=nsq_header, connection=line, to_head=item.to_head)
        except Exception as error:  # noqa: BLE001 - as in _begin: what a handler returns may be no response at all
            data = encode_response(_response_to(error, item), date_line, nsq_header=nsq_header, connection=line)
        self._out.append(data)
        self._out_bytes += len(data)
        if last:
            self._write_out()
            if item.keep_alive or item.request is not None:
                self._close()
            else:
                self._linger()

    def _write_out(self) -> None:
        out = self._out
        if out:
            self._out_bytes = 0
            self._short.send(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    # ------------------------------------------------------------------------------------ closing, flow, time

    def _close(self) -> None:
        self._closing = True
        self._short.descriptor = -1
        self._watch_writing()
        self._transport.close()

    def _linger(self) -> None:
        """Close so that a client which is still sending gets to read the answer before a reset destroys it."""
        self._closing = True
        self._short.descriptor = -1
        self._unsent_bytes = 0
        transport = self._transport
        if transport.is_closing() or not transport.can_write_eof():
            transport.close()
            return
        self._transport.write_eof()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._short.deadline = self._shared.now() + self._shared.limits.linger_ms / 1000

    def _watch_writing(self) -> None:
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._short.deadline = self._shared.now() + self._shared.limits.write_timeout_ms / 1000

    def _is_busy(self) -> bool:
        return bool(self._slots or self._parser.ready)

    def _balance_reading(self) -> None:
        full = (
            self._writing_paused
            or len(self._slots) >= self._shared.limits.pipelined_max
            or len(self._parser.ready) >= self._shared.limits.pipelined_max
        )
        if full is self._reading_paused or self._closing or self._transport.is_closing():
            return
        self._reading_paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _set_deadline(self) -> None:
        """Time runs from the moment a phase of a request began: a trickle of bytes does not extend it."""
        if self._reading_paused and not self._writing_paused:
            # We are what the rest of the request waits for.
            self._timed, self._short.deadline = (-1, -1), NEVER
            return
        parser = self._parser
        timed = (parser.messages, parser.phase)
        if self._writing_paused or (timed == self._timed and parser.phase is not Phase.IDLE):
            return
        self._timed = timed
        limits = self._shared.limits
        if parser.phase is Phase.HEADERS:
            self._short.deadline = self._shared.now() + limits.header_timeout_ms / 1000
        elif parser.phase is Phase.BODY:
            self._short.deadline = self._shared.now() + limits.body_timeout_ms / 1000
        elif self._is_busy():
            self._short.deadline = NEVER
        else:
            self._short.deadline = self._shared.now() + limits.idle_timeout_ms / 1000


def _response_to(error: BaseException, item: Incoming) -> Response:
    if isinstance(error, HttpError):
        return error.response()
    request = item.request
    _LOG.error(
        "http.handler_failed",
        method=request.method if request else "",
        path=request.path if request else "",
        error=repr(error),
        where=_where(error),
    )
    return _INTERNAL_ERROR


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _peer(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return ""
    return join_host_port(str(peer[0]), int(peer[1]))
