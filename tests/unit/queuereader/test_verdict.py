import pytest

from millstream.base.errors import UsageError
from millstream.queuereader.verdict import FINISH, REQUEUE, Finish, GiveUp, Requeue, verdict_of


@pytest.mark.parametrize("result", [None, True, "done", 1, 0, "", [], {"a": 1}])
def test_everything_but_false_finishes(result: object) -> None:
    assert verdict_of(result) is FINISH


def test_false_requeues_with_backoff() -> None:
    assert verdict_of(False) is REQUEUE
    assert REQUEUE.delay_ms is None
    assert REQUEUE.backoff


@pytest.mark.parametrize("verdict", [Finish(), Requeue(250), GiveUp("no such user")])
def test_a_verdict_is_itself(verdict: Finish | Requeue | GiveUp) -> None:
    assert verdict_of(verdict) is verdict


def test_a_verdict_may_be_raised_and_keeps_its_values() -> None:
    with pytest.raises(Requeue) as raised:
        raise Requeue(1_500, backoff=False)

    assert raised.value.delay_ms == 1_500
    assert not raised.value.backoff


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(UsageError):
        Requeue(-1)
