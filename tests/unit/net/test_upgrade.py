"""`net.upgrade`: any chunking, any rubbish, and bombs."""

import zlib
from collections.abc import Callable, Iterable

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.net.upgrade import PIECE_BYTES_MAX, Codec, CorruptStream, Deflate, Snappy

IDENTIFIER = b"\xff\x06\x00\x00sNaPpY"
EVERY_CODEC = pytest.mark.parametrize("make", [Snappy, lambda: Deflate(6)], ids=["snappy", "deflate"])
Make = Callable[[], Codec]

plain = st.lists(
    st.binary(max_size=300) | st.integers(1, 200_000).map(lambda size: b"abcdefgh" * (size // 8)), max_size=5
)


def chunk(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "little") + body


def snappy_chunks(data: bytes) -> bytes:
    """Chunks of `data` without the identifier."""
    whole = bytes(cramjam.snappy.compress(data))
    return whole.removeprefix(IDENTIFIER)


def read(codec: Codec, pieces: Iterable[bytes]) -> bytes:
    return b"".join(part for piece in pieces for part in codec.decode(piece))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@EVERY_CODEC
@given(texts=plain, places=st.lists(st.integers(0, 1 << 20), max_size=12))
def test_any_chunking_gives_the_same_bytes(make: Make, texts: list[bytes], places: list[int]) -> None:
    sender, receiver = make(), make()
    wire = b"".join(map(sender.encode, texts))

    assert read(receiver, cut(wire, places)) == b"".join(texts)


@EVERY_CODEC
@given(data=st.binary(max_size=400))
def test_random_bytes_give_bytes_or_a_documented_error(make: Make, data: bytes) -> None:
    codec = make()

    try:
        read(codec, [IDENTIFIER, data])
        read(make(), [data])
    except CorruptStream:
        pass


@EVERY_CODEC
@given(data=st.binary(min_size=1, max_size=2000), at=st.integers(0, 1 << 16), value=st.integers(1, 255))
def test_a_damaged_byte_gives_bytes_or_a_documented_error(make: Make, data: bytes, at: int, value: int) -> None:
    wire = bytearray(make().encode(data))
    wire[at % len(wire)] ^= value

    try:
        read(make(), [bytes(wire)])
    except CorruptStream:
        pass


@EVERY_CODEC
def test_each_encoded_part_can_be_read_at_once(make: Make) -> None:
    sender, receiver = make(), make()

    for text in (b"one", b"two" * 1000, b"three"):
        assert read(receiver, [sender.encode(text)]) == text


@EVERY_CODEC
def test_a_bomb_comes_in_small_pieces(make: Make) -> None:
    wire = make().encode(bytes(20 << 20))

    pieces = [len(piece) for piece in make().decode(wire)]

    assert sum(pieces) == 20 << 20
    assert max(pieces) <= PIECE_BYTES_MAX
    assert min(pieces) > 0


@EVERY_CODEC
@pytest.mark.parametrize("size", [PIECE_BYTES_MAX - 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 2 * PIECE_BYTES_MAX])
def test_what_fills_a_piece_exactly_is_not_held_back(make: Make, size: int) -> None:
    text = b"x" * size

    assert read(make(), [make().encode(text)]) == text


def test_deflate_is_raw_with_sync_flushes() -> None:
    wire = Deflate(1).encode(b"hello")

    assert wire.endswith(b"\x00\x00\xff\xff")
    assert zlib.decompressobj(-15).decompress(wire) == b"hello"


def test_deflate_reads_a_peer_of_any_level_with_markers_in_a_row() -> None:
    for level in range(10):
        peer = zlib.compressobj(level, zlib.DEFLATED, -15)
        wire = peer.compress(b"hello" * 99) + peer.flush(zlib.Z_SYNC_FLUSH) + peer.flush(zlib.Z_FULL_FLUSH)

        assert read(Deflate(6), [wire]) == b"hello" * 99


def test_deflate_does_not_go_on_after_the_end_of_a_stream() -> None:
    peer = zlib.compressobj(6, zlib.DEFLATED, -15)
    codec = Deflate(6)

    for data in (peer.compress(b"x") + peer.flush() + b"more", b"and more"):
        with pytest.raises(CorruptStream, match="ended"):
            read(codec, [data])


@pytest.mark.parametrize("level", [0, 10, -1])
def test_deflate_refuses_a_level_that_does_not_exist(level: int) -> None:
    with pytest.raises(ValueError, match="1 to 9"):
        Deflate(level)


def test_snappy_begins_with_the_stream_identifier_and_does_not_repeat_it() -> None:
    codec = Snappy()

    assert codec.encode(b"OK").startswith(IDENTIFIER)
    assert IDENTIFIER not in codec.encode(b"OK")


def test_snappy_reads_repeated_identifiers_and_skips_what_may_be_skipped() -> None:
    parts = [IDENTIFIER, snappy_chunks(b"one"), IDENTIFIER, chunk(0x80, bytes(300_000)), chunk(0xFE, b"pad")]
    wire = b"".join([*parts, IDENTIFIER, snappy_chunks(b"two")])

    assert read(Snappy(), [wire]) == b"onetwo"
    assert read(Snappy(), [wire[at : at + 1] for at in range(len(wire))]) == b"onetwo"


def test_snappy_keeps_nothing_of_what_it_skips() -> None:
    codec = Snappy()
    read(codec, [IDENTIFIER + b"\x80\xff\xff\xff"])

    for _ in range(255):
        read(codec, [bytes(65_793)])
    assert read(codec, [snappy_chunks(b"behind")]) == b"behind"


BAD: dict[str, bytes] = {
    "no identifier": snappy_chunks(b"x"),
    "another identifier": chunk(0xFF, b"SnApPy"),
    "a long identifier": IDENTIFIER[:1] + b"\xff\xff\xff",
    "an unknown type": IDENTIFIER + chunk(0x02, b"abcd"),
    "the last unknown type": IDENTIFIER + chunk(0x7F, b"abcd"),
    "no checksum": IDENTIFIER + chunk(0x01, b"abc"),
    "a wrong checksum": IDENTIFIER + chunk(0x01, b"\x00\x00\x00\x00abc"),
    "a huge chunk, promised": IDENTIFIER + b"\x00\xff\xff\xff",
    "plain bytes beyond 64 KiB": IDENTIFIER + chunk(0x01, bytes(4 + 65_537)),
    "a block of 64 KiB and a byte": IDENTIFIER + chunk(0x00, bytes(4) + b"\x81\x80\x04" + bytes(40)),
    "a block of 4 GiB": IDENTIFIER + chunk(0x00, bytes(4) + b"\xff\xff\xff\xff\x0f"),
    "a block of nothing": IDENTIFIER + chunk(0x00, bytes(4)),
    "a size without end": IDENTIFIER + chunk(0x00, bytes(4) + b"\x80"),
    "a block that is cut": IDENTIFIER + chunk(0x00, bytes(4) + b"\x05\x10ab"),
}


@pytest.mark.parametrize("wire", BAD.values(), ids=BAD.keys())
def test_snappy_refuses(wire: bytes) -> None:
    with pytest.raises(CorruptStream, match="snappy"):
        read(Snappy(), [wire])


def test_what_refuses_is_refused_however_it_is_cut() -> None:
    for wire in BAD.values():
        with pytest.raises(CorruptStream):
            read(Snappy(), [wire[at : at + 1] for at in range(len(wire))])
