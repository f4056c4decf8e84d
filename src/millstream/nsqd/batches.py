"""Reads the body of `/mpub`: one message per line, or counted and sized as MPUB has them on the wire.

`nsqd.publishing` appends what was read to a topic, `nsqd.http_replay` gives it to one channel.
"""

from dataclasses import dataclass
from typing import Final

from millstream.base.log import get_logger
from millstream.net.http import HttpError, Request
from millstream.nsqd.options import DaemonOptions
from millstream.protocol.errors import BadMessage
from millstream.protocol.parser import batch_of_lines

log = get_logger(__name__)

SIZE_BYTES: Final = 4
_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Batch:
    """`count` messages in `data` from `start` on, each behind its 4-byte size; together they have `size_bytes`."""

    data: bytes | bytearray
    start: int
    count: int
    size_bytes: int


def is_binary(request: Request) -> bool:
    """Whether the body is counted and sized; as in NSQ any value but a clear no means yes."""
    value = request.query.get("binary")
    if value is None:
        return False
    if value not in _SWITCH:
        log.warning("mpub.deprecated_binary", value=value)
    return _SWITCH.get(value, True)


def read_batch(request: Request, options: DaemonOptions) -> Batch:
    """The messages of a body of either form; none at all is a batch of 0. Raises HttpError 413."""
    if is_binary(request):
        return Batch(request.body, SIZE_BYTES, *_check_counted(request.body, options))
    try:
        data, count, size_bytes = batch_of_lines(request.body, 0, options.max_msg_size)
    except BadMessage as error:
        raise HttpError(413, "MSG_TOO_BIG") from error
    return Batch(data, 0, count, size_bytes)


def _check_counted(body: bytes, options: DaemonOptions) -> tuple[int, int]:
    """How many messages a counted body has, and how many bytes they have in sum; what follows them is ignored."""
    if len(body) < SIZE_BYTES:
        raise HttpError(413, "BAD_BODY")
    count = int.from_bytes(body[:SIZE_BYTES], "big", signed=True)
    if not 0 < count <= (options.max_body_size - SIZE_BYTES) // (SIZE_BYTES + 1):
        raise HttpError(413, "BAD_BODY")
    at = SIZE_BYTES
    size_max = options.max_msg_size
    for _ in range(count):
        size = int.from_bytes(body[at : at + SIZE_BYTES], "big")
        at += SIZE_BYTES + size
        if not 0 < size <= size_max or at > len(body):
            raise HttpError(413, "BAD_MESSAGE")
    return count, at - SIZE_BYTES - SIZE_BYTES * count


def bodies_of(request: Request, options: DaemonOptions) -> list[bytes]:
    """Every message of a body of either form. Raises HttpError 413."""
    found = read_batch(request, options)
    bodies: list[bytes] = []
    at = found.start
    for _ in range(found.count):
        size = int.from_bytes(found.data[at : at + SIZE_BYTES], "big")
        bodies.append(bytes(found.data[at + SIZE_BYTES : at + SIZE_BYTES + size]))
        at += SIZE_BYTES + size
    return bodies
