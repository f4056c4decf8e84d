"""Takes a connection that is in the middle of its conversation to TLS, as the server.

A session hands over its transport, with reading paused, when all that was to be said in plain has been written; it gets
the transport of the secure connection back. Who fails the handshake is told so in plain bytes.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from millstream.base.errors import MillstreamError
from millstream.net.tls import reason_of

# How long a peer that was told goodbye may take to say it too.
_SHUTDOWN_S: Final = 2.0


class HandshakeFailed(MillstreamError):
    """The connection is lost: the peer speaks no TLS, none that suits, not in time, or left."""


async def upgrade_to_tls(
    transport: Any,
    protocol: asyncio.BufferedProtocol,
    context: ssl.SSLContext,
    *,
    timeout_ms: int,
    farewell: Callable[[str], bytes],
) -> Any:
    """Do the handshake, and return the transport that `protocol` is on from now.

    `farewell` makes the last plain bytes for a peer that fails, from what went wrong. Raises HandshakeFailed; the
    protocol then may or may not have been told that the connection is lost.
    """
    loop = asyncio.get_running_loop()
    reason = "the connection was closed"
    spare = -1
    if transport.is_closing():
        raise HandshakeFailed(reason)
    try:
        # asyncio closes its socket when a handshake fails; ours keeps the connection until the farewell has left.
        spare = os.dup(transport.get_extra_info("socket").fileno())
        secure = await loop.start_tls(
            transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=timeout_ms / 1000,
            ssl_shutdown_timeout=_SHUTDOWN_S,
        )
        # A transport that is closed meanwhile ends the handshake without an error.
        if secure is not None and secure.get_extra_info("ssl_object") is not None:
            return secure
    except Exception as error:  # noqa: BLE001 - the loop passes on whatever its TLS stumbled over, mostly OSError
        transport.abort()
        reason = "handshake timed out" if _is_timeout(error) else reason_of(error)
        if spare >= 0:
            with suppress(OSError):
                os.write(spare, farewell(reason))
    finally:
        if spare >= 0:
            os.close(spare)
    raise HandshakeFailed(reason)


def _is_timeout(error: Exception) -> bool:
    """Both loops end a handshake that takes too long with this error; it has no number."""
    return isinstance(error, ConnectionAbortedError) and error.errno is None
