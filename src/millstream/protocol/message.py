"""One delivery of a message, and the bytes that it is on the wire.

The payload of a message frame comes from `protocol.frames`; the client hands the `Message` to whoever reads the
channel.  Layout: int64 timestamp, uint16 attempts, 16 bytes of id, body to the end; integers big-endian.  Compiled with
message.pxd.
"""

import struct
from typing import Final

from millstream.base.errors import MillstreamError, UsageError

MESSAGE_ID_BYTES: Final = 16
MESSAGE_HEADER_BYTES: Final = 26

_HEADER: Final = struct.Struct(">qH16s")


class BadFrame(MillstreamError):
    """The bytes of the peer are no frame, or no message. Nothing after them can be read: close the connection."""


class Message:
    """One delivery. Two deliveries of the same message are two objects, and are not equal.

    `id` is the 16 bytes that FIN, REQ and TOUCH name, `timestamp_ns` the wall clock of the nsqd that took the message
    in, `attempts` counts deliveries, this one included. `source` is whatever the decoder was told to put there: the
    connection that answers go to. `responded` is the reader's own note that the answer is given.
    """

    __slots__ = ("attempts", "body", "id", "responded", "source", "timestamp_ns")

    id: bytes
    body: bytes
    timestamp_ns: int
    attempts: int
    source: object
    responded: bool

    def __init__(self, id: bytes, body: bytes, timestamp_ns: int, attempts: int, source: object = None) -> None:
        self.id = id
        self.body = body
        self.timestamp_ns = timestamp_ns
        self.attempts = attempts
        self.source = source
        self.responded = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} id={self.id!r} attempts={self.attempts} body={len(self.body)} bytes>"


def decode_message(payload: bytes) -> Message:
    """Read the payload of a message frame; BadFrame when it is shorter than the header."""
    if len(payload) < MESSAGE_HEADER_BYTES:
        raise BadFrame(f"a message of {len(payload)} bytes is shorter than its header of {MESSAGE_HEADER_BYTES}")
    timestamp_ns, attempts, message_id = _HEADER.unpack_from(payload)
    return Message(message_id, payload[MESSAGE_HEADER_BYTES:], timestamp_ns, attempts)


def encode_message(message: Message) -> bytes:
    """Write the payload of a message frame; UsageError when a value does not fit its field."""
    if len(message.id) != MESSAGE_ID_BYTES:
        raise UsageError(f"a message id has {MESSAGE_ID_BYTES} bytes, this one has {len(message.id)}")
    try:
        header = _HEADER.pack(message.timestamp_ns, message.attempts, message.id)
    except struct.error as error:
        raise UsageError(f"timestamp {message.timestamp_ns} or attempts {message.attempts} out of range") from error
    return header + message.body
