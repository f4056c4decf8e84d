"""How much of everything the HTTP server takes from one client, and how long it waits for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds of one server. What lies beyond them is refused or closed, never stored.

    `header_bytes_max` holds for the request line and the headers together, give or take what one read of the socket
    brings; `pipelined_max` for requests of one connection being worked on at the same time.
    """

    connections_max: int = 10_000
    header_bytes_max: int = 65_536
    header_count_max: int = 100
    pipelined_max: int = 32
    # A body that nobody wants is read and dropped up to here, so that the connection can go on.
    discard_bytes_max: int = 262_144
    header_timeout_ms: int = 10_000
    body_timeout_ms: int = 60_000
    idle_timeout_ms: int = 120_000
    # How long a client may leave answers unread once the socket's buffers are full.
    write_timeout_ms: int = 60_000
    # After a refusal in the middle of a request: time to read the answer before the connection is reset.
    linger_ms: int = 500

    def shortest_ms(self) -> int:
        """The shortest of the timeouts, by which the watch over connections is paced."""
        return min(
            self.header_timeout_ms, self.body_timeout_ms, self.idle_timeout_ms, self.write_timeout_ms, self.linger_ms
        )
