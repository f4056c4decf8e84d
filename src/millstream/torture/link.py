"""A TCP connection of the piece to nsqd, for publishers and consumers: opened, and lost when nsqd is killed.

`millstream.client`'s connection with what the torture needs of it: what was negotiated for all, and an end that is no
error while nsqd is being killed.
"""

from collections.abc import Callable
from typing import Final

from millstream.base.units import Address
from millstream.client.connection import Happening, NsqdConnection
from millstream.client.options import ConnectionOptions
from millstream.protocol.identify import IdentifyRequest

_PATIENT_MS: Final = 60_000
_OUTPUT_BUFFER_MS: Final = 25
_OPTIONS: Final = ConnectionOptions(
    connect_timeout_ms=_PATIENT_MS, handshake_timeout_ms=_PATIENT_MS, write_timeout_ms=_PATIENT_MS
)


async def dial(address: Address, on_event: Callable[[Happening], None], *, has_timeouts: bool) -> NsqdConnection:
    """A connection that is ready for commands. Raises ConnectionFailed.

    With `has_timeouts` messages time out when the daemon says, which may be soon; otherwise after a minute.
    """
    request = IdentifyRequest(
        client_id="torture",
        user_agent="millstream-torture",
        feature_negotiation=True,
        output_buffer_timeout_ms=_OUTPUT_BUFFER_MS,
        msg_timeout_ms=0 if has_timeouts else _PATIENT_MS,
    )
    connection = NsqdConnection(address, _OPTIONS, request, on_event)
    await connection.open()
    return connection
