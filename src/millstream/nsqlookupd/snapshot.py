"""The registry as the bytes of a file, both directions; pure.

`nsqlookupd.keeper` reads and writes the file. Its first line is a JSON object that says what follows: format, version,
size and SHA-256 of the second line, which holds everything. Nothing is taken from a file that is not whole, and
nothing from one that holds what no nsqd could have announced.
"""

from hashlib import sha256
from typing import Annotated, Final

import msgspec

from millstream.base.errors import MillstreamError
from millstream.nsqlookupd.records import Kept, KeptProducer
from millstream.protocol.names import is_valid_name

FORMAT: Final = "nsqlookupd-registry"
VERSION: Final = 1
BYTES_MAX: Final = 256 << 20

_HEADER_BYTES_MAX: Final = 1_000
_TEXT_LENGTH_MAX: Final = 65_536
_PORT_LOW: Final = -1
_PORT_HIGH: Final = 65_535
_AGE_MS_MAX: Final = 10**15


class BadSnapshot(MillstreamError):
    """The bytes are no snapshot that can be used; the text says why."""


class _Header(msgspec.Struct):
    format: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    size: int = 0
    sha256: str = ""


def encode(kept: Kept) -> bytes:
    """The content of a file. Raises BadSnapshot when it would be larger than a file may be."""
    body = msgspec.json.encode(kept)
    if len(body) > BYTES_MAX - _HEADER_BYTES_MAX:
        raise BadSnapshot(f"the registry takes {len(body)} bytes, a snapshot holds {BYTES_MAX - _HEADER_BYTES_MAX}")
    header = _Header(FORMAT, VERSION, len(body), sha256(body).hexdigest())
    return msgspec.json.encode(header) + b"\n" + body + b"\n"


def decode(data: bytes, *, producers_max: int, entries_max: int) -> Kept:
    """What was encoded. Raises BadSnapshot for anything else, and for more than fits the limits."""
    line, newline, body = data.partition(b"\n")
    header = _read_header(line if newline else b"")
    if header.version > VERSION:
        raise BadSnapshot(f"it has version {header.version}, written by a later release; this one reads {VERSION}")
    body = body[:-1] if body.endswith(b"\n") else body
    if len(body) != header.size:
        raise BadSnapshot(f"it holds {len(body)} bytes of {header.size}: it is torn")
    if sha256(body).hexdigest() != header.sha256:
        raise BadSnapshot("its checksum does not fit its content")
    try:
        kept = msgspec.json.decode(body, type=Kept)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadSnapshot(f"it cannot be read: {error}") from error
    if len(kept.producers) > producers_max:
        raise BadSnapshot(f"it has {len(kept.producers)} producers, the limit is {producers_max}")
    if (entries := _entries(kept)) > entries_max:
        raise BadSnapshot(f"it has {entries} entries, the limit is {entries_max}")
    for name, channels in kept.topics.items():
        _check_names((name, *channels))
    for producer in kept.producers:
        _check_producer(producer)
    return kept


def _read_header(line: bytes) -> _Header:
    try:
        header = msgspec.json.decode(line[:_HEADER_BYTES_MAX], type=_Header)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadSnapshot("it does not begin as a snapshot does") from error
    if header.format != FORMAT:
        raise BadSnapshot("it is of another format")
    return header


def _entries(kept: Kept) -> int:
    names = sum(1 + len(channels) for channels in kept.topics.values())
    return names + sum(1 + len(topic.channels) for producer in kept.producers for topic in producer.topics)


def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if not is_valid_name(name):
            raise BadSnapshot(f"it has the name {name[:80]!r}, which is not valid")


def _check_producer(producer: KeptProducer) -> None:
    identity = producer.identity
    texts = (
        producer.remote_address,
        identity.broadcast_address,
        identity.hostname,
        identity.version,
        identity.topology_region,
        identity.topology_zone,
    )
    ports = (identity.tcp_port, identity.http_port)
    if (
        not (identity.broadcast_address and identity.version)
        or any(len(text) > _TEXT_LENGTH_MAX for text in texts)
        or any(not _PORT_LOW <= port <= _PORT_HIGH or not port for port in ports)
    ):
        raise BadSnapshot(f"it has a producer {identity.broadcast_address[:80]!r} that no nsqd can be")
    if not 0 <= producer.silent_ms <= _AGE_MS_MAX:
        raise BadSnapshot(f"a producer was silent for {producer.silent_ms} ms")
    for topic in producer.topics:
        _check_names((topic.name, *topic.channels))
        if not 0 <= topic.tombstoned_ns < 1 << 63:
            raise BadSnapshot(f"a tombstone is of {topic.tombstoned_ns}")
