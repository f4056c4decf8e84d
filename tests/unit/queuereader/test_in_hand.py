import asyncio

from millstream.queuereader.in_hand import InHand
from millstream.queuereader.message import LocalMessage, NsqMessage
from millstream.queuereader.verdict import FINISH


def message(*, taken_ns: int = 0, started_ns: int = 0) -> NsqMessage:
    made = NsqMessage(LocalMessage(b"{}"), lambda _: None, taken_ns)
    made.started_ns = started_ns
    return made


def in_hand(*messages: NsqMessage) -> InHand:
    hand = InHand(touch_interval_ns=20, handler_timeout_ns=100)
    hand.add(messages)
    return hand


def test_a_message_is_touched_at_each_interval_also_while_it_waits() -> None:
    waiting, running = message(), message(started_ns=1)
    hand = in_hand(waiting, running)

    assert hand.tick(19).touch == []
    assert set(hand.tick(20).touch) == {waiting, running}
    assert hand.tick(39).touch == []
    assert set(hand.tick(40).touch) == {waiting, running}


def test_a_handler_that_takes_too_long_expires_once_and_is_not_touched_after() -> None:
    running = message(started_ns=5)
    hand = in_hand(running)

    assert hand.tick(104).expired == []
    assert hand.tick(105).expired == [running]
    assert hand.tick(500) == ([], [])


def test_a_message_that_waits_never_expires() -> None:
    assert in_hand(message()).tick(1_000_000).expired == []


def test_an_answered_message_whose_event_is_being_published_is_touched_and_does_not_expire() -> None:
    published = message(started_ns=1)
    published.answer(FINISH)

    assert in_hand(published).tick(1_000) == ([published], [])


def test_waiting_are_those_that_no_handler_has_begun_with() -> None:
    waiting, running, answered = message(), message(started_ns=1), message()
    answered.answer(FINISH)

    assert in_hand(waiting, running, answered).waiting() == [waiting]


async def test_wait_empty_returns_when_the_last_one_is_answered() -> None:
    first, second = message(), message()
    hand = in_hand(first, second)
    emptied = asyncio.ensure_future(hand.wait_empty())

    hand.discard(first)
    await asyncio.sleep(0)
    assert not emptied.done()

    hand.discard(second)
    await asyncio.wait_for(emptied, 20)
    assert len(hand) == 0
