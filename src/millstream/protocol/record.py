"""The two changes ever made to a stored frame: the attempts of a redelivery, and the due time of a deferred one."""

from struct import Struct

_U32 = Struct(">I")
_U64 = Struct(">Q")
_DUE_BYTES = 8


def redelivered(frame: bytes, attempts: int) -> bytes:
    """The frame with its attempts patched."""
    return frame[:16] + attempts.to_bytes(2, "big") + frame[18:]


def undeferred(frame: bytes) -> tuple[bytes, int]:
    """The plain frame of a deferred record, and when it is due, in ns on the wall clock."""
    if frame[6] == 0:
        return frame, 0
    size = _U32.unpack_from(frame)[0] - _DUE_BYTES
    due_ns: int = _U64.unpack_from(frame, len(frame) - _DUE_BYTES)[0]
    return _U32.pack(size) + b"\x00\x00\x00\x02" + frame[8:-_DUE_BYTES], due_ns
