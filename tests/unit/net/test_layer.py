"""`net.layer`: what comes reaches the protocol above in plain, in order, and not before it is time."""

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from millstream.net.layer import HELD_BYTES_MAX, READ_BYTES, TURN_BYTES, CodecTransport, Layer
from millstream.net.upgrade import Deflate, Snappy


class Upper:
    """A protocol that reads through a buffer of `room` bytes, and notes everything."""

    def __init__(self, room: int = 100) -> None:
        self.got = bytearray()
        self.events: list[str] = []
        self._buffer = bytearray(room)

    def get_buffer(self, _size_hint: int) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, count: int) -> None:
        self.got += self._buffer[:count]

    def eof_received(self) -> bool:
        self.events.append("eof")
        return True

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append(f"lost {error}")


class Lower:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return "close" in self.calls

    def get_extra_info(self, name: str, default: object = None) -> object:
        return name if name == "peername" else default

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


def layer_on(upper: Upper) -> tuple[Layer, list[str]]:
    faults: list[str] = []
    return Layer(upper, memoryview(bytearray(READ_BYTES + 5)), faults.append), faults


def read(layer: Layer, data: bytes) -> None:
    """As a transport does."""
    while data:
        buffer = layer.get_buffer(-1)
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        layer.buffer_updated(count)
        data = data[count:]


@given(texts=st.lists(st.binary(max_size=500), max_size=5), held=st.integers(0, 5))
def test_what_comes_before_the_opening_is_read_after_it_by_the_new_rules(texts: list[bytes], held: int) -> None:
    for sender, receiver in ((Snappy(), Snappy()), (Deflate(1), Deflate(9)), (None, None)):
        upper = Upper()
        layer, faults = layer_on(upper)
        wires = [sender.encode(text) if sender else text for text in texts]

        for wire in wires[:held]:
            read(layer, wire)
        assert not upper.got
        layer.open(Lower(), receiver, can_be_half_open=False)
        for wire in wires[held:]:
            read(layer, wire)

        assert (bytes(upper.got), faults) == (b"".join(texts), [])


def test_a_peer_that_floods_a_closed_layer_is_a_fault() -> None:
    layer, faults = layer_on(Upper())

    read(layer, bytes(HELD_BYTES_MAX))
    assert faults == []
    read(layer, b"x")
    assert len(faults) == 1


def test_a_corrupt_stream_is_a_fault() -> None:
    layer, faults = layer_on(Upper())
    layer.open(Lower(), Snappy(), can_be_half_open=True)

    read(layer, b"PUB topic\n")

    assert faults == ["snappy: no stream identifier"]


def test_reads_are_small_where_they_can_stand_for_much() -> None:
    layer, _ = layer_on(Upper(room=1 << 20))

    assert len(layer.get_buffer(-1)) == READ_BYTES
    layer.open(Lower(), Deflate(1), can_be_half_open=True)
    assert len(layer.get_buffer(1 << 20)) == READ_BYTES


def test_only_what_can_be_half_open_stays_open_after_the_peers_end() -> None:
    for can_be_half_open in (True, False):
        upper = Upper()
        layer, _ = layer_on(upper)
        assert not layer.eof_received()
        layer.open(Lower(), None, can_be_half_open=can_be_half_open)

        assert layer.eof_received() is can_be_half_open
        assert upper.events == ["eof", "eof"]


def test_flow_control_goes_through_and_the_end_comes_once() -> None:
    upper = Upper()
    layer, _ = layer_on(upper)

    layer.pause_writing()
    layer.resume_writing()
    layer.connection_lost(None)
    layer.connection_lost(OSError("again"))

    assert upper.events == ["pause", "resume", "lost None"]


def test_nothing_is_passed_on_after_the_end() -> None:
    upper = Upper()
    layer, _ = layer_on(upper)
    read(layer, b"late")

    layer.connection_lost(None)
    layer.open(Lower(), None, can_be_half_open=False)

    assert upper.got == b""


