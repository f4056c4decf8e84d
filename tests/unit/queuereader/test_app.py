from typing import Any

import msgspec
import pytest

from millstream.base.errors import UsageError
from millstream.queuereader.app import App
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.middleware import Next
from millstream.queuereader.verdict import FINISH, Reject, Requeue, Verdict


class Click(msgspec.Struct):
    hash: str


class SpamDecision(msgspec.Struct):
    hash: str
    o: str


async def test_a_message_is_decoded_to_the_annotation_and_the_return_value_is_an_event() -> None:
    app = App("spam")

    @app.reader("clicks", "spam", publish_to="spam_api")
    async def judge(click: Click) -> SpamDecision | None:
        return SpamDecision(click.hash, "+") if click.hash == "bad" else None

    spam = await app.readers[0].handle_bytes_async(b'{"hash": "bad"}')
    fine = await app.readers[0].handle_bytes_async(b'{"hash": "fine"}')
    wrong = await app.readers[0].handle_bytes_async(b'{"hash": 5}')

    assert (spam.verdict, spam.events) == (FINISH, [b'{"hash":"bad","o":"+"}'])
    assert (fine.verdict, fine.events) == (FINISH, None)
    assert isinstance(wrong.verdict, Reject)
    assert await judge(Click("bad")) == SpamDecision("bad", "+")


def test_a_sync_function_may_take_the_message_too() -> None:
    app = App("spam")

    @app.reader("clicks", "spam")
    def judge(event: dict[str, Any], nsq_msg: NsqMessage) -> Verdict:
        return Requeue(len(event) + nsq_msg.attempts)

    verdict = app.readers[0].handle_bytes(b'{"a": 1}', attempts=3).verdict

    assert isinstance(verdict, Requeue)
    assert verdict.delay_ms == 4


def test_a_second_parameter_with_a_default_is_the_functions_own() -> None:
    app = App("spam")

    @app.reader("clicks", "spam")
    def judge(event: dict[str, Any], limit: int = 3) -> Verdict:
        return Requeue(limit * len(event))

    verdict = app.readers[0].handle_bytes(b'{"a": 1}').verdict

    assert isinstance(verdict, Requeue)
    assert verdict.delay_ms == 3


def test_without_annotation_the_event_is_a_dict() -> None:
    app = App("spam")
    seen: list[Any] = []

    @app.reader("clicks", "spam")
    def keep(event):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - that is the case
        seen.append(event)

    app.readers[0].handle_bytes(b'{"a": 1}')

    assert seen == [{"a": 1}]


async def test_the_middleware_of_the_app_is_outside() -> None:
    notes: list[str] = []

    def layer(name: str) -> Any:
        async def note(message: NsqMessage, next_: Next) -> Verdict:
            notes.append(name)
            return await next_(message)

        return note

    app = App("spam", middleware=[layer("app")])

    @app.reader("clicks", "spam", middleware=[layer("reader")])
    async def judge(_: Click) -> None: ...

    await app.readers[0].handle_bytes_async(b'{"hash": "a"}')

    assert notes == ["app", "reader"]


@pytest.mark.parametrize("function", [lambda: None, lambda _a, _b, _c: None])
def test_a_function_that_cannot_be_called_with_an_event_is_refused(function: Any) -> None:
    with pytest.raises(UsageError):
        App("spam").reader("clicks", "spam")(function)


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    def judge(click: "NoSuchClass") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is the case

    with pytest.raises(UsageError, match="NoSuchClass"):
        App("spam").reader("clicks", "spam")(judge)


def test_addresses_of_the_app_hold_for_its_readers() -> None:
    app = App("spam", lookupd_http_addresses="a:4161")
    app.reader("clicks", "spam")(lambda _: None)

    assert app.readers[0].addresses() == ((), ("a:4161",))
