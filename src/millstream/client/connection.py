"""One TCP connection to an nsqd: the socket on one side, `protocol.client` on the other.

`client.subscription` and `client.writer` own one each: they queue commands on `protocol` and call `wake`; all that was
queued in one turn of the loop leaves in one write. What comes in is read whole, decoded in one go, and handed to
`on_event`, a few events per read.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from millstream.base.errors import MillstreamError
from millstream.base.system import host_name
from millstream.base.units import Address
from millstream.base.version import VERSION
from millstream.client.errors import ConnectionFailed
from millstream.client.message import Message
from millstream.client.options import ConnectionOptions
from millstream.net.resolver import connect
from millstream.protocol.client import Authenticated, ClientConnection, Event, Identified, Refused, State
from millstream.protocol.commands import Auth, Command, Identify
from millstream.protocol.identify import IdentifyRequest, NegotiatedReply, encode_request

_READ_BYTES: Final = 256 * 1024
_WRITE_HIGH_BYTES: Final = 256 * 1024
_MS_PER_S: Final = 1_000

Happening = Event[Message]


class NsqdConnection(asyncio.BufferedProtocol):
    """The socket of one connection, with its deadlines.

    Life: `open`, then commands and events, then `close` or `drop`, or the loss of it; `closed` is done, with the
    reason, when the socket is gone. An object serves for one connection only.
    """

    def __init__(
        self,
        address: Address,
        options: ConnectionOptions,
        request: IdentifyRequest,
        on_event: Callable[[Happening], None],
        *,
        source: object = None,
        on_writable: Callable[[], None] | None = None,
    ) -> None:
        """`on_event` and `on_writable` (room for more bytes again) are called from the loop and must not raise."""
        self.address = address
        self.protocol = ClientConnection(Message, source, frame_bytes_max=options.frame_bytes_max)
        self.negotiated = NegotiatedReply()
        self.is_open = False
        self.is_writable = True
        self._options = options
        self._request = request
        self._on_event = on_event
        self._on_writable = on_writable
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Future[None] | None = None
        self._reason = ""
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._received_at_s = 0.0
        self._is_flush_scheduled = False
        self._silence_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Dial, IDENTIFY, and AUTH where nsqd asks for it; ConnectionFailed when one of these fails or is late."""
        try:
            async with asyncio.timeout(self._options.connect_timeout_ms / _MS_PER_S):
                await connect(lambda: self, self.address)
            async with asyncio.timeout(self._options.handshake_timeout_ms / _MS_PER_S):
                await self._shake_hands()
        except TimeoutError as error:
            step = "IDENTIFY" if self.is_open else "dial"
            self.drop("timed out")
            raise ConnectionFailed(f"{self.address}: {step} timed out") from error
        except OSError as error:
            self.drop(str(error))
            raise ConnectionFailed(f"{self.address}: {error.strerror or error}") from error
        except BaseException:
            self.drop("handshake failed")
            raise

    def send(self, command: Command) -> None:
        """Queue a command, to leave at the end of this turn of the loop; UsageError when it is illegal now."""
        self.protocol.send(command)
        self.wake()

    def wake(self) -> None:
        """Something was queued on `protocol`: write it before the loop waits again."""
        if not self._is_flush_scheduled and self.is_open:
            self._is_flush_scheduled = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Write what is queued, then close; `closed` tells when that is done."""
        if self._transport is not None and not self._transport.is_closing():
            self._write_output()
            self.is_open = False
            self._transport.close()
            # A peer that reads nothing would keep the socket for ever.
            self._write_timer = self._loop.call_later(self._options.write_timeout_ms / _MS_PER_S, self._transport.abort)

    def drop(self, reason: str) -> None:
        """Close now, and forget what was not written; the first reason given is the one that `closed` has."""
        self._reason = self._reason or reason
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()
        elif not self.closed.done():
            self.closed.set_result(self._reason)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and start the deadline for silence."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        self.is_open = True
        self._received_at_s = self._loop.time()
        self._check_silence()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Offer the whole buffer, whatever the hint."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Decode all that one read gave."""
        self._received_at_s = self._loop.time()
        is_first = self.protocol.state is State.IDENTIFYING
        try:
            events = self.protocol.receive(self._buffer[:nbytes])
        except MillstreamError as error:
            hint = " (an HTTP port: use nsqd's TCP port)" if is_first and bytes(self._buffer[:4]) == b"HTTP" else ""
            self.drop(f"{error}{hint}")
            return
        if self.protocol.state is State.FAILED:
            # Whoever hears of the events below must not send any more.
            self.is_open = False
        for event in events:
            if isinstance(event, Identified):
                self.negotiated = event.reply
                self._end_handshake()
            elif isinstance(event, Authenticated):
                self._end_handshake()
            else:
                if isinstance(event, Refused):
                    self._reason = self._reason or str(event.error)
                self._on_event(event)
        if self.protocol.state is State.FAILED:
            self.drop(self._reason)
        elif self.protocol.output_bytes:
            self.wake()

    def eof_received(self) -> None:
        """Let asyncio close: nsqd sends nothing more, so there is nothing to stay for."""
        self._reason = self._reason or "closed by nsqd"

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, whoever closed it."""
        self.is_open = False
        for timer in (self._silence_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._reason = self._reason or (str(exc) if exc is not None else "closed")
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(ConnectionFailed(f"{self.address}: {self._reason}"))
        if not self.closed.done():
            self.closed.set_result(self._reason)

    def pause_writing(self) -> None:
        """Keep further bytes here until the socket takes them; give up when it takes none for too long."""
        self.is_writable = False
        self._watch_write(self._unwritten_bytes())

    def resume_writing(self) -> None:
        """Go on with what was queued meanwhile."""
        self.is_writable = True
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._flush()
        if self._on_writable is not None:
            self._on_writable()

    # Our own.

    async def _shake_hands(self) -> None:
        await self._ask(Identify(encode_request(self._request)))
        # Here TLS and compression would start, each with an OK of its own; `request` asks for neither.
        if not self.negotiated.auth_required:
            return
        if not self._options.auth_secret:
            raise ConnectionFailed(f"{self.address}: nsqd requires AUTH: set auth_secret")
        await self._ask(Auth(self._options.auth_secret.encode()))

    async def _ask(self, command: Command) -> None:
        if not self.is_open:
            raise ConnectionFailed(f"{self.address}: {self._reason or 'closed'}")
        self._handshake = self._loop.create_future()
        self.send(command)
        await self._handshake

    def _end_handshake(self) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_result(None)

    def _flush(self) -> None:
        self._is_flush_scheduled = False
        if self.is_writable:
            self._write_output()
        elif self.protocol.output_bytes > self._options.output_bytes_max:
            self.drop(f"more than {self._options.output_bytes_max} bytes unsent")

    def _write_output(self) -> None:
        if self.protocol.output_bytes and self._transport is not None and self.is_open:
            self._transport.write(self.protocol.take_output())

    def _unwritten_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def _watch_write(self, before_bytes: int) -> None:
        self._write_timer = self._loop.call_later(
            self._options.write_timeout_ms / _MS_PER_S, self._check_write, before_bytes
        )

    def _check_write(self, before_bytes: int) -> None:
        now_bytes = self._unwritten_bytes()
        if now_bytes >= before_bytes:
            self.drop(f"took no bytes for {self._options.write_timeout_ms} ms")
        else:
            self._watch_write(now_bytes)

    def _check_silence(self) -> None:
        timeout_s = self._options.read_timeout_ms / _MS_PER_S
        left_s = self._received_at_s + timeout_s - self._loop.time()
        if left_s <= 0:
            self.drop(f"silent for {self._options.read_timeout_ms} ms")
        else:
            self._silence_timer = self._loop.call_later(left_s, self._check_silence)


def identify_request(options: ConnectionOptions) -> IdentifyRequest:
    """What every client says of itself; readers add what they ask for."""
    hostname = options.hostname or host_name()
    return IdentifyRequest(
        client_id=options.client_id or hostname.partition(".")[0],
        hostname=hostname,
        user_agent=options.user_agent or f"millstream/{VERSION}",
        feature_negotiation=True,
        heartbeat_interval_ms=options.heartbeat_interval_ms,
    )
