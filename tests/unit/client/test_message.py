"""`client.message`: one answer per message, given to where it came from."""

import pytest

from millstream.base.errors import UsageError
from millstream.client import Message


class Source:
    """Notes what it is told."""

    topic = "events"
    channel = "work"
    nsqd_address = "127.0.0.1:4150"

    def __init__(self) -> None:
        self.calls: list[object] = []

    def finish(self, message: Message) -> None:
        self.calls.append(("finish", message.id))

    def requeue(self, message: Message, delay_ms: int | None, *, backoff: bool) -> None:
        self.calls.append(("requeue", message.id, delay_ms, backoff))

    def touch(self, message: Message) -> None:
        self.calls.append(("touch", message.id))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def message(source: Source) -> Message:
    return Message(b"0123456789abcdef", b"body", 7, 2, source)


def test_it_knows_where_it_came_from(message: Message) -> None:
    assert (message.topic, message.channel, message.nsqd_address) == ("events", "work", "127.0.0.1:4150")


def test_finish_goes_to_the_source_once(message: Message, source: Source) -> None:
    message.touch()
    message.finish()

    assert message.has_responded
    with pytest.raises(UsageError):
        message.finish()
    assert source.calls == [("touch", message.id), ("finish", message.id)]


@pytest.mark.parametrize(("delay_ms", "backoff"), [(None, True), (0, False), (500, True)])
def test_requeue_goes_to_the_source_once(
    message: Message, source: Source, delay_ms: int | None, *, backoff: bool
) -> None:
    message.requeue(delay_ms, backoff=backoff)

    with pytest.raises(UsageError):
        message.requeue()
    assert source.calls == [("requeue", message.id, delay_ms, backoff)]


def test_a_touch_after_the_answer_does_nothing(message: Message, source: Source) -> None:
    message.finish()
    message.touch()

    assert source.calls == [("finish", message.id)]


def test_a_negative_delay_leaves_the_message_unanswered(message: Message, source: Source) -> None:
    with pytest.raises(UsageError):
        message.requeue(-1)

    assert not message.has_responded
    assert source.calls == []
