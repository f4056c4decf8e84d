import pytest

from millstream.demo.spam_metrics.queuereader_spam_metrics import count_spam_actions, validate_message
from millstream.queuereader import Finish, Reader, Reject
from millstream.queuereader.reader import Registry


def _reader() -> Reader:
    return Reader(
        topic="spam_api",
        channel="queuereader_spam_metrics",
        validate_method=validate_message,
        message_handler=count_spam_actions,
        registry=Registry(),
    )


@pytest.mark.parametrize("body", [b'{"id": "e1", "o": "+", "l": "me"}', b'{"o": "-", "l": "me", "bl": ""}'])
def test_a_decision_is_counted_and_finished(body: bytes) -> None:
    assert isinstance(_reader().handle_bytes(body).verdict, Finish)


@pytest.mark.parametrize("body", [b"{}", b'{"o": "*", "l": "me"}', b'{"o": "+"}', b'{"o": [], "l": "me"}', b"broken"])
def test_what_is_no_decision_is_rejected(body: bytes) -> None:
    assert isinstance(_reader().handle_bytes(body).verdict, Reject)
