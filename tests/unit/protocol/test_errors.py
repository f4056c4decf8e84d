"""The error codes and what they do to a connection."""

import pytest

from millstream.protocol.errors import BadProtocol, BadTopic, CommandError, FinFailed


def test_the_frame_is_the_code_a_space_and_the_description() -> None:
    assert BadTopic('PUB topic name "a b" is not valid').encode() == b'E_BAD_TOPIC PUB topic name "a b" is not valid'


def test_without_a_description_the_frame_is_the_code_alone() -> None:
    assert BadProtocol().encode() == b"E_BAD_PROTOCOL"


def test_text_of_the_peer_goes_back_as_the_bytes_it_came_as() -> None:
    text = b"\xff\xfe".decode("utf-8", "surrogateescape")

    assert BadTopic(text).encode() == b"E_BAD_TOPIC \xff\xfe"


def test_only_a_failed_answer_to_a_message_leaves_the_connection_open() -> None:
    harmless = {code for code, error in CommandError.by_code.items() if not error.fatal}

    assert harmless == {"E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED"}


def test_every_code_of_nsq_has_its_class() -> None:
    codes = (
        "BAD_PROTOCOL INVALID BAD_BODY BAD_TOPIC BAD_CHANNEL BAD_MESSAGE PUB_FAILED MPUB_FAILED DPUB_FAILED "
        "SUB_FAILED IDENTIFY_FAILED AUTH_DISABLED AUTH_FAILED AUTH_FIRST AUTH_ERROR UNAUTHORIZED "
        "FIN_FAILED REQ_FAILED TOUCH_FAILED"
    )

    assert {f"E_{code}" for code in codes.split()} <= CommandError.by_code.keys()
    assert CommandError.by_code["E_FIN_FAILED"] is FinFailed


def test_a_code_cannot_be_defined_twice() -> None:
    with pytest.raises(TypeError, match="E_FIN_FAILED is defined twice"):
        type("Again", (CommandError,), {"code": "E_FIN_FAILED"})