def test_the_transport_encodes_what_is_written_and_passes_on_the_rest() -> None:
    lower = Lower()
    layer, _ = layer_on(Upper())
    layer.open(lower, Deflate(6), can_be_half_open=True)
    transport = CodecTransport(lower, Deflate(6), layer)

    transport.write(b"one")
    transport.write(b"two")
    for call in (transport.pause_reading, transport.resume_reading, transport.close, transport.abort):
        call()

    assert b"".join(Deflate(6).decode(lower.written)) == b"onetwo"
    assert transport.get_write_buffer_size() == len(lower.written)
    assert transport.get_extra_info("peername") == "peername"
    assert transport.get_extra_info("other", 1) == 1
    assert lower.calls == ["resume_reading", "pause_reading", "resume_reading", "close", "abort"]


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_more_than_a_turn_should_work_on_waits_for_the_next_ones() -> None:
    upper, lower = Upper(room=READ_BYTES), Lower()
    layer, faults = layer_on(upper)
    layer.open(lower, Deflate(1), can_be_half_open=True)
    bomb = Deflate(9).encode(bytes(10 * TURN_BYTES))

    read(layer, bomb)
    assert len(bomb) < READ_BYTES
    assert len(upper.got) == TURN_BYTES
    assert lower.calls == ["resume_reading", "pause_reading"]
    await asyncio.sleep(0)
    assert len(upper.got) == 2 * TURN_BYTES
    await turns()

    assert len(upper.got) == 10 * TURN_BYTES
    assert lower.calls == ["resume_reading", "pause_reading", "resume_reading"]
    assert faults == []


async def test_who_pauses_reading_gets_nothing_more_of_what_was_read() -> None:
    upper, lower = Upper(room=READ_BYTES), Lower()
    layer, _ = layer_on(upper)
    sender = Deflate(9)
    layer.open(lower, Deflate(1), can_be_half_open=True)
    transport = CodecTransport(lower, Deflate(1), layer)

    read(layer, sender.encode(bytes(3 * TURN_BYTES)))
    transport.pause_reading()
    # What a TLS transport had in hand when it was told to pause.
    read(layer, sender.encode(b"last"))
    await turns()
    assert len(upper.got) == TURN_BYTES
    assert "resume_reading" not in lower.calls[1:]
    transport.resume_reading()
    await turns()

    assert len(upper.got) == 3 * TURN_BYTES + 4
    assert upper.got.endswith(b"last")
    assert lower.calls[-1] == "resume_reading"


async def test_the_end_comes_after_what_was_read_before_it() -> None:
    upper, lower = Upper(room=READ_BYTES), Lower()
    layer, _ = layer_on(upper)
    layer.open(lower, Deflate(1), can_be_half_open=True)

    read(layer, Deflate(9).encode(bytes(3 * TURN_BYTES)))
    assert layer.eof_received()
    assert upper.events == []
    await turns()

    assert (len(upper.got), upper.events) == (3 * TURN_BYTES, ["eof"])


async def test_what_waits_is_forgotten_with_the_connection() -> None:
    for end in ("lost", "close"):
        upper, lower = Upper(room=READ_BYTES), Lower()
        layer, faults = layer_on(upper)
        layer.open(lower, Deflate(1), can_be_half_open=True)
        read(layer, Deflate(9).encode(bytes(20 * TURN_BYTES)))
        if end == "lost":
            layer.connection_lost(None)
        else:
            lower.calls.append("close")
        await turns()

        assert len(upper.got) <= 2 * TURN_BYTES
        assert faults == []


async def test_a_fault_behind_much_text_is_one() -> None:
    upper, lower = Upper(room=READ_BYTES), Lower()
    layer, faults = layer_on(upper)
    layer.open(lower, Deflate(1), can_be_half_open=True)

    read(layer, Deflate(9).encode(bytes(3 * TURN_BYTES)) + b"\x07")
    assert faults == []
    await turns()

    assert len(faults) == 1
    assert len(upper.got) <= 3 * TURN_BYTES
