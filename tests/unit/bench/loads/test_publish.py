"""A publisher insists on an OK for every command."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from millstream.bench import wire
from millstream.bench.loads.publish import PublishPlan
from millstream.bench.wire import LoadFailed
from millstream.protocol.commands import Pub

Answering = Callable[..., AbstractContextManager[wire.Address]]

OK = wire.response(wire.OK)


def plan(address: wire.Address, commands: int) -> PublishPlan:
    return PublishPlan(address=address, cycle=(Pub("t", b"body").encode(),), commands=commands, batch=1, at_once=10)


def run(load: wire.Address, commands: int, timeout_s: float = 20.0) -> int:
    publisher = plan(load, commands).build()
    try:
        return publisher.run(time.monotonic() + timeout_s)
    finally:
        publisher.close()


def test_oks_are_counted_and_heartbeats_answered(answering: Answering) -> None:
    with answering(OK, OK + wire.response(wire.HEARTBEAT) + OK) as address:
        assert run(address, 2) == 2


def test_an_error_is_told(answering: Answering) -> None:
    with answering(OK, wire.frame_head(wire.ERROR, 5) + b"E_BAD") as address, pytest.raises(LoadFailed, match="E_BAD"):
        run(address, 2)


def test_one_ok_too_many_is_noticed(answering: Answering) -> None:
    with answering(OK, OK * 3) as address, pytest.raises(LoadFailed, match="3 OKs came for 2"):
        run(address, 2)


def test_a_broker_that_says_nothing_has_its_time(answering: Answering) -> None:
    with answering(OK) as address, pytest.raises(LoadFailed, match="in time"):
        run(address, 2, timeout_s=0.05)


def test_commands_of_a_cycle_have_one_length(answering: Answering) -> None:
    with answering(OK) as address, pytest.raises(LoadFailed, match="one length"):
        PublishPlan(address=address, cycle=(b"a", b"bb"), commands=2, batch=1, at_once=1).build()
