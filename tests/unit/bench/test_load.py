"""A load process serves plan after plan, and says what went wrong."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from millstream.base.units import Address
from millstream.bench import wire
from millstream.bench.load import LoadProcess
from millstream.bench.loads.publish import PublishPlan
from millstream.bench.wire import LoadFailed

Answering = Callable[..., AbstractContextManager[Address]]

OK = wire.response(wire.OK)


def plan_for(address: Address) -> PublishPlan:
    return PublishPlan(address=address, cycle=(b"PUB t\n\0\0\0\1x",), commands=1, batch=1, at_once=1)


@pytest.fixture
def process() -> Iterator[LoadProcess]:
    with LoadProcess(None) as started:
        yield started


def test_one_plan_after_the_other(process: LoadProcess, answering: Answering) -> None:
    for _ in range(2):
        with answering(OK, OK) as address:
            plan = plan_for(address)
            process.prepare(plan)
            process.go(20.0)

            result = process.result(plan, 20.0)

        assert result.messages == 1
        assert result.core_share > 0


def test_a_failure_is_told_and_the_process_goes_on(process: LoadProcess, answering: Answering) -> None:
    with pytest.raises(LoadFailed, match=r"PublishPlan: .*refused"):
        process.prepare(plan_for(Address("127.0.0.1", 9)))
    with answering(OK, wire.frame_head(wire.ERROR, 5) + b"E_BAD") as address:
        plan = plan_for(address)
        process.prepare(plan)
        process.go(20.0)

        with pytest.raises(LoadFailed, match="E_BAD"):
            process.result(plan, 20.0)


def test_another_count_than_planned_is_a_failure(process: LoadProcess, answering: Answering) -> None:
    with answering(OK, OK) as address:
        process.prepare(plan_for(address))
        process.go(20.0)
        other = PublishPlan(address=address, cycle=(b"",), commands=2, batch=1, at_once=1)

        with pytest.raises(LoadFailed, match="1 messages were handled, 2 expected"):
            process.result(other, 20.0)


def test_a_load_that_is_not_answered_is_given_up(process: LoadProcess, answering: Answering) -> None:
    with answering(OK) as address:
        plan = plan_for(address)
        process.prepare(plan)
        process.go(0.1)

        with pytest.raises(LoadFailed, match="in time"):
            process.result(plan, 20.0)
