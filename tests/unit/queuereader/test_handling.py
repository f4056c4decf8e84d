import logging
from functools import partial
from typing import Any

import pytest

from millstream.base.errors import UsageError
from millstream.queuereader.decode import decoder_for
from millstream.queuereader.handling import Handler, Handling, Validator, is_async
from millstream.queuereader.message import LocalMessage, NsqMessage
from millstream.queuereader.middleware import Next
from millstream.queuereader.verdict import FINISH, REQUEUE, Finish, GiveUp, Reject, Requeue, Verdict

BODY = b'{"o": "+"}'


def handling(handler: Handler, validate: Validator | None = None, *, max_attempts: int = 0) -> Handling:
    return Handling(
        reader_name="spam", handler=handler, decode=decoder_for(dict), validate=validate, max_attempts=max_attempts
    )


def handle(
    handler: Handler, body: bytes = BODY, validate: Validator | None = None, *, attempts: int = 1, max_attempts: int = 0
) -> NsqMessage:
    message = NsqMessage(LocalMessage(body, attempts), lambda _: None)
    handling(handler, validate, max_attempts=max_attempts).handle(message)
    return message


def returning(result: object) -> Handler:
    return lambda _event, _nsq_msg: result


def test_the_handler_gets_the_decoded_dict_and_the_message() -> None:
    seen: list[Any] = []

    message = handle(lambda event, nsq_msg: seen.extend((event, nsq_msg)))

    assert seen == [{"o": "+"}, message]
    assert message.verdict is FINISH
    assert message.was_handled


def test_what_the_handler_answers_itself_counts() -> None:
    def requeue(_: Any, nsq_msg: NsqMessage) -> bool:
        nsq_msg.requeue(50)
        return True

    verdict = handle(requeue).verdict

    assert isinstance(verdict, Requeue)
    assert verdict.delay_ms == 50


@pytest.mark.parametrize(
    ("result", "verdict"), [(None, Finish), (True, Finish), (False, Requeue), (GiveUp("x"), GiveUp)]
)
def test_the_return_value_decides_when_the_handler_answers_nothing(result: object, verdict: type[Verdict]) -> None:
    assert isinstance(handle(returning(result)).verdict, verdict)


def test_a_raised_verdict_is_no_failure() -> None:
    def later(_: Any, __: NsqMessage) -> None:
        raise Requeue(5, backoff=False)

    message = handle(later)

    assert isinstance(message.verdict, Requeue)
    assert message.verdict.delay_ms == 5
    assert not message.has_failed


def test_an_exception_requeues_with_backoff_and_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: Any, __: NsqMessage) -> None:
        raise KeyError("missing")

    message = handle(fail)

    assert message.verdict is REQUEUE
    assert message.has_failed
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].levelno == logging.ERROR


def test_an_exception_after_the_answer_leaves_the_answer() -> None:
    def fail(_: Any, nsq_msg: NsqMessage) -> None:
        nsq_msg.finish()
        raise KeyError("missing")

    assert handle(fail).verdict is FINISH


