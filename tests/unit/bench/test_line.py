"""Lines of every kind say hello and carry a command; what is encoded once can be sent many times."""

import zlib

import pytest

from millstream.bench import line, wire
from millstream.bench.broker import Broker
from millstream.bench.line import DEFLATE, PLAIN, SNAPPY, TLS, encode_deflate, encode_snappy
from millstream.bench.wire import LoadFailed
from millstream.net.upgrade import Snappy
from millstream.protocol.commands import Pub, Sub


@pytest.mark.parametrize("kind", [PLAIN, TLS, SNAPPY, DEFLATE])
def test_a_line_carries_commands_and_answers(broker: Broker, kind: str) -> None:
    opened = line.open_line(broker.address, "test", kind)
    try:
        line.ask(opened, Pub("line", b"body").encode() * 2, wire.OK)
        line.await_frame(opened, wire.OK)
    finally:
        opened.close()


def test_another_answer_is_told(broker: Broker) -> None:
    opened = line.open_line(broker.address, "test")
    try:
        with pytest.raises(LoadFailed, match="instead of"):
            line.ask(opened, Sub("line", "c").encode(), b"NO")
    finally:
        opened.close()


def test_pieces_of_deflate_follow_one_another_in_any_number() -> None:
    piece = encode_deflate(b"some text, some text")

    decoded = zlib.decompressobj(-zlib.MAX_WBITS).decompress(piece * 3)

    assert decoded == b"some text, some text" * 3


def test_pieces_of_snappy_follow_one_another_in_any_number() -> None:
    piece = encode_snappy(b"some text, some text")

    assert b"".join(Snappy().decode(piece * 3)) == b"some text, some text" * 3
