"""Frames out of a stream that comes in any pieces."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream
from millstream.protocol.frames import (
    ERROR,
    MESSAGE,
    RESPONSE,
    BadFrame,
    Frame,
    FrameDecoder,
    FrameTooLarge,
    encode_frame,
)
from millstream.protocol.message import Message, encode_message

frames = st.lists(st.tuples(st.sampled_from([RESPONSE, ERROR, MESSAGE]), st.binary(max_size=50)), max_size=8)
bodies = st.lists(st.binary(max_size=50), max_size=8)
cuts = st.lists(st.integers(0, 500), max_size=12)


class Delivery(Message):
    """As a client has it: a class of its own."""

    __slots__ = ()


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    ends = [*sorted(min(cut, len(data)) for cut in at), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def message_frame(body: bytes, attempts: int = 1) -> bytes:
    return encode_frame(MESSAGE, encode_message(Message(b"0123456789abcdef", body, 5, attempts)))


@given(frames, cuts)
def test_any_chunking_gives_the_same_frames(sent: list[Frame], at: list[int]) -> None:
    data = b"".join(encode_frame(kind, payload) for kind, payload in sent)
    decoder = FrameDecoder()

    received = [frame for piece in pieces(data, at) for frame in decoder.feed(piece)]

    assert received == sent


@given(bodies, cuts)
def test_any_chunking_gives_the_same_messages(sent: list[bytes], at: list[int]) -> None:
    data = b"".join(
        message_frame(body, attempts=place) + encode_frame(RESPONSE, b"_heartbeat_") for place, body in enumerate(sent)
    )
    decoder = FrameDecoder()
    connection = object()

    messages: list[Delivery] = []
    others: list[Frame] = []
    for piece in pieces(data, at):
        batch, rest = decoder.feed_messages(piece, Delivery, connection)
        messages += batch
        others += rest

    assert [(m.id, m.body, m.timestamp_ns, m.attempts) for m in messages] == [
        (b"0123456789abcdef", body, 5, place) for place, body in enumerate(sent)
    ]
    assert all(type(m) is Delivery and m.source is connection and m.responded is False for m in messages)
    assert others == [(RESPONSE, b"_heartbeat_")] * len(sent)


@given(frames, cuts)
def test_one_frame_at_a_time_gives_the_same_frames(sent: list[Frame], at: list[int]) -> None:
    data = b"".join(encode_frame(kind, payload) for kind, payload in sent)
    decoder = FrameDecoder()

    received = []
    for piece in pieces(data, at):
        frame = decoder.feed_one(piece)
        while frame is not None:
            received.append(frame)
            frame = decoder.feed_one()

    assert received == sent


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_frames_or_a_documented_error(chunks: list[bytes]) -> None:
    decoder = FrameDecoder(size_bytes_max=1000)
    try:
        for chunk in chunks:
            for kind, payload in decoder.feed(chunk):
                assert kind in {RESPONSE, ERROR, MESSAGE}
                assert len(payload) <= 996
    except (BadFrame, FrameTooLarge):
        pass


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.binary(max_size=40).map(lambda payload: encode_frame(MESSAGE, payload)),
            st.binary(max_size=40).map(message_frame),
        ),
        max_size=10,
    )
)
def test_any_bytes_are_messages_and_frames_or_a_documented_error(chunks: list[bytes]) -> None:
    decoder = FrameDecoder(size_bytes_max=1000)
    try:
        for chunk in chunks:
            for message in decoder.feed_messages(chunk, Message)[0]:
                assert len(message.id) == 16
    except (BadFrame, FrameTooLarge):
        pass


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_any_buffer_may_be_fed_and_reused_afterwards(convert: type[bytes]) -> None:
    data = encode_frame(RESPONSE, b"OK") + encode_frame(ERROR, b"E_INVALID")
    decoder = FrameDecoder()

    received = decoder.feed(convert(data[:13])) + decoder.feed(convert(data[13:]))

    assert received == [(RESPONSE, b"OK"), (ERROR, b"E_INVALID")]
    assert all(type(payload) is bytes for _, payload in received)


@pytest.mark.parametrize(
    "head", ["00000003 00000000", "ffffffff 00000000", "80000000 00000002", "00000004 00000003", "00000004 ffffffff"]
)
def test_a_head_that_no_frame_has_is_refused(head: str) -> None:
    with pytest.raises(BadFrame):
        FrameDecoder().feed(bytes.fromhex(head))
    with pytest.raises(BadFrame):
        FrameDecoder().feed_messages(bytes.fromhex(head), Message)
    with pytest.raises(BadFrame):
        FrameDecoder().feed_one(bytes.fromhex(head))


def test_a_message_frame_shorter_than_its_header_is_refused() -> None:
    with pytest.raises(BadFrame):
        FrameDecoder().feed_messages(encode_frame(MESSAGE, bytes(25)), Message)


def test_a_frame_above_the_limit_is_refused_before_it_has_come() -> None:
    assert FrameDecoder(size_bytes_max=100).feed(encode_frame(RESPONSE, bytes(96))) == [(RESPONSE, bytes(96))]
    with pytest.raises(FrameTooLarge):
        FrameDecoder(size_bytes_max=100).feed(encode_frame(RESPONSE, bytes(97))[:8])


def test_an_http_answer_is_no_stream_of_frames() -> None:
    with pytest.raises(FrameTooLarge):
        FrameDecoder().feed(b"HTTP/1.1 400 Bad Request\r\n")


def test_after_an_error_nothing_is_decoded_any_more() -> None:
    decoder = FrameDecoder()
    with pytest.raises(BadFrame):
        decoder.feed(bytes(8))

    with pytest.raises(BadFrame):
        decoder.feed(encode_frame(RESPONSE, b"OK"))


def test_bytes_after_the_reply_to_identify_belong_to_the_next_layer() -> None:
    decoder = FrameDecoder()
    compressed = b"\xff\x06\x00\x00sNaPpY"

    assert decoder.feed_one(encode_frame(RESPONSE, b"{}") + compressed) == (RESPONSE, b"{}")
    assert decoder.take_pending() == compressed
    assert decoder.feed(encode_frame(RESPONSE, b"OK")) == [(RESPONSE, b"OK")]


def test_a_large_frame_in_many_pieces_is_whole() -> None:
    body = bytes(range(256)) * 4096
    data = message_frame(body) + encode_frame(RESPONSE, b"OK")
    decoder = FrameDecoder()

    received = [frame for start in range(0, len(data), 1000) for frame in decoder.feed(data[start : start + 1000])]

    assert [(kind, len(payload)) for kind, payload in received] == [(MESSAGE, len(body) + 26), (RESPONSE, 2)]


# Decodes the same made-up streams in a process of its own and writes what came out, values and errors alike.
TRANSCRIPT = """
import random, sys
sys.path.insert(0, sys.argv[1])
from millstream.protocol import frames, message
assert frames.__file__.endswith(sys.argv[2]) and message.__file__.endswith(sys.argv[2]), frames.__file__
rng = random.Random(7)
for _ in range(400):
    stream = bytearray()
    for _ in range(rng.randrange(6)):
        kind = rng.choice([0, 1, 2, 2, 2, 2])
        body = rng.randbytes(rng.randrange(30))
        if kind == 2:
            made = message.Message(rng.randbytes(16), body, rng.getrandbits(64) - 2**63, rng.getrandbits(16))
            body = message.encode_message(made)
        stream += frames.encode_frame(kind, body)
    if stream and rng.random() < 0.3:
        stream[rng.randrange(len(stream))] = rng.randrange(256)
    whole, single, batch = (frames.FrameDecoder(200) for _ in range(3))
    try:
        while stream:
            piece = bytes(stream[: rng.randrange(1, 60)])
            del stream[: len(piece)]
            messages, others = batch.feed_messages(piece, message.Message, None)
            print([(m.id, m.body, m.timestamp_ns, m.attempts, m.source, m.responded) for m in messages], others)
            print(whole.feed(piece), single.feed_one(piece), single.take_pending())
    except (frames.BadFrame, frames.FrameTooLarge) as error:
        print(type(error).__name__, error)
