import pytest

from millstream.base.errors import UsageError
from millstream.queuereader.message import TAKEN_BACK, LocalMessage, NsqMessage, Touch
from millstream.queuereader.verdict import FINISH, REQUEUE, Requeue


def make() -> tuple[NsqMessage, list[NsqMessage | Touch]]:
    sent: list[NsqMessage | Touch] = []
    return NsqMessage(LocalMessage(b"{}", attempts=2), sent.append), sent


def test_a_message_shows_what_nsq_says_about_it() -> None:
    message, _ = make()

    assert (message.body, message.attempts, message.id) == (b"{}", 2, b"0" * 16)
    assert not message.has_responded


def test_finish_answers_once() -> None:
    message, sent = make()

    message.finish()

    assert message.verdict is FINISH
    assert sent == [message]
    with pytest.raises(UsageError):
        message.requeue()
    assert sent == [message]


def test_requeue_keeps_delay_and_backoff() -> None:
    message, _ = make()

    message.requeue(2_000, backoff=False)

    assert isinstance(message.verdict, Requeue)
    assert (message.verdict.delay_ms, message.verdict.backoff) == (2_000, False)


def test_the_framework_does_not_answer_what_the_handler_answered() -> None:
    message, sent = make()

    message.finish()
    message.answer(REQUEUE)

    assert message.verdict is FINISH
    assert sent == [message]


def test_a_handler_that_is_too_late_is_ignored() -> None:
    message, sent = make()

    message.answer(TAKEN_BACK)
    message.finish()

    assert message.verdict is TAKEN_BACK
    assert sent == [message]


def test_touch_is_passed_on_until_the_answer() -> None:
    message, sent = make()

    message.touch()
    message.finish()
    message.touch()

    assert sent == [Touch(message), message]
