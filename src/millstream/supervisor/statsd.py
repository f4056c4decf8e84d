"""The UDP end of statsd: datagrams from the system's processes go to `supervisor.metrics`."""

import asyncio
import socket
from typing import Final

from millstream.supervisor.errors import PortTaken
from millstream.supervisor.metrics import Metrics

# Room for a burst while the supervisor is busy: what does not fit into it, the kernel drops unseen.
RECEIVE_BUFFER_BYTES: Final = 8 * 1024 * 1024


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        self._metrics.feed(data)


class StatsdListener:
    """Listens on the loopback address from `open` to `close`."""

    __slots__ = ("_transport", "metrics", "port")

    def __init__(self, transport: asyncio.DatagramTransport, metrics: Metrics, port: int) -> None:
        """Use `open`."""
        self._transport = transport
        self.metrics = metrics
        self.port = port

    @classmethod
    async def open(cls, port: int) -> "StatsdListener":
        """Listens on `port` (0: any). Raises PortTaken."""
        endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            endpoint.bind(("127.0.0.1", port))
        except OSError as error:
            endpoint.close()
            raise PortTaken(f"cannot listen on UDP port {port} of statsd - {error}") from error
        endpoint.setblocking(False)
        metrics = Metrics()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Receiver(metrics), sock=endpoint
        )
        return cls(transport, metrics, endpoint.getsockname()[1])

    def close(self) -> None:
        """Stops listening; the sums stay readable."""
        self._transport.close()
