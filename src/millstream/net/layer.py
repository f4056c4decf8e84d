"""Sits between a transport and the protocol above it: takes compression away in one direction, adds it in the other.

`Layer` is the transport's protocol and `CodecTransport` the protocol's transport. Until the layer is opened it holds
what comes, so that no byte is read by the wrong rules while an upgrade is under way. A small read may stand for very
much text: what is more than one turn of the loop should work on waits, unread, for the next ones.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from millstream.net.upgrade import Codec, CorruptStream

# 16 KiB of a bomb are 16 MiB of text. NSQ reads as much at once.
READ_BYTES: Final = 16 << 10
# As much as a read on a plain connection may bring.
TURN_BYTES: Final = 256 << 10
HELD_BYTES_MAX: Final = 64 << 10


class Above(Protocol):
    """The protocol that sees plain bytes; asyncio's buffered protocol without its beginning."""

    def get_buffer(self, size_hint: int, /) -> memoryview:
        """Where plain bytes go."""
        ...

    def buffer_updated(self, count: int, /) -> None:
        """So many came."""
        ...

    def eof_received(self) -> bool:
        """The peer sends no more."""
        ...

    def pause_writing(self) -> None:
        """Bytes are left unsent."""
        ...

    def resume_writing(self) -> None:
        """Everything was sent."""
        ...

    def connection_lost(self, error: Exception | None, /) -> None:
        """The connection is gone."""
        ...


class Layer(asyncio.BufferedProtocol):
    """One connection's layer. `on_fault` is told why it cannot go on; it has to end the connection.

    Reads go through `scratch`, which many layers may share: nothing stays in it.
    """

    def __init__(self, above: Above, scratch: memoryview, on_fault: Callable[[str], None]) -> None:
        self._above = above
        self._on_fault = on_fault
        self._transport: Any = None
        self._codec: Codec | None = None
        self._held: bytearray | None = bytearray()
        self._scratch = scratch[:READ_BYTES]
        # Reads that are to be decoded, and what is left of the one that is being.
        self._reads: deque[bytes] = deque()
        self._pieces: Iterator[bytes] | None = None
        self._is_scheduled = False
        self._is_paused_above = False
        self._is_paused = False
        self._has_ended = False
        self._is_lost = False
        self._can_be_half_open = False

    def open(self, transport: Any, codec: Codec | None, *, can_be_half_open: bool) -> None:
        """Pass on from now what comes from the transport, first what was held. TLS cannot be half open.

        Reading goes on, if it was paused for the upgrade.
        """
        self._transport = transport
        self._codec = codec
        self._can_be_half_open = can_be_half_open
        held, self._held = self._held, None
        if self._is_lost:
            return
        self._is_paused = True
        if held and codec is not None:
            self._decode(codec, bytes(held))
        elif held:
            self._copy(bytes(held))
        if not self._is_behind and not self._is_paused_above:
            self._resume()

    def get_buffer(self, size_hint: int) -> memoryview:
        """Where the next read goes: straight above when nothing has to be done with it."""
        if self._codec is None and self._held is None:
            return self._above.get_buffer(size_hint)
        return self._scratch

    def buffer_updated(self, count: int) -> None:
        """Bytes came."""
        if self._held is not None:
            self._held += self._scratch[:count]
            if len(self._held) > HELD_BYTES_MAX:
                self._held.clear()
                self._on_fault("too much was sent before the upgrade")
        elif self._codec is None:
            self._above.buffer_updated(count)
        else:
            self._decode(self._codec, bytes(self._scratch[:count]))

    def pause_reading(self) -> None:
        """The protocol above wants nothing more for now."""
        self._is_paused_above = True
        self._pause()

    def resume_reading(self) -> None:
        """The protocol above goes on; what waits here comes first."""
        self._is_paused_above = False
        if self._is_behind:
            self._schedule()
        else:
            self._resume()

    @property
    def _is_behind(self) -> bool:
        return self._pieces is not None or bool(self._reads)

    def _decode(self, codec: Codec, data: bytes) -> None:
        is_behind = self._is_behind
        # A TLS transport may have something left to give after it was told to pause.
        self._reads.append(data)
        if not is_behind and not self._is_paused_above:
            self._go_on(codec)

    def _go_on(self, codec: Codec) -> None:
        """Pass on what one turn should work on, and leave the rest to the next ones."""
        self._is_scheduled = False
        passed_bytes = 0
        try:
            while not self._is_lost and not self._is_paused_above and passed_bytes < TURN_BYTES:
                piece = self._next_piece(codec)
                if piece is None:
                    self._catch_up()
                    return
                self._copy(piece)
                passed_bytes += len(piece)
        except CorruptStream as error:
            self._forget()
            self._on_fault(str(error))
            return
        if self._is_lost or self._transport.is_closing():
            self._forget()
            return
        self._pause()
        if not self._is_paused_above:
            self._schedule()

    def _next_piece(self, codec: Codec) -> bytes | None:
        while self._is_behind:
            if self._pieces is None:
                self._pieces = codec.decode(self._reads.popleft())
            piece = next(self._pieces, None)
            if piece is not None:
                return piece
            self._pieces = None
        return None

    def _schedule(self) -> None:
        if not self._is_scheduled and self._codec is not None:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._go_on, self._codec)

    def _catch_up(self) -> None:
        if self._has_ended:
            self._above.eof_received()
        else:
            self._resume()

    def _forget(self) -> None:
        self._reads.clear()
        self._pieces = None

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def _copy(self, piece: bytes) -> None:
        """Put plain bytes where what is above wants them: behind the beginning of a command, or in a shared buffer."""
        above = self._above
        at = 0
        while at < len(piece):
            room = above.get_buffer(-1)
            count = min(len(room), len(piece) - at)
            room[:count] = piece[at : at + count]
            at += count
            above.buffer_updated(count)

    def eof_received(self) -> bool:
        """The peer sends no more."""
        if self._is_behind and not self._is_lost:
            self._has_ended = True
            return self._can_be_half_open
        return self._above.eof_received() and self._can_be_half_open

    def pause_writing(self) -> None:
        """Bytes are left unsent."""
        self._above.pause_writing()

    def resume_writing(self) -> None:
        """Everything was sent."""
        self._above.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; only the first time counts."""
        if not self._is_lost:
            self._is_lost = True
            self._forget()
            self._above.connection_lost(error)


class CodecTransport:
    """A transport on which everything written is encoded; reading is the layer's business."""

    __slots__ = ("_codec", "_layer", "_transport")

    def __init__(self, transport: Any, codec: Codec, layer: Layer) -> None:
        self._transport = transport
        self._codec = codec
        self._layer = layer

    def write(self, data: bytes) -> None:
        """Encode and write, as something that the peer can read at once."""
        self._transport.write(self._codec.encode(data))

    def get_write_buffer_size(self) -> int:
        """Encoded bytes that are unsent."""
        size: int = self._transport.get_write_buffer_size()
        return size

    def pause_reading(self) -> None:
        """Let nothing more come."""
        self._layer.pause_reading()

    def resume_reading(self) -> None:
        """Let more come."""
        self._layer.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection below knows of itself."""
        return self._transport.get_extra_info(name, default)

    def close(self) -> None:
        """End the connection when everything is sent."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()
