"""`nsqd.replies`: OKs in the order of the commands, when the log says so."""

from collections.abc import Callable

import pytest

from millstream.engine.log import ForgetfulProgress
from millstream.engine.topic import Topic
from millstream.nsqd.replies import OK_FRAME, Replies, outcome_of, publish_failed
from millstream.protocol.chunks import BufferPool, ChunkQueue
from millstream.protocol.parser import PUBLISH, PUBLISH_BATCH, PUBLISH_DEFERRED


def topic(name: str = "t") -> Topic:
    return Topic(name, ChunkQueue(BufferPool(), 50), ForgetfulProgress())


def publish(replies: Replies, to: Topic, kind: int = PUBLISH) -> None:
    to.publish(bytearray(b"x"), 0, 1, 1)
    replies.published(to, kind, 1)


def fail(to: Topic) -> None:
    """What a log does when the disk refuses its tail."""
    log = to.log
    log.cut_seq = log.next_seq = log.durable_seq
    log.epoch += 1


def test_a_publish_is_answered_when_it_is_durable() -> None:
    replies, one = Replies(), topic()
    publish(replies, one)
    publish(replies, one)

    assert replies.take() == (b"", None)
    assert (replies.is_empty, replies.waiting) == (False, 2)
    one.commit()
    assert replies.take() == (OK_FRAME * 2, None)
    assert (replies.is_empty, replies.waiting) == (True, 0)
    assert replies.take() == (b"", None)


def test_a_frame_waits_behind_what_is_owed() -> None:
    replies, one = Replies(), topic()
    publish(replies, one)
    replies.then(b"frame")

    assert replies.take() == (b"", None)
    one.commit()
    assert replies.take() == (OK_FRAME + b"frame", None)
    assert replies.is_empty


def test_a_second_topic_waits_for_the_first() -> None:
    replies, slow, fast = Replies(), topic("slow"), topic("fast")
    publish(replies, slow)
    publish(replies, fast)
    fast.commit()

    assert replies.take() == (b"", None)
    slow.commit()
    assert replies.take() == (OK_FRAME * 2, None)


def test_publishing_goes_on_while_a_run_waits() -> None:
    replies, one = Replies(), topic()
    publish(replies, one)
    assert replies.take() == (b"", None)
    publish(replies, one)
    one.commit()

    assert replies.take() == (OK_FRAME * 2, None)


def test_oks_of_one_run_are_taken_at_once_and_everything_else_is_not() -> None:
    replies, one = Replies(), topic()
    assert replies.take_oks() is None
    publish(replies, one)
    assert replies.take_oks() is None
    one.commit()
    assert replies.take_oks() == OK_FRAME
    assert (replies.is_empty, replies.waiting, replies.take()) == (True, 0, (b"", None))

    for _ in range(3):
        publish(replies, one)
    one.commit()
    assert replies.take_oks() == OK_FRAME * 3

    publish(replies, one)
    publish(replies, one, PUBLISH_BATCH)
    one.commit()
    assert replies.take_oks() is None
    assert replies.take() == (OK_FRAME * 2, None)
    publish(replies, one, PUBLISH_BATCH)
    replies.then(b"frame")
    one.commit()
    assert replies.take_oks() is None
    assert replies.take() == (OK_FRAME + b"frame", None)
    assert replies.message_counts() == {"t": 7}


def test_a_failure_of_the_run_before_does_not_touch_the_next() -> None:
    replies, one = Replies(), topic()
    publish(replies, one)
    one.commit()
    assert replies.take_oks() == OK_FRAME
    fail(one)
    publish(replies, one)
    one.commit()
    assert replies.take_oks() == OK_FRAME

    publish(replies, one)
    fail(one)
    assert replies.take_oks() is None
    data, error = replies.take()
    assert (data, error is None) == (b"", False)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (PUBLISH, "E_PUB_FAILED PUB failed "),
        (PUBLISH_BATCH, "E_MPUB_FAILED MPUB failed "),
        (PUBLISH_DEFERRED, "E_DPUB_FAILED DPUB failed "),
    ],
)
@pytest.mark.shows("nsqd E_PUB_FAILED", "nsqd E_MPUB_FAILED", "nsqd E_DPUB_FAILED")
def test_what_the_log_forgot_ends_with_the_error_of_its_command(kind: int, text: str) -> None:
    replies, one = Replies(), topic()
    publish(replies, one, kind)
    fail(one)
    replies.then(b"never sent")

    data, error = replies.take()

    assert (data, str(error)) == (b"", text + "the log cannot be written")
    assert (replies.is_empty, replies.waiting) == (True, 0)
    assert str(publish_failed(kind, "why")) == text + "why"


def test_what_was_durable_before_a_failure_is_still_ok() -> None:
    replies, one = Replies(), topic()
    publish(replies, one)
    one.commit()
    replies.then(b"frame")
    publish(replies, one)
    fail(one)

    data, error = replies.take()

    assert data == OK_FRAME + b"frame"
    assert error is not None


def test_messages_are_counted_by_topic() -> None:
    replies, one, other = Replies(), topic("one"), topic("other")
    one.publish(bytearray(b"x"), 0, 1, 1)
    replies.published(one, PUBLISH_BATCH, 7)
    publish(replies, other)
    one.commit()
    other.commit()
    replies.take()
    publish(replies, one)
    one.commit()
    replies.take()

    assert replies.message_counts() == {"one": 8, "other": 1}


@pytest.mark.parametrize(
    ("change", "outcome"), [(lambda _: None, 0), (lambda one: one.commit(), 1), (fail, -1)], ids=["open", "done", "cut"]
)
def test_the_outcome_of_a_publish_is_read_off_its_log(change: Callable[[Topic], None], outcome: int) -> None:
    one = topic()
    epoch = one.log.epoch
    one.publish(bytearray(b"x"), 0, 1, 1)
    until = one.log.next_seq

    change(one)

    assert outcome_of(one.log, until, epoch) == outcome
