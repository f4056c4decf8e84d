"""The connection of one nsqd: its bytes go to `protocol.lookup`, its commands to the registry, replies back to it.

`service` gives one to each accepted socket. Everything happens in the callbacks of the transport, so a command is
carried out and answered at once, in order. When the peer does not read its replies nothing more is read from it.
"""

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Final, cast

from millstream.base.log import get_logger
from millstream.base.units import Address
from millstream.nsqlookupd.records import Producer
from millstream.nsqlookupd.registry import Registry, RegistryFull
from millstream.protocol.errors import CommandError, Invalid
from millstream.protocol.lookup import (
    OK,
    Command,
    Identify,
    Identity,
    LookupServerConnection,
    Ping,
    Register,
    Unregister,
    encode_identity_reply,
    encode_reply,
)

log = get_logger(__name__)

_REPLIES_PER_WRITE: Final = 1_000
# An nsqd whose host has vanished sends nothing: the kernel finds that out, as it does for NSQ.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 9}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """What one peer, and all of them together, may take."""

    connections_max: int
    line_bytes_max: int
    body_bytes_max: int
    handshake_timeout_ms: int


class SessionHost:
    """Makes a session for each accepted connection, counts them, and closes those that are left at the end."""

    def __init__(self, registry: Registry, limits: SessionLimits) -> None:
        self.registry = registry
        self.limits = limits
        self.identity_reply = b""
        self.refused = 0
        self.commands: Counter[str] = Counter()
        self._sessions: dict[int, Session] = {}
        self._all_left = asyncio.Event()
        self._is_closed = False
        self._last_id = 0

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._sessions)

    def open(self, identity: Identity) -> None:
        """Tells who this nsqlookupd is. Peers that came before are heard from now on."""
        self.identity_reply = encode_identity_reply(identity)
        for session in self._sessions.values():
            session.hear()

    def accept(self) -> "Session":
        """The protocol of a new connection, which is not heard before `open`."""
        self._last_id += 1
        return Session(self, self._last_id)

    def enter(self, session: "Session") -> bool:
        """False when there is no room for this one."""
        if self._is_closed or len(self._sessions) >= self.limits.connections_max:
            return False
        self._sessions[session.connection_id] = session
        return True

    def leave(self, session: "Session") -> None:
        """The connection is gone; what its nsqd had goes too."""
        self._sessions.pop(session.connection_id, None)
        self.registry.disconnect(session.connection_id)
        if not self._sessions:
            self._all_left.set()

    async def close(self) -> None:
        """Cuts every connection and returns when all are gone; a connection accepted meanwhile is refused."""
        self._is_closed = True
        self._all_left.clear()
        for session in list(self._sessions.values()):
            session.abort()
        if self._sessions:
            await self._all_left.wait()


class Session(asyncio.Protocol):
    """One nsqd, from its magic to its end."""

    def __init__(self, host: SessionHost, connection_id: int) -> None:
        self.connection_id = connection_id
        self._host = host
        self._registry = host.registry
        self._connection = LookupServerConnection(
            line_bytes_max=host.limits.line_bytes_max, body_bytes_max=host.limits.body_bytes_max
        )
        self._transport: asyncio.Transport
        self._remote_address = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._is_writable = True
        self._is_closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted."""
        self._transport = cast("asyncio.Transport", transport)
        self._remote_address = _format_address(transport.get_extra_info("peername"))
        if not self._host.enter(self):
            self._host.refused += 1
            log.warning("client.refused", client=self._remote_address, connections=self._host.limits.connections_max)
            self.abort()
            return
        _tune(transport.get_extra_info("socket"))
        log.info("client.connected", client=self._remote_address)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Some bytes of the peer."""
        if self._is_closing:
            return
        self._connection.receive(data)
        if self._host.identity_reply:
            self._carry_out()
        else:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer sends no more: it is told what that cut off, and the connection is closed."""
        if not self._is_closing:
            try:
                self._connection.end()
            except CommandError as error:
                self._fail(error)
            else:
                self.close()
        return True

    def pause_writing(self) -> None:
        """The peer does not read its replies: read no more commands until it does."""
        self._is_writable = False
        self._transport.pause_reading()
        self._start_deadline()

    def resume_writing(self) -> None:
        """The peer has read its replies."""
        self._is_writable = True
        if self._is_closing:
            return
        self._stop_deadline()
        self._carry_out()
        if self._is_writable and not self._is_closing:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_closing = True
        self._stop_deadline()
        self._host.leave(self)
        log.info("client.closed", client=self._remote_address, reason=exc or "end of connection")

    def hear(self) -> None:
        """Carries out what came before the host was open, and reads on."""
        if not self._is_closing:
            self._transport.resume_reading()
            self._carry_out()

    def close(self) -> None:
        """Closes the connection once what was written has left, or the deadline has passed."""
        self._is_closing = True
        self._start_deadline()
        self._transport.close()

    def abort(self) -> None:
        """Cuts the connection; what was written may be lost."""
        self._is_closing = True
        self._transport.abort()

    def _carry_out(self) -> None:
        replies: list[bytes] = []
        try:
            for command in self._connection.commands():
                replies.append(encode_reply(self._answer(command)))
                if len(replies) >= _REPLIES_PER_WRITE and not self._write(replies):
                    return
        except CommandError as error:
            self._write(replies)
            self._fail(error)
        else:
            self._write(replies)

    def _write(self, replies: list[bytes]) -> bool:
        """False when the peer has to read first."""
        if replies:
            self._stop_deadline()
            self._transport.write(b"".join(replies))
            replies.clear()
        return self._is_writable

    def _answer(self, command: Command) -> bytes:
        self._host.commands[type(command).__name__.upper()] += 1
        match command:
            case Ping():
                self._registry.ping(self.connection_id)
            case Identify(identity):
                producer = Producer(
                    connection_id=self.connection_id, remote_address=self._remote_address, identity=identity
                )
                self._registry.identify(producer)
                log.info("client.identified", client=self._remote_address, node=producer.node, version=identity.version)
                return self._host.identity_reply
            case Register(topic, channel):
                log.debug("client.registered", client=self._remote_address, topic=topic, channel=channel)
                try:
                    self._registry.register(self.connection_id, topic, channel)
                except RegistryFull as error:
                    raise Invalid(f"REGISTER failed {error}") from error
            case Unregister(topic, channel):
                log.debug("client.unregistered", client=self._remote_address, topic=topic, channel=channel)
                self._registry.unregister(self.connection_id, topic, channel)
        return OK

    def _fail(self, error: CommandError) -> None:
        log.warning("client.failed", client=self._remote_address, error=error)
        self._transport.write(encode_reply(error.encode()))
        self.close()

    def _start_deadline(self) -> None:
        self._stop_deadline()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._host.limits.handshake_timeout_ms / 1000, self._expire)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        log.warning("client.expired", client=self._remote_address)
        self.abort()


def _format_address(peer: tuple[str, int] | str | None) -> str:
    return str(Address(*peer[:2])) if isinstance(peer, tuple) else str(peer or "")


def _tune(connection: socket.socket | None) -> None:
    if connection is None or connection.family == getattr(socket, "AF_UNIX", None):
        return
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError as error:  # the peer may be gone already, and some systems refuse values that others take
        log.debug("client.untuned", error=error)
