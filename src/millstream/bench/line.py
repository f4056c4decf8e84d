"""A load's connection as its hot loop sees it: plain, through TLS, or compressed; non-blocking once it is made.

`open_line` connects, negotiates and upgrades. What is sent may be encoded once and sent many times: compression here
keeps nothing from one piece to the next (snappy's chunks never do, and a full flush makes deflate forget).
"""

import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import cramjam

from millstream.base.units import Address
from millstream.bench import wire
from millstream.bench.wire import LoadFailed
from millstream.net.upgrade import Deflate, Snappy

PLAIN: Final = ""
TLS: Final = "tls"
SNAPPY: Final = "snappy"
DEFLATE: Final = "deflate"

READ_BYTES: Final = 128 << 10
DEFLATE_LEVEL: Final = 6

_WISHES: Final[Mapping[str, Mapping[str, Any]]] = {
    PLAIN: {},
    TLS: {"tls_v1": True},
    SNAPPY: {"snappy": True},
    DEFLATE: {"deflate": True, "deflate_level": DEFLATE_LEVEL},
}


class Line:
    """A connection; `is_pending` says that more can be received though the socket may have nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.is_pending = False

    def encode(self, data: bytes) -> bytes:
        """What to send for these bytes."""
        return data

    def send(self, encoded: memoryview | bytes | bytearray) -> int:
        """Send what the socket takes of something encoded: how many bytes, 0 when it is full."""
        try:
            return self.socket.send(encoded)
        except BlockingIOError:
            return 0

    def receive_into(self, view: memoryview) -> int:
        """Decoded bytes, -1 when there are none yet. Raises LoadFailed at the end of the stream."""
        try:
            count = self.socket.recv_into(view)
        except BlockingIOError:
            return -1
        if not count:
            raise LoadFailed("the broker closed the connection")
        return count

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self.socket.fileno()

    def close(self) -> None:
        """End the connection."""
        self.socket.close()


class TlsLine(Line):
    """TLS without a check of the certificate: the broker is on this machine and made its own."""

    socket: ssl.SSLSocket

    def send(self, encoded: memoryview | bytes | bytearray) -> int:
        """As `Line.send`."""
        try:
            return self.socket.send(encoded)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def receive_into(self, view: memoryview) -> int:
        """As `Line.receive_into`: one record at a time."""
        try:
            count = self.socket.recv_into(view)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.is_pending = False
            return -1
        if not count:
            raise LoadFailed("the broker closed the connection")
        self.is_pending = True
        return count


class CompressedLine(Line):
    """One of NSQ's compressions; what was decoded and did not fit waits for the next call."""

    def __init__(self, connection: socket.socket, encode: Callable[[bytes], bytes], codec: Deflate | Snappy) -> None:
        super().__init__(connection)
        self._encode = encode
        self._codec = codec
        self._read = memoryview(bytearray(READ_BYTES))
        self._decoded = b""

    def encode(self, data: bytes) -> bytes:
        """As `Line.encode`."""
        return self._encode(data)

    def receive_into(self, view: memoryview) -> int:
        """As `Line.receive_into`."""
        while not self._decoded:
            self.is_pending = False
            count = super().receive_into(self._read)
            if count < 0:
                return count
            self._decoded = b"".join(self._codec.decode(bytes(self._read[:count])))
        count = min(len(view), len(self._decoded))
        view[:count] = self._decoded[:count]
        self._decoded = self._decoded[count:]
        self.is_pending = bool(self._decoded)
        return count


def open_line(address: Address, name: str, kind: str = PLAIN, wishes: Mapping[str, Any] | None = None) -> Line:
    """Connect, say hello, and switch to that kind of line. Blocking; raises LoadFailed and OSError."""
    asked = {**_WISHES[kind], **(wishes or {})}
    connection = wire.connect(address, name, negotiates=bool(asked), wishes=asked)
    line = Line(connection)
    if kind == TLS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        line = TlsLine(context.wrap_socket(connection))
    elif kind == SNAPPY:
        line = CompressedLine(connection, encode_snappy, Snappy())
    elif kind == DEFLATE:
        line = CompressedLine(connection, encode_deflate, Deflate(DEFLATE_LEVEL))
    if kind != PLAIN:
        await_frame(line, wire.OK)
    return line


def ask(line: Line, command: bytes, expected: bytes) -> None:
    """Send one command and insist on its answer; the line is still blocking. Raises LoadFailed."""
    line.socket.sendall(line.encode(command))
    await_frame(line, expected)


def await_frame(line: Line, expected: bytes) -> None:
    """Read exactly one response. Raises LoadFailed for another one."""
    whole = wire.response(expected)
    received = b""
    view = memoryview(bytearray(len(whole)))
    while len(received) < len(whole):
        received += view[: line.receive_into(view[: len(whole) - len(received)])]
    if received != whole:
        raise LoadFailed(f"the broker answered {wire.readable(received)} instead of {wire.readable(expected)}")


def encode_snappy(data: bytes) -> bytes:
    """Snappy's framing format, with the stream identifier again: the format allows that."""
    return bytes(cramjam.snappy.compress(data))


def encode_deflate(data: bytes) -> bytes:
    """Raw deflate that refers to nothing before it, and that nothing behind it refers to."""
    compressor = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)