def test_what_the_validator_refuses_is_rejected_at_debug_and_never_handled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "millstream")

    message = handle(returning(None), validate=lambda event: "l" in event)

    assert isinstance(message.verdict, Reject)
    assert not message.was_handled
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'"text"', b"{" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_object_is_rejected_with_a_warning(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    message = handle(returning(None), body=body, validate=lambda event: event["l"])

    assert isinstance(message.verdict, Reject)
    assert not message.was_handled
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_validator_that_raises_requeues() -> None:
    message = handle(returning(None), validate=lambda event: event["missing"])

    assert message.verdict is REQUEUE
    assert message.has_failed


def test_what_was_delivered_too_often_is_given_up_loudly(caplog: pytest.LogCaptureFixture) -> None:
    message = handle(returning(None), attempts=4, max_attempts=3)

    assert isinstance(message.verdict, GiveUp)
    assert not message.was_handled
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert handle(returning(None), attempts=3, max_attempts=3).verdict is FINISH


async def test_an_async_handler_is_awaited() -> None:
    async def later(event: Any, _: NsqMessage) -> Verdict:
        return Requeue(len(event))

    message = NsqMessage(LocalMessage(BODY), lambda _: None)
    await handling(later).handle_async(message)

    assert isinstance(message.verdict, Requeue)
    assert message.verdict.delay_ms == 1


async def test_an_async_handler_that_raises_requeues() -> None:
    async def fail(_: Any, __: NsqMessage) -> None:
        raise OSError("no database")

    message = NsqMessage(LocalMessage(BODY), lambda _: None)
    await handling(fail).handle_async(message)

    assert message.verdict is REQUEUE
    assert message.has_failed


def test_a_message_that_was_taken_back_is_not_handled() -> None:
    message = NsqMessage(LocalMessage(BODY), lambda _: None)
    message.answer(REQUEUE)

    handling(returning(None)).handle(message)

    assert not message.was_handled


def publishing(handler: Handler) -> Handling:
    return Handling(reader_name="spam", handler=handler, decode=decoder_for(dict), publishes=True)


def test_what_a_publishing_handler_returns_is_an_event() -> None:
    message = NsqMessage(LocalMessage(BODY), lambda _: None)

    publishing(returning({"l": 1})).handle(message)

    assert message.events == [b'{"l":1}']
    assert message.verdict is FINISH


@pytest.mark.parametrize(
    ("result", "verdict"), [(None, Finish), (True, Finish), (False, Requeue), (Requeue(1), Requeue)]
)
def test_a_publishing_handler_may_return_a_verdict_or_nothing(result: object, verdict: type[Verdict]) -> None:
    message = NsqMessage(LocalMessage(BODY), lambda _: None)

    publishing(returning(result)).handle(message)

    assert message.events is None
    assert isinstance(message.verdict, verdict)


def test_an_event_that_cannot_be_published_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    message = NsqMessage(LocalMessage(BODY), lambda _: None)

    publishing(returning(object())).handle(message)

    assert message.verdict is REQUEUE
    assert "cannot be published" in caplog.text


async def test_middleware_sees_the_event_and_changes_the_verdict() -> None:
    async def give_up(message: NsqMessage, next_: Next) -> Verdict:
        assert message.event == {"o": "+"}
        assert await next_(message) is FINISH
        return GiveUp("for good")

    onion = Handling(reader_name="spam", handler=returning(None), decode=decoder_for(dict), middleware=[give_up])
    message = NsqMessage(LocalMessage(BODY), lambda _: None)
    await onion.handle_async(message)

    assert isinstance(message.verdict, GiveUp)


async def test_a_middleware_that_returns_no_verdict_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def forgetful(message: NsqMessage, next_: Next) -> Any:
        await next_(message)

    onion = Handling(reader_name="spam", handler=returning(None), decode=decoder_for(dict), middleware=[forgetful])
    message = NsqMessage(LocalMessage(BODY), lambda _: None)
    await onion.handle_async(message)

    assert message.verdict is REQUEUE
    assert "no Verdict" in caplog.text


def test_a_sync_handler_that_returns_an_awaitable_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    class Awaitable:
        def __await__(self) -> Any:
            raise UsageError("never awaited")

    assert handle(returning(Awaitable())).verdict is REQUEUE
    assert "async def" in caplog.text


def test_async_handlers_are_recognised_in_all_their_forms() -> None:
    async def function(event: Any, nsq_msg: NsqMessage) -> None: ...

    class Callable:
        async def __call__(self, event: Any, nsq_msg: NsqMessage) -> None: ...

    class Plain:
        def __call__(self, event: Any, nsq_msg: NsqMessage) -> None: ...

    assert is_async(function)
    assert is_async(partial(function, {}))
    assert is_async(Callable())
    assert not is_async(Plain())
    assert not is_async(returning(None))
