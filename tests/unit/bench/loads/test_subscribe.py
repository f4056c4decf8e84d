"""Subscribers finish exactly what was published, and notice everything else."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from millstream.bench import wire
from millstream.bench.loads.subscribe import SubscribePlan
from millstream.bench.wire import LoadFailed

Answering = Callable[..., AbstractContextManager[wire.Address]]

OK = wire.response(wire.OK)
CLOSE_WAIT = wire.response(wire.CLOSE_WAIT)
BODY = b"body"


def message(number: int, body: bytes = BODY) -> bytes:
    payload = bytes(8) + b"\0\1" + b"%016x" % number + body
    return wire.frame_head(wire.MESSAGE, len(payload)) + payload


def run(address: wire.Address, messages: int, timeout_s: float = 20.0, requeue_every: int = 0) -> int:
    plan = SubscribePlan(
        address=address, places=(("t", "c"),), messages=messages, body=BODY, rdy=10, requeue_every=requeue_every
    )
    load = plan.build()
    try:
        return load.run(time.monotonic() + timeout_s)
    finally:
        load.close()


@pytest.mark.parametrize("count", [1, 3, 50])
def test_messages_are_finished_however_many_come_at_once(answering: Answering, count: int) -> None:
    frames = b"".join(message(number) for number in range(count))
    with answering(OK, OK, frames, CLOSE_WAIT) as address:
        assert run(address, count) == count


def test_heartbeats_between_messages_are_answered(answering: Answering) -> None:
    frames = message(1) + wire.response(wire.HEARTBEAT) + message(2)
    with answering(OK, OK, frames, CLOSE_WAIT) as address:
        assert run(address, 2) == 2


def test_what_is_requeued_is_not_finished(answering: Answering) -> None:
    with answering(OK, OK, message(1) + message(2), message(3), CLOSE_WAIT) as address:
        assert run(address, 2, requeue_every=2) == 2


def test_another_body_is_noticed(answering: Answering) -> None:
    with answering(OK, OK, message(1, b"BODY")) as address, pytest.raises(LoadFailed, match="another body"):
        run(address, 1)


def test_a_message_too_many_is_noticed(answering: Answering) -> None:
    with answering(OK, OK, message(1) + message(2)) as address, pytest.raises(LoadFailed, match="2 messages came"):
        run(address, 1)


def test_an_error_is_told(answering: Answering) -> None:
    error = wire.frame_head(wire.ERROR, 5) + b"E_BAD"
    with answering(OK, OK, error) as address, pytest.raises(LoadFailed, match="E_BAD"):
        run(address, 1)


def test_a_broker_that_sends_nothing_has_its_time(answering: Answering) -> None:
    with answering(OK, OK) as address, pytest.raises(LoadFailed, match="0 of 1"):
        run(address, 1, timeout_s=0.05)
