"""`protocol.client`: which command is legal when, which reply belongs to what, and bytes in pieces of any size."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.base.errors import MillstreamError, UsageError
from millstream.protocol.client import (
    AnswerRefused,
    Authenticated,
    ClientConnection,
    Drained,
    Heartbeat,
    Identified,
    Published,
    Received,
    Refused,
    Reply,
    State,
    Subscribed,
    UnexpectedReply,
    UnknownError,
    decode_error,
)
from millstream.protocol.commands import Auth, Cls, Command, Dpub, Fin, Identify, Mpub, Nop, Pub, Rdy, Req, Sub, Touch
from millstream.protocol.errors import BadTopic, FinFailed
from millstream.protocol.frames import ERROR, MESSAGE, RESPONSE, BadFrame, FrameTooLarge, encode_frame
from millstream.protocol.message import Message, encode_message

ID = b"0123456789abcdef"
OK = encode_frame(RESPONSE, b"OK")
SAMPLES: tuple[Command, ...] = (
    Identify(b"{}"),
    Auth(b"secret"),
    Sub("t", "c"),
    Rdy(1),
    Fin(ID),
    Req(ID, 0),
    Touch(ID),
    Cls(),
    Nop(),
    Pub("t", b"x"),
    Mpub("t", [b"x"]),
    Dpub("t", 1, b"x"),
)
PUBLISHES = {"PUB", "MPUB", "DPUB"}
ANSWERS = {"FIN", "REQ", "TOUCH"}
LEGAL = {
    State.NEW: {"IDENTIFY"},
    State.IDENTIFYING: set(),
    State.READY: {"AUTH", "SUB", "NOP"} | PUBLISHES,
    State.AUTHENTICATING: {"NOP"},
    State.SUBSCRIBED: {"RDY", "CLS", "NOP"} | PUBLISHES | ANSWERS,
    State.CLOSING: {"NOP"} | PUBLISHES | ANSWERS,
    State.FAILED: set(),
}


def connection(state: State = State.NEW) -> ClientConnection[Message]:
    one = ClientConnection(Message)
    steps: dict[State, list[Command | bytes]] = {
        State.NEW: [],
        State.IDENTIFYING: [Identify(b"{}")],
        State.READY: [Identify(b"{}"), OK],
        State.AUTHENTICATING: [Identify(b"{}"), OK, Auth(b"secret")],
        State.SUBSCRIBED: [Identify(b"{}"), OK, Sub("t", "c"), OK],
        State.CLOSING: [Identify(b"{}"), OK, Sub("t", "c"), OK, Cls()],
        State.FAILED: [Identify(b"{}"), encode_frame(ERROR, b"E_INVALID no")],
    }
    for step in steps[state]:
        if isinstance(step, bytes):
            one.receive(step)
        else:
            one.send(step)
    one.take_output()
    assert one.state is state
    return one


def message_frame(body: bytes = b"body", attempts: int = 1) -> bytes:
    return encode_frame(MESSAGE, encode_message(Message(ID, body, 1_700_000_000_000_000_000, attempts)))


def test_the_magic_goes_before_the_first_command() -> None:
    one = ClientConnection(Message)
    one.send(Identify(b"{}"))

    assert one.take_output() == b"  V2IDENTIFY\n\x00\x00\x00\x02{}"
    assert one.take_output() == b""
    assert one.output_bytes == 0


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("command", SAMPLES, ids=lambda command: command.name)
def test_every_pair_of_state_and_command_is_legal_or_refused_without_a_trace(state: State, command: Command) -> None:
    one = connection(state)
    if command.name in LEGAL[state]:
        one.send(command)
        assert one.take_output() == command.encode()
    else:
        with pytest.raises(UsageError, match=f"cannot {command.name} while"):
            one.send(command)
        assert one.take_output() == b""
        assert one.state is state


@pytest.mark.parametrize("state", list(State))
def test_fast_answers_and_publishes_follow_the_same_rules(state: State) -> None:
    message = Message(ID, b"", 0, 1)
    calls = {
        "FIN": (lambda one: one.finish(message), Fin(ID)),
        "REQ": (lambda one: one.requeue(message, 5), Req(ID, 5)),
        "TOUCH": (lambda one: one.touch(message), Touch(ID)),
        "PUB": (lambda one: one.publish(Pub("t", b"x").encode()), Pub("t", b"x")),
    }
    for name, (call, command) in calls.items():
        one = connection(state)
        if name in LEGAL[state]:
            call(one)
            assert one.output_bytes == len(command.encode())
            assert one.take_output() == command.encode()
        else:
            with pytest.raises(UsageError):
                call(one)


def test_identify_is_answered_with_what_was_negotiated() -> None:
    one = connection(State.IDENTIFYING)
    (event,) = one.receive(encode_frame(RESPONSE, b'{"max_rdy_count":100,"auth_required":true}'))

    assert isinstance(event, Identified)
    assert (event.reply.max_rdy_count, event.reply.auth_required) == (100, True)
    assert one.state is State.READY


def test_auth_and_sub_and_cls_are_answered_in_order() -> None:
    one = connection(State.AUTHENTICATING)

    assert one.receive(encode_frame(RESPONSE, b'{"identity":"x","permission_count":1}')) == [Authenticated()]
    one.send(Sub("t", "c"))
    one.send(Rdy(1))
    one.send(Cls())
    assert one.receive(OK + encode_frame(RESPONSE, b"CLOSE_WAIT")) == [Subscribed(), Drained()]


def test_a_heartbeat_is_answered_by_itself() -> None:
    one = connection(State.SUBSCRIBED)

    assert one.receive(encode_frame(RESPONSE, b"_heartbeat_")) == [Heartbeat()]
    assert one.take_output() == b"NOP\n"


def test_messages_of_one_read_are_one_event_with_their_source() -> None:
    source = object()
    one = ClientConnection(Message, source)
    for command in (Identify(b"{}"), None, Sub("t", "c")):
        one.send(command) if command is not None else one.receive(OK)
    events = one.receive(OK + message_frame(b"one") + message_frame(b"two", attempts=3))

    (received,) = [event for event in events if isinstance(event, Received)]
    assert [(message.body, message.attempts, message.source) for message in received.messages] == [
        (b"one", 1, source),
        (b"two", 3, source),
    ]
    assert Subscribed() in events


def test_confirmations_in_a_row_are_one_event() -> None:
    one = connection(State.READY)
    for _ in range(4):
        one.send(Pub("t", b"x"))

    assert one.receive(OK + OK + encode_frame(RESPONSE, b"_heartbeat_") + OK) == [
        Published(2),
        Heartbeat(),
        Published(1),
    ]
    assert one.receive(OK) == [Published(1)]


def test_a_fatal_error_answers_the_oldest_command_and_ends_the_connection() -> None:
    one = connection(State.READY)
    one.send(Pub("t", b"x"))
    one.send(Pub("t", b"y"))
    events = one.receive(OK + encode_frame(ERROR, b"E_BAD_TOPIC PUB topic name") + OK)

    assert events[0] == Published(1)
    assert isinstance(events[1], Refused)
    assert isinstance(events[1].error, BadTopic)
    assert events[1].reply is Reply.PUBLISH
    assert len(events) == 2
    assert one.state is State.FAILED


def test_a_late_answer_is_refused_and_the_connection_goes_on() -> None:
    one = connection(State.SUBSCRIBED)
    (event,) = one.receive(encode_frame(ERROR, b"E_FIN_FAILED FIN 0123 failed ID not in flight"))

    assert isinstance(event, AnswerRefused)
    assert isinstance(event.error, FinFailed)
    assert one.state is State.SUBSCRIBED


@pytest.mark.parametrize(
    ("state", "data"),
    [
        (State.READY, OK),
        (State.READY, message_frame()),
        (State.SUBSCRIBED, encode_frame(RESPONSE, b"CLOSE_WAIT")),
        (State.CLOSING, OK),
        (State.IDENTIFYING, message_frame()),
    ],
)
def test_a_reply_that_nothing_asked_for_is_an_error(state: State, data: bytes) -> None:
    one = connection(state)

    with pytest.raises(UnexpectedReply):
        one.receive(data)
    assert one.state is State.FAILED


def test_a_frame_above_the_limit_is_an_error() -> None:
    one = ClientConnection(Message, frame_bytes_max=100)

    with pytest.raises(FrameTooLarge):
        one.receive(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_frame_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(BadFrame):
        connection(State.SUBSCRIBED).receive(b"\x00\x00\x00\x04\x00\x00\x00\x07")


def test_an_error_of_an_unknown_code_keeps_its_text_and_counts_as_fatal() -> None:
    error = decode_error(b"E_NEW something " + b"x" * 10_000)

    assert isinstance(error, UnknownError)
    assert error.fatal
    assert str(error).startswith("E_NEW something xxx")
    assert len(str(error)) == 500


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_chunking_gives_the_same_events(seed: int) -> None:
    rng = random.Random(seed)
    kinds = [rng.choice(["message", "heartbeat", "ok", "late"]) for _ in range(rng.randrange(1, 20))]
    stream = b"".join(
        {
            "message": message_frame(rng.randbytes(rng.randrange(50))),
            "heartbeat": encode_frame(RESPONSE, b"_heartbeat_"),
            "ok": OK,
            "late": encode_frame(ERROR, b"E_REQ_FAILED late"),
        }[kind]
        for kind in kinds
    )
    one = connection(State.SUBSCRIBED)
    for _ in range(kinds.count("ok")):
        one.send(Pub("t", b"x"))

    counts = {"message": 0, "heartbeat": 0, "ok": 0, "late": 0}
    while stream:
        size = rng.randrange(1, 40)
        for event in one.receive(stream[:size]):
            match event:
                case Received():
                    counts["message"] += len(event.messages)
                case Published():
                    counts["ok"] += event.count
                case Heartbeat():
                    counts["heartbeat"] += 1
                case AnswerRefused():
                    counts["late"] += 1
        stream = stream[size:]

    assert counts == {kind: kinds.count(kind) for kind in counts}


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), state=st.sampled_from([State.IDENTIFYING, State.READY, State.SUBSCRIBED]))
def test_random_bytes_give_events_or_a_documented_error(data: bytes, state: State) -> None:
    try:
        connection(state).receive(data)
    except MillstreamError:
        pass
