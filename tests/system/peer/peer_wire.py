"""A TCP connection to a daemon: frames out of bytes, through TLS and compression where the scenario asked for them.

It knows the layers by itself, byte by byte, so that a mistake in `millstream.net` cannot hide itself. What came before
a reset is not lost, and neither is what a daemon says in plain behind a handshake that failed.
"""

import asyncio
import re
import ssl
import struct
import zlib
from contextlib import suppress
from typing import Any, Final, Protocol

import cramjam
import peer_mask
from system_codecs import Deflate, Snappy

CHUNK_BYTES: Final = 1 << 16
# The error frame in plain that ends what was said on a connection whose handshake failed; an alert may be before it.
REFUSAL: Final = re.compile(rb"\x00\x00\x00\x01(E_IDENTIFY_FAILED IDENTIFY failed )[^\x00]*\Z")


class Layer(Protocol):
    """Something between frames and the socket, in both directions."""

    def encode(self, data: bytes) -> bytes:
        """Bytes on their way out."""
        ...

    def decode(self, data: bytes) -> bytes:
        """Bytes that came in, as far as they are complete."""
        ...


class Tls:
    """The client's side of TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.has_ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        """One step of the handshake: whether it is complete, and what to send."""
        self._incoming.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()
        return True, self._outgoing.read()

    def __str__(self) -> str:
        return self._object.version() or "no version"

    def encode(self, data: bytes) -> bytes:
        with suppress(ssl.SSLError):  # the daemon has closed, which the next frame tells
            self._object.write(data)
        return self._outgoing.read()

    def decode(self, data: bytes) -> bytes:
        self._incoming.write(data)
        plain = b""
        try:
            while chunk := self._object.read(CHUNK_BYTES):
                plain += chunk
            self.has_ended = True
        except ssl.SSLZeroReturnError:
            self.has_ended = True
        except ssl.SSLWantReadError:
            pass
        return plain


CODECS: Final = {"snappy": Snappy, "deflate": Deflate}


class Wire(asyncio.Protocol):
    """The socket: what came and was not read, and whether more can come."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._data = bytearray()
        self._has_ended = False
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._news.set()

    def eof_received(self) -> bool:
        self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._end()

    def _end(self) -> None:
        self._has_ended = True
        self._news.set()

    async def more(self) -> bytes:
        """What has come, or comes next; nothing at the end, which a reset is as well."""
        while not self._data and not self._has_ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._data)
        self._data.clear()
        return data


class Connection:
    """Splits what comes into frames. After a handshake that failed it has one more, which says so."""

    def __init__(self, wire: Wire, *, has_kind: bool) -> None:
        self.is_closed = False
        self._wire = wire
        self._has_kind = has_kind
        self._layers: list[Layer] = []
        self._buffer = b""
        self._raw = b""
        self._tls: Tls | None = None
        self._is_secure = False
        self._is_refused = False
        self._has_ended = False

    @classmethod
    async def open(cls, port: int, first: bytes, *, has_kind: bool) -> "Connection":
        """Connect and send the first bytes."""
        _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
        wire.transport.write(first)
        return cls(wire, has_kind=has_kind)

    @property
    def port(self) -> int:
        """The port on this side."""
        return int(self._wire.transport.get_extra_info("sockname")[1])

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame, or None at the end; a connection that is reset has ended as well."""
        try:
            while not self._is_refused and (len(self._buffer) < 4 or len(self._buffer) < self._frame_bytes):
                if not await self._read():
                    return self._ended()
        except ssl.SSLError:
            await self._refuse()
        except (zlib.error, cramjam.DecompressionError):
            self._has_ended, self._buffer = True, b""
            return peer_mask.ERROR, b"what comes is not compressed as was agreed on"
        if self._is_refused:
            self._is_refused, self._has_ended, self._buffer = False, True, b""
            return peer_mask.ERROR, self._refusal()
        end = self._frame_bytes
        data, self._buffer = self._buffer[4:end], self._buffer[end:]
        return (int.from_bytes(data[:4], "big"), data[4:]) if self._has_kind else (peer_mask.RESPONSE, data)

    @property
    def _frame_bytes(self) -> int:
        (size,) = struct.unpack_from(">i", self._buffer)
        return 4 + int(size)

    def _ended(self) -> tuple[int, bytes] | None:
        if self._buffer:
            half, self._buffer = self._buffer, b""
            return peer_mask.ERROR, b"half a frame: " + half
        self.is_closed = True
        return None

    async def _read(self) -> bool:
        """Read once; False at the end."""
        if self._has_ended:
            return False
        data = await self._wire.more()
        self._has_ended = not data
        if self._is_secure:
            self._raw += data
        for layer in self._layers:
            data = layer.decode(data)
        self._buffer += data
        if self._tls is not None and self._tls.has_ended:
            self._has_ended = True
        return True

    def _refusal(self) -> bytes:
        """What the daemon said in plain; the rest of it is the text of a library."""
        found = REFUSAL.search(self._raw)
        return found[1] + b"..." if found else b"TLS is refused without a word"

    async def _refuse(self) -> None:
        self._is_refused = True
        while data := await self._wire.more():
            self._raw += data

    async def rest(self) -> bytes:
        """Everything to the end, which a reset or a refusal of TLS is as well."""
        with suppress(ssl.SSLError):
            while await self._read():
                pass
        return self._buffer

    async def secure(self, context: ssl.SSLContext) -> str:
        """Shake hands: the version, or that it failed. The next frame tells more then."""
        tls = Tls(context)
        self._is_secure = True
        data = b""
        try:
            while True:
                is_done, answer = tls.shake(data)
                self._wire.transport.write(answer)
                if is_done:
                    break
                data = await self._wire.more()
                self._raw += data
                if not data:
                    self._is_refused = True
                    return "no TLS"
            # The first frame may have come with the end of the handshake.
            self._buffer = tls.decode(b"")
        except ssl.SSLError:
            await self._refuse()
            return "no TLS"
        self._tls = tls
        self._layers.insert(0, tls)
        return str(tls)

    def compress(self, codec: str) -> None:
        """What comes and goes from now on is compressed; the beginning may have come with the frame before."""
        layer: Layer = CODECS[codec]()
        self._layers.append(layer)
        self._buffer = layer.decode(self._buffer)

    async def send(self, data: bytes, *, in_pieces: bool = False) -> None:
        """Send, byte by byte where the daemon is to see it so."""
        for piece in [data[at : at + 1] for at in range(len(data))] if in_pieces else [data]:
            if self._wire.transport.is_closing():
                return
            for layer in reversed(self._layers):
                piece = layer.encode(piece)  # noqa: PLW2901
            self._wire.transport.write(piece)
            if in_pieces:
                await asyncio.sleep(0.001)

    async def end(self) -> None:
        """Say that nothing more will come; in TLS, of which no direction can be closed alone, with what ends it."""
        if self._is_secure:
            await self.send(b"END\n")
        else:
            with suppress(OSError):
                self._wire.transport.write_eof()

    def close(self) -> None:
        """Close at once."""
        self._wire.transport.close()
