"""Messages as `millstream log dump` writes them: a line of JSON each, or their bodies."""

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from millstream.protocol.bodies import body_field
from millstream.storage.inspection import Record
from millstream.tools.data_path.options import Bound


def between(records: Iterable[Record], start: Bound, end: Bound) -> Iterator[Record]:
    """Those in a range. By time every record is looked at: messages of one moment need not lie in order."""
    for record in records:
        if start.sequence is not None and record.sequence < start.sequence:
            continue
        if end.sequence is not None and record.sequence >= end.sequence:
            continue
        if start.timestamp_ns is not None and record.timestamp_ns < start.timestamp_ns:
            continue
        if end.timestamp_ns is not None and record.timestamp_ns >= end.timestamp_ns:
            continue
        yield record


def lines(records: Iterable[Record], topic: str, *, limit: int, is_raw: bool) -> Iterator[bytes]:
    """Each record as a line, at most `limit` of them when that is not 0."""
    for record in islice(records, limit or None):
        yield record.body + b"\n" if is_raw else _json(record, topic)


def _json(record: Record, topic: str) -> bytes:
    found: dict[str, object] = {"topic": topic} if topic else {}
    found |= {
        "id": f"{record.sequence:016x}",
        "timestamp": record.timestamp_ns,
        "attempts": record.attempts,
    }
    if record.due_ns:
        found["due"] = record.due_ns
    found |= body_field(record.body)
    return msgspec.json.encode(found) + b"\n"
