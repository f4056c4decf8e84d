from millstream.queuereader.message import LocalMessage, NsqMessage
from millstream.queuereader.middleware import Middleware, Next, compose, timing
from millstream.queuereader.verdict import FINISH, REQUEUE, Verdict


async def finish(_: NsqMessage) -> Verdict:
    return FINISH


def note(name: str, notes: list[str]) -> Middleware:
    async def layer(message: NsqMessage, next_: Next) -> Verdict:
        notes.append(f"{name} in")
        verdict = await next_(message)
        notes.append(f"{name} out")
        return verdict

    return layer


def message() -> NsqMessage:
    return NsqMessage(LocalMessage(b"{}"), lambda _: None)


async def test_the_first_middleware_is_outermost() -> None:
    notes: list[str] = []

    verdict = await compose([note("a", notes), note("b", notes)], finish)(message())

    assert verdict is FINISH
    assert notes == ["a in", "b in", "b out", "a out"]


async def test_a_middleware_may_answer_instead_of_the_handler() -> None:
    async def requeue(_: NsqMessage, __: Next) -> Verdict:
        return REQUEUE

    assert await compose([requeue], finish)(message()) is REQUEUE


async def test_timing_leaves_the_verdict_alone() -> None:
    assert await compose([timing("handler")], finish)(message()) is FINISH
