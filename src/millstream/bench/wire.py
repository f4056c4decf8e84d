"""The few parts of NSQ's wire that a load needs beside its hot loop: a connection that has said hello, and frames.

Commands are built by `millstream.protocol.commands`; what comes back is read here apart from Millstream's own decoder,
so that a mistake in that one cannot hide a mistake of the broker. `bench.line` speaks through TLS and compression.
"""

import json
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from millstream.base.errors import MillstreamError
from millstream.base.units import Address
from millstream.protocol.commands import MAGIC_V2, Identify

RESPONSE: Final = 0
ERROR: Final = 1
MESSAGE: Final = 2

OK: Final = b"OK"
HEARTBEAT: Final = b"_heartbeat_"
CLOSE_WAIT: Final = b"CLOSE_WAIT"

FRAME_BYTES_MAX: Final = 1 << 20
CONNECT_TIMEOUT_S: Final = 5.0

_HEAD: Final = struct.Struct(">Ii")
_SIZE_BYTES: Final = 4


class LoadFailed(MillstreamError):
    """A load could not do its work, or the broker answered something else than it must."""


def dial(address: Address) -> socket.socket:
    """A blocking connection that has said nothing yet."""
    connection = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def connect(
    address: Address, name: str, *, negotiates: bool = False, wishes: Mapping[str, Any] | None = None
) -> socket.socket:
    """A blocking connection after magic and IDENTIFY, with every option but `wishes` left at the broker's default.

    With `negotiates` it asks what the broker can do, as most clients of NSQ do.
    """
    connection = dial(address)
    hello = {"client_id": name, "hostname": name, "user_agent": "millstream-bench", "feature_negotiation": negotiates}
    hello |= wishes or {}
    request(connection, MAGIC_V2 + Identify(json.dumps(hello).encode()).encode(), None if negotiates else OK)
    return connection


def request(connection: socket.socket, command: bytes, expected: bytes | None) -> None:
    """Send one command on a blocking connection and insist on its answer; None: on any. Raises LoadFailed."""
    connection.sendall(command)
    answer = HEARTBEAT
    while answer == HEARTBEAT:
        size, kind = _HEAD.unpack(_read_exactly(connection, _HEAD.size))
        if not _SIZE_BYTES <= size <= FRAME_BYTES_MAX:
            raise LoadFailed(f"the broker sent a frame of {size} bytes")
        answer = _read_exactly(connection, size - _SIZE_BYTES)
        if kind == ERROR:
            raise LoadFailed(f"the broker answered {readable(answer)}")
    if expected is not None and answer != expected:
        raise LoadFailed(f"the broker answered {readable(answer)} instead of {readable(expected)}")


def frames(data: bytearray, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Kind, start and end of the payload of each whole frame in `data[at:end]`. Raises LoadFailed."""
    while end - at >= _HEAD.size:
        size, kind = _HEAD.unpack_from(data, at)
        if not _SIZE_BYTES <= size <= FRAME_BYTES_MAX:
            raise LoadFailed(f"the broker sent a frame of {size} bytes")
        if end - at < _SIZE_BYTES + size:
            return
        yield kind, at + _HEAD.size, at + _SIZE_BYTES + size
        at += _SIZE_BYTES + size


def frame_head(kind: int, payload_bytes: int) -> bytes:
    """The eight bytes before a payload of that length."""
    return _HEAD.pack(payload_bytes + _SIZE_BYTES, kind)


def response(payload: bytes) -> bytes:
    """A whole frame as the broker answers a command."""
    return frame_head(RESPONSE, len(payload)) + payload


def readable(data: bytes | bytearray) -> str:
    """Bytes of the broker as a short text for an error message."""
    return repr(bytes(data[:200]))


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise LoadFailed("the broker closed the connection")
        data += more
    return data
