"""Splits what an nsqd sends into frames, and message frames into messages.

Chunks come from the socket in any size; whole frames, or ready `Message` objects of a class of the caller's, go to the
client.  Layout: int32 size (of all that follows), int32 kind, payload; integers big-endian.  Compiled with frames.pxd.
"""

import struct
from typing import Final, TypeVar

from millstream.base.errors import MillstreamError
from millstream.protocol.message import BadFrame, Message

__all__ = [
    "ERROR",
    "FRAME_HEADER_BYTES",
    "FRAME_SIZE_BYTES_MAX",
    "MESSAGE",
    "RESPONSE",
    "BadFrame",
    "Frame",
    "FrameDecoder",
    "FrameTooLarge",
    "encode_frame",
]

RESPONSE: Final = 0
ERROR: Final = 1
MESSAGE: Final = 2

FRAME_HEADER_BYTES: Final = 8
# Far above nsqd's default of 1 MiB per message, since --max-msg-size is the operator's choice, and far below what the
# letters "HTTP" read as: whoever connects to the wrong port is told at once.
FRAME_SIZE_BYTES_MAX: Final = 64 * 1024 * 1024

Frame = tuple[int, bytes]
MessageT = TypeVar("MessageT", bound=Message)

# Private copies, because frames.pxd makes C constants of them and those are not visible from Python.
_MESSAGE = 2
_KIND_MAX = 2
_HEAD_BYTES = 8
_SIZE_MIN = 4
_MESSAGE_SIZE_MIN = 30
_BODY_AT = 34

_HEAD: Final = struct.Struct(">ii")
_unpack_head = struct.Struct(">ii").unpack_from
_unpack_message = struct.Struct(">qH16s").unpack_from


class FrameTooLarge(MillstreamError):
    """The peer announced a frame above the limit. Nothing after it can be read: close the connection."""


def encode_frame(kind: int, data: bytes) -> bytes:
    """One frame with `data` as its payload."""
    return _HEAD.pack(len(data) + 4, kind) + data


class FrameDecoder:
    """Cuts a stream into frames, whatever pieces it comes in, and keeps the unfinished rest.

    The two batch methods and `feed_one` may be mixed. They raise BadFrame or FrameTooLarge (`size_bytes_max` bounds the
    size field); frames that came before it in the same piece are dropped, and every later call raises the same again.
    """

    __slots__ = ("_error", "_needed", "_pending", "size_bytes_max")

    def __init__(self, size_bytes_max: int = FRAME_SIZE_BYTES_MAX) -> None:
        self.size_bytes_max = size_bytes_max
        self._pending = bytearray()
        self._needed = 0
        self._error: MillstreamError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Every frame that `data` completes."""
        frames: list[Frame] = []
        chunk = self._join(data)
        length = len(chunk)
        at = 0
        while length - at >= _HEAD_BYTES:
            size, kind = _unpack_head(chunk, at)
            if size < _SIZE_MIN or size > self.size_bytes_max or kind < 0 or kind > _KIND_MAX:
                raise self._refuse(size, kind)
            end = at + _SIZE_MIN + size
            if end > length:
                break
            frames.append((kind, chunk[at + _HEAD_BYTES : end]))
            at = end
        self._keep(chunk, at)
        return frames

    def feed_messages(
        self, data: bytes | bytearray | memoryview, message_type: type[MessageT], source: object = None
    ) -> tuple[list[MessageT], list[Frame]]:
        """Every message that `data` completes, and apart from them every other frame, each in the order they came in.

        Messages are instances of `message_type`, made without calling its `__init__`, with `source` set as given.
        """
        messages: list[MessageT] = []
        frames: list[Frame] = []
        chunk = self._join(data)
        length = len(chunk)
        at = 0
        while length - at >= _HEAD_BYTES:
            size, kind = _unpack_head(chunk, at)
            if size < _SIZE_MIN or size > self.size_bytes_max or kind < 0 or kind > _KIND_MAX:
                raise self._refuse(size, kind)
            end = at + _SIZE_MIN + size
            if end > length:
                break
            if kind != _MESSAGE:
                frames.append((kind, chunk[at + _HEAD_BYTES : end]))
            elif size < _MESSAGE_SIZE_MIN:
                raise self._refuse(size, kind)
            else:
                message = message_type.__new__(message_type)
                message.timestamp_ns, message.attempts, message.id = _unpack_message(chunk, at + _HEAD_BYTES)
                message.body = chunk[at + _BODY_AT : end]
                message.source = source
                message.responded = False
                messages.append(message)
            at = end
        self._keep(chunk, at)
        return messages, frames

    def feed_one(self, data: bytes | bytearray | memoryview = b"") -> Frame | None:
        """The first frame only, or None while it is not whole; call again for the next.

        For the replies to IDENTIFY: what follows in the same read may be compressed already (see `take_pending`).
        """
        chunk = self._join(data)
        if len(chunk) >= _HEAD_BYTES:
            size, kind = _unpack_head(chunk, 0)
            if size < _SIZE_MIN or size > self.size_bytes_max or kind < 0 or kind > _KIND_MAX:
                raise self._refuse(size, kind)
            end = _SIZE_MIN + size
            if end <= len(chunk):
                self._keep(chunk, end)
                return kind, chunk[_HEAD_BYTES:end]
        self._keep(chunk, 0)
        return None

    def take_pending(self) -> bytes:
        """Hand over the bytes that are no whole frame yet and forget them: they belong to the next layer."""
        pending = bytes(self._pending)
        self._pending.clear()
        self._needed = 0
        return pending

    def _join(self, data: bytes | bytearray | memoryview) -> bytes:
        """What is to be looked at now: nothing while the frame at hand is unfinished.

        A large frame is collected in place and copied once when it is whole; joining rest and read each time would cost
        the square of its length.
        """
        if self._error is not None:
            raise self._error
        if not self._pending:
            return bytes(data)
        self._pending += data
        if len(self._pending) < self._needed:
            return b""
        chunk = bytes(self._pending)
        self._pending.clear()
        return chunk

    def _keep(self, chunk: bytes, at: int) -> None:
        """Store what is left of `chunk` from `at`, and how many bytes it takes to go on."""
        rest = len(chunk) - at
        if rest == 0:
            return
        self._pending += chunk[at:]
        self._needed = _HEAD_BYTES if rest < _HEAD_BYTES else _SIZE_MIN + _unpack_head(chunk, at)[0]

    def _refuse(self, size: int, kind: int) -> MillstreamError:
        """The error for a head that cannot be accepted; the decoder raises it from now on."""
        if size > self.size_bytes_max:
            self._error = FrameTooLarge(f"frame of {size} bytes is above the limit of {self.size_bytes_max}")
        else:
            self._error = BadFrame(f"no frame has size {size} and kind {kind}")
        return self._error
