"""Workloads that publish: batches, pipelined, one at a time, deferred, over HTTP."""

from collections.abc import Callable

from millstream.bench.loads.publish import PublishPlan
from millstream.bench.loads.requests import RequestPlan, http_request
from millstream.bench.outcome import Outcome
from millstream.bench.trial import BATCH, BATCHES_AT_ONCE, BODY_BYTES, Trial, body_of
from millstream.protocol.commands import Dpub, Mpub, Pub

PIPELINED_AT_ONCE = 1000
HTTP_BATCH = 100
DELAY_MS = 600_000


def mpub(body_bytes: int) -> Callable[[Trial], Outcome]:
    """MPUBs of 200 messages to a topic with one channel, at most 16 without their OK."""

    def run(trial: Trial) -> Outcome:
        command = Mpub(trial.topic, [body_of(body_bytes)] * BATCH).encode()
        plan = PublishPlan(
            address=trial.broker.address,
            cycle=(command,),
            commands=max(1, trial.messages // BATCH),
            batch=BATCH,
            at_once=BATCHES_AT_ONCE,
        )
        return _published(trial, plan)

    return run


def pipelined(trial: Trial) -> Outcome:
    """PUBs over one connection, at most 1,000 without their OK."""
    return _published(trial, _one_by_one(trial, Pub(trial.topic, body_of(BODY_BYTES)).encode()))


def deferred(trial: Trial) -> Outcome:
    """DPUBs over one connection, due in ten minutes."""
    plan = _one_by_one(trial, Dpub(trial.topic, DELAY_MS, body_of(BODY_BYTES)).encode())
    with trial.topics(trial.topic):
        return trial.run({"pub": plan}, messages=plan.messages)


def request_response(connections: int, *, on_brokers_core: bool = False) -> Callable[[Trial], Outcome]:
    """PUBs over so many connections, each waiting for its OK."""

    def run(trial: Trial) -> Outcome:
        plan = RequestPlan(
            address=trial.broker.address,
            request=Pub(trial.topic, body_of(BODY_BYTES)).encode(),
            connections=connections,
            requests=trial.messages,
        )
        return _published(trial, plan, on_brokers_core=on_brokers_core)

    return run


def http(connections: int, *, batch: int = 1) -> Callable[[Trial], Outcome]:
    """`/pub`, or `/mpub` of that many lines, over so many connections that are kept."""

    def run(trial: Trial) -> Outcome:
        path = f"/mpub?topic={trial.topic}" if batch > 1 else f"/pub?topic={trial.topic}"
        body = b"\n".join([body_of(BODY_BYTES)] * batch)
        plan = RequestPlan(
            address=trial.broker.http,
            request=http_request(trial.broker.http, path, body),
            connections=connections,
            requests=max(connections, trial.messages // batch),
            batch=batch,
            is_http=True,
        )
        return _published(trial, plan)

    return run


def _one_by_one(trial: Trial, command: bytes) -> PublishPlan:
    return PublishPlan(
        address=trial.broker.address, cycle=(command,), commands=trial.messages, batch=1, at_once=PIPELINED_AT_ONCE
    )


def _published(trial: Trial, plan: PublishPlan | RequestPlan, *, on_brokers_core: bool = False) -> Outcome:
    with trial.topics(trial.topic):
        outcome = trial.run({"pub": plan}, messages=plan.messages, on_brokers_core=on_brokers_core)
        stats = trial.broker.stats(trial.topic)
        trial.check(stats["message_count"], plan.messages, "messages are in the topic")
        trial.check(stats["channels"][0]["depth"], plan.messages, "messages wait in the channel")
    return outcome
