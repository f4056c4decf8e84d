"""Takes one connection from plain bytes to what its IDENTIFY negotiated: TLS, then snappy or deflate.

`nsqd.conversation` makes one for a client that asked, `nsqd.session` says when everything owed in plain has left. The
order is NSQ's: the handshake, OK inside TLS, the compression, OK inside that. Then a `net.layer` stays under the
session, which goes on as if nothing had happened.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from millstream.base.log import get_logger
from millstream.net.handshake import HandshakeFailed, upgrade_to_tls
from millstream.net.layer import Above, CodecTransport, Layer
from millstream.net.tls import TlsFacts, common_name, facts
from millstream.net.upgrade import Codec, Deflate, Snappy
from millstream.nsqd.host import Host
from millstream.protocol.errors import IdentifyFailed
from millstream.protocol.frames import ERROR, RESPONSE, encode_frame
from millstream.protocol.identify import Negotiated

log = get_logger(__name__)

_OK: Final = encode_frame(RESPONSE, b"OK")


class Upgradable(Above, Protocol):
    """The session, as far as its upgrade needs it."""

    transport: Any
    is_closed: bool
    is_closing: bool

    def upgraded(self, transport: Any) -> None:
        """Speak through this transport from now on."""
        ...

    def reply(self, frame: bytes) -> None:
        """Send a frame."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...


class Upgrade:
    """What a connection is or becomes; `tls` is None until, and unless, there is TLS."""

    def __init__(self, host: Host, session: Upgradable, identity: Negotiated, on_done: Callable[[], None]) -> None:
        self.tls: TlsFacts | None = None
        self.common_name = ""
        self.snappy = identity.snappy
        self.deflate = identity.deflate
        self._host = host
        self._session = session
        self._identity = identity
        self._on_done = on_done
        self._has_begun = False
        self._layer = Layer(session, host.view, self._fault)

    def extend(self, identity: Negotiated) -> bool:
        """A second IDENTIFY asks for more; False unless it is compression, of a connection that has only TLS."""
        if identity.tls_v1 or self.tls is None or self.snappy or self.deflate:
            return False
        self._identity, self.snappy, self.deflate = identity, identity.snappy, identity.deflate
        self._has_begun = False
        return True

    def begin(self) -> None:
        """Everything owed by the rules of before has left, and reading is paused: change over."""
        if self._has_begun:
            return
        self._has_begun = True
        transport = self._session.transport
        if self.tls is not None:
            self._finish(transport)
            transport.resume_reading()
            return
        if self._identity.tls_v1:
            self._host.spawn(self._secure(transport), "TLS handshake")
            return
        transport.set_protocol(self._layer)
        self._finish(transport)

    async def _secure(self, transport: Any) -> None:
        """The handshake; a task of the host's group, which ends at the latest with its deadline."""
        host, session = self._host, self._session
        if host.tls is None:
            session.abort()
            return
        try:
            secure = await upgrade_to_tls(
                transport,
                self._layer,
                host.tls,
                timeout_ms=host.options.tls_handshake_timeout_ms,
                farewell=lambda reason: encode_frame(ERROR, IdentifyFailed(f"IDENTIFY failed {reason}").encode()),
            )
        except HandshakeFailed as error:
            log.info("client.handshake_failed", error=error)
            self._layer.connection_lost(None)
            return
        if session.is_closed or session.is_closing:
            secure.abort()
            return
        self.tls = facts(secure.get_extra_info("ssl_object"))
        self.common_name = common_name(secure.get_extra_info("peercert"))
        # Marks as low as they get without pausing for nothing: asyncio takes 0 unsent bytes for "at the mark".
        secure.set_write_buffer_limits(high=1, low=0)
        session.upgraded(secure)
        session.reply(_OK)
        self._finish(secure)

    def _finish(self, transport: Any) -> None:
        codec: Codec | None = None
        if self.snappy:
            codec = Snappy()
        elif self.deflate:
            codec = Deflate(self._identity.deflate_level)
        if codec is not None:
            self._session.upgraded(CodecTransport(transport, codec, self._layer))
            self._session.reply(_OK)
        self._on_done()
        self._layer.open(transport, codec, can_be_half_open=self.tls is None)

    def _fault(self, reason: str) -> None:
        log.info("client.stream_corrupt", error=reason)
        self._session.abort()
