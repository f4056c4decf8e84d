"""Opens the sockets that daemons listen on.

An address comes from an option: `host:port` or, when it cannot be read as one, the path of a unix socket. Accepted
connections go to the protocol factory that the caller hands in; nothing here looks at their bytes.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from millstream.base.errors import MillstreamError

BACKLOG: Final = 1024
# How long a TLS peer that was told goodbye may take to say it too.
_SHUTDOWN_S: Final = 2.0


class ListenFailed(MillstreamError):
    """The address cannot be listened on: it is taken, not ours, not allowed, or not an address."""

    def __init__(self, address: str, reason: object) -> None:
        super().__init__(f"listen ({address}) failed - {reason}")
        self.address = address


class Listener:
    """An open listening socket. Connections that it has accepted outlive it."""

    __slots__ = ("_server", "address", "host", "path", "port")

    def __init__(self, server: asyncio.AbstractServer, *, host: str, port: int, path: str = "") -> None:
        self._server = server
        self.host = host
        self.port = port
        self.path = path
        self.address = path or join_host_port(host, port)

    def close(self) -> None:
        """Stop accepting; a unix socket's file is removed. May be called twice."""
        self._server.close()
        if self.path:
            with contextlib.suppress(OSError):
                Path(self.path).unlink()

    async def wait_closed(self) -> None:
        """Return when the socket is closed, which says nothing about accepted connections."""
        # asyncio.Server.wait_closed() waits for connections as well, from Python 3.12 on: their owners do that here.
        await asyncio.sleep(0)


async def listen(
    address: str,
    factory: Callable[[], asyncio.BaseProtocol],
    *,
    tls: ssl.SSLContext | None = None,
    tls_handshake_timeout_ms: int = 5_000,
) -> Listener:
    """Listen on `address` and make a protocol for each connection. Port 0 lets the system choose.

    An empty host means every interface, on IPv4 and IPv6. Raises ListenFailed, and then nothing is left open.
    """
    parts = split_host_port(address)
    try:
        sock = await _open_tcp(*parts) if parts else _open_unix(address)
    except (OSError, UnicodeError, OverflowError, ValueError) as error:
        raise ListenFailed(address, _reason(error)) from error
    loop = asyncio.get_running_loop()
    # Without TLS both loops refuse a time for it.
    handshake_s, shutdown_s = (tls_handshake_timeout_ms / 1000, _SHUTDOWN_S) if tls else (None, None)
    try:
        if parts is None:
            server = await loop.create_unix_server(
                factory,
                sock=sock,
                ssl=tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=handshake_s,
                ssl_shutdown_timeout=shutdown_s,
            )
            return Listener(server, host=address, port=-1, path=address)
        host, port = sock.getsockname()[:2]
        opened = await loop.create_server(
            factory,
            sock=sock,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=handshake_s,
            ssl_shutdown_timeout=shutdown_s,
        )
        return Listener(opened, host=str(host), port=int(port))
    except OSError as error:
        sock.close()
        raise ListenFailed(address, _reason(error)) from error


def split_host_port(address: str) -> tuple[str, str] | None:
    """Host and port of `host:port` or `[host]:port`; None when the text has not that form."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return None
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return None if any(mark in host for mark in ":[]/") else (host, port)


def join_host_port(host: str, port: int) -> str:
    """`host:port`, the host in brackets when it holds colons."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _open_tcp(host: str, port_text: str) -> socket.socket:
    if not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65535:
        raise ValueError(f"invalid port {port_text!r}")
    port = int(port_text)
    if not host:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return _without_delay(socket.create_server(("", port), family=family, backlog=BACKLOG, dualstack_ipv6=dual))
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # One socket, so that port 0 is one port; IPv4 first, as NSQ's daemons do with a name that has both.
    family, _, _, _, target = min(found, key=lambda info: info[0] != socket.AF_INET)
    return _without_delay(socket.create_server(target, family=family, backlog=BACKLOG))


def _without_delay(sock: socket.socket) -> socket.socket:
    """Accepted sockets inherit the option; asyncio's own would set it only on sockets made with IPPROTO_TCP."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _open_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_abandoned(path):
                raise
            Path(path).unlink()
            sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_abandoned(path: str) -> bool:
    """Whether `path` is a socket that nobody listens on: what a killed daemon leaves behind."""
    if not stat.S_ISSOCK(Path(path).stat().st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _reason(error: Exception) -> str:
    # Not strerror: Python puts the address into it, and our text has that already.
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)
