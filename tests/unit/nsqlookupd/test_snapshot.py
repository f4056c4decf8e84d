import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.nsqlookupd.records import Kept, KeptProducer, KeptTopic
from millstream.nsqlookupd.snapshot import FORMAT, BadSnapshot, decode, encode
from millstream.protocol.lookup import Identity

IDENTITY = Identity(broadcast_address="h", tcp_port=4150, http_port=4151, version="1.3.0", hostname="wéb")
KEPT = Kept(
    topics={"t": ("c", "d"), "u": ()},
    producers=(
        KeptProducer(
            remote_address="10.0.0.1:5000",
            identity=IDENTITY,
            silent_ms=15_000,
            topics=(KeptTopic(name="t", channels=("c",), tombstoned_ns=5), KeptTopic(name="u")),
        ),
    ),
)


def read(data: bytes, *, producers_max: int = 10, entries_max: int = 100) -> Kept:
    return decode(data, producers_max=producers_max, entries_max=entries_max)


def written(document: Any, **header: Any) -> bytes:
    """A file with a sound checksum, whatever it holds."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    whole = {"format": FORMAT, "version": 1, "size": len(body), "sha256": sha256(body).hexdigest(), **header}
    return json.dumps(whole).encode() + b"\n" + body + b"\n"


def with_producer(**fields: Any) -> dict[str, Any]:
    identity = {"broadcast_address": "h", "tcp_port": 1, "http_port": 2, "version": "1", **fields.pop("identity", {})}
    return {
        "topics": {},
        "producers": [{"remote_address": "a", "identity": identity, "silent_ms": 0, "topics": [], **fields}],
    }


def test_what_was_encoded_is_decoded() -> None:
    assert read(encode(KEPT)) == KEPT
    assert read(encode(Kept(topics={}))) == Kept(topics={})


def test_every_cut_is_noticed() -> None:
    data = encode(KEPT)

    for end in range(len(data) - 1):
        with pytest.raises(BadSnapshot):
            read(data[:end])


def test_every_flipped_bit_of_the_content_is_noticed() -> None:
    data = encode(KEPT)

    for position in range(data.index(b"\n") + 1, len(data) - 1):
        with pytest.raises(BadSnapshot):
            read(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadSnapshot):
        read(data)


def test_a_later_version_is_named() -> None:
    with pytest.raises(BadSnapshot, match="version 2, written by a later release"):
        read(written({"anything": 1}, version=2))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[" * 100_000,
        b'{"topics":{"\xff":[]}}',
        [],
        {},
        {"topics": {"a b": []}},
        {"topics": {"": []}},
        {"topics": {"t": ["c\n"]}},
        {"topics": {"t": "c"}},
        {"topics": {"t" * 65: []}},
        with_producer(identity={"broadcast_address": ""}),
        with_producer(identity={"version": ""}),
        with_producer(identity={"version": None}),
        with_producer(identity={"tcp_port": 0}),
        with_producer(identity={"tcp_port": 65_536}),
        with_producer(identity={"http_port": -2}),
        with_producer(identity={"http_port": True}),
        with_producer(identity={"hostname": "x" * 65_537}),
        with_producer(remote_address=5),
        with_producer(silent_ms=-1),
        with_producer(silent_ms=1e300),
        with_producer(silent_ms=10**30),
        with_producer(topics=[{"name": "a b"}]),
        with_producer(topics=[{"name": "t", "channels": ["*"]}]),
        with_producer(topics=[{"name": "t", "tombstoned_ns": -1}]),
        with_producer(topics=[{"name": "t", "tombstoned_ns": 1 << 63}]),
        with_producer(topics={}),
    ],
)
def test_hostile_contents_are_refused(document: Any) -> None:
    with pytest.raises(BadSnapshot):
        read(written(document))


@pytest.mark.parametrize("header", [{"format": "other"}, {"version": 0}, {"version": "1"}, {"size": -1}])
def test_hostile_headers_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(BadSnapshot):
        read(written({"topics": {}}, **header))


def test_more_than_the_limits_allow_is_refused() -> None:
    data = encode(KEPT)

    assert read(data, producers_max=1, entries_max=7) == KEPT
    with pytest.raises(BadSnapshot, match="7 entries, the limit is 6"):
        read(data, entries_max=6)
    with pytest.raises(BadSnapshot, match="1 producers, the limit is 0"):
        read(data, producers_max=0)
