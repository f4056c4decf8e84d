"""The compressions: corrupt streams and bombs, in any pieces."""

import zlib
from collections.abc import Callable
from typing import Final

import cramjam
from fuzz_target import Target, pieces, whole

from millstream.net.upgrade import PIECE_BYTES_MAX, Codec, CorruptStream, Deflate, Snappy

# A byte of DEFLATE stands for at most 1,032.
RATIO_MAX: Final = 1_100
PLAIN_BYTES_MAX: Final = 64 << 20


def _read(codec: Codec, parts: list[bytes]) -> tuple[bytes, bool]:
    plain = bytearray()
    try:
        for part in parts:
            for piece in codec.decode(part):
                assert 0 < len(piece) <= PIECE_BYTES_MAX
                plain += piece
                assert len(plain) <= PLAIN_BYTES_MAX
    except CorruptStream as error:
        assert str(error)
        return bytes(plain), True
    return bytes(plain), False


def _check(make: Callable[[], Codec], data: bytes) -> None:
    by_piece, fault = _read(make(), pieces(data))
    at_once, fault_at_once = _read(make(), [whole(data)])
    assert fault is fault_at_once
    if not fault:
        assert by_piece == at_once
    # What came right before a fault may be lost; nothing else may be there.
    assert by_piece.startswith(at_once) or at_once.startswith(by_piece)
    encoded = make().encode(whole(data))
    assert b"".join(make().decode(encoded)) == whole(data)


def snappy(data: bytes) -> None:
    """Snappy's framing format."""
    _check(Snappy, data)


def deflate(data: bytes) -> None:
    """Raw DEFLATE."""
    _check(lambda: Deflate(1), data)
    assert len(_read(Deflate(1), [whole(data)])[0]) <= RATIO_MAX * len(data) + PIECE_BYTES_MAX


def _deflated(plain: bytes, *, ends: bool = False) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(plain) + compressor.flush(zlib.Z_FINISH if ends else zlib.Z_SYNC_FLUSH)


_PLAIN: Final = b"PUB t\n\x00\x00\x00\x05hello"
_BOMB: Final = bytes(1 << 20)

SNAPPY: Final = Target(
    snappy,
    (
        bytes(cramjam.snappy.compress(_PLAIN)),
        bytes(cramjam.snappy.compress(_BOMB[: 200 << 10])),
        b"\xff\x06\x00\x00sNaPpY\xfe\x03\x00\x00abc\x80\x00\x00\x00\x01\x05\x00\x00\x00\x00\x00\x00x",
        b"\xff\x06\x00\x00sNaPpY\x00\xff\xff\xff",
    ),
    (b"\xff\x06\x00\x00sNaPpY", b"\xfe\xff\xff\xff", b"\x00\x0a\x00\x00", b"\x01\x04\x00\x00", b"\x80\x80\x04"),
)
DEFLATE: Final = Target(
    deflate,
    (_deflated(_PLAIN), _deflated(_BOMB), _deflated(_PLAIN, ends=True), _deflated(_PLAIN) * 2, b"\x00\x00\x00\xff\xff"),
    (b"\x00\x00\xff\xff", b"\x03\x00", b"\xed\xc1\x01"),
)