"""

BUILD = """
from Cython.Build import cythonize
from setuptools import Extension, setup
modules = [Extension(f"millstream.protocol.{n}", [f"millstream/protocol/{n}.py"]) for n in ("message", "frames")]
setup(
    packages=[],
    ext_modules=cythonize(modules, quiet=True, compiler_directives={"language_level": 3, "annotation_typing": False}),
    script_args=["-q", "build_ext", "--inplace"],
)
"""


def compiler_is_missing() -> str:
    compiler = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler.split()[0]) is None:
        return "no C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no Python headers"
    return ""


def copy_of_the_sources(target: Path) -> Path:
    source = Path(millstream.__file__).parent
    for folder in ("", "base", "protocol"):
        (target / "millstream" / folder).mkdir(parents=True)
        for pattern in ("*.py", "*.pxd"):
            for file in (source / folder).glob(pattern):
                shutil.copy(file, target / "millstream" / folder)
    return target


def run(*arguments: str, cwd: Path) -> str:
    environment = os.environ | {"CFLAGS": "-O0", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(bool(compiler_is_missing()), reason=compiler_is_missing())
def test_compiled_decodes_as_uncompiled_does(tmp_path: Path) -> None:
    pytest.importorskip("Cython", reason="no Cython")
    if not Path(millstream.__file__).with_name("protocol").joinpath("frames.pxd").exists():
        pytest.skip("installed without the .pxd files")
    pure = copy_of_the_sources(tmp_path / "pure")
    compiled = copy_of_the_sources(tmp_path / "compiled")
    run("-c", BUILD, cwd=compiled)
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))

    expected = run("-c", TRANSCRIPT, str(pure), ".py", cwd=pure)

    assert run("-c", TRANSCRIPT, str(compiled), suffix, cwd=compiled) == expected
    assert all(name in expected for name in ("BadFrame", "FrameTooLarge"))
