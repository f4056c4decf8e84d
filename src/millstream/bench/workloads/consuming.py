"""Workloads that consume: one or many subscribers, while publishing, with requeues, through TLS and compression."""

from collections.abc import Callable, Mapping
from typing import Any

from millstream.bench.loads.publish import PublishPlan
from millstream.bench.loads.subscribe import SubscribePlan
from millstream.bench.outcome import CPU, RATE, Outcome
from millstream.bench.started import restarted
from millstream.bench.trial import BATCH, BATCHES_AT_ONCE, BODY_BYTES, CHANNEL, Trial, body_of
from millstream.protocol.commands import Mpub

RDY_MAX = 2500
REQUEUE_EVERY = 10
TOPICS_BATCH = 10
TOPICS_RDY = 100
TOPICS_AT_ONCE = 100


def drain(subscribers: int, rdy: int, *, requeue_every: int = 0) -> Callable[[Trial], Outcome]:
    """So many subscribers finish what waits in a channel."""

    def run(trial: Trial) -> Outcome:
        body = body_of(BODY_BYTES)
        with trial.topics(trial.topic):
            messages = trial.fill(trial.topic, trial.messages, body)
            plan = SubscribePlan(
                address=trial.broker.address,
                places=((trial.topic, CHANNEL),) * subscribers,
                messages=messages,
                body=body,
                rdy=rdy,
                requeue_every=requeue_every,
            )
            outcome = trial.run({"sub": plan}, messages=messages)
            requeued = messages // requeue_every if requeue_every else 0
            trial.broker.check_drained(trial.topic, CHANNEL, messages, requeued)
        return outcome

    return run


def drain_cold(body_bytes: int) -> Callable[[Trial], Outcome]:
    """The same behind a restart: the broker has nothing of it in its memory."""

    def run(trial: Trial) -> Outcome:
        body = body_of(body_bytes)
        with trial.topics(trial.topic):
            messages = trial.fill(trial.topic, trial.messages, body)
            with restarted(trial.broker):
                pass
            plan = SubscribePlan(
                address=trial.broker.address,
                places=((trial.topic, CHANNEL),),
                messages=messages,
                body=body,
                rdy=RDY_MAX,
            )
            return trial.run({"sub": plan}, messages=messages)

    return run


def both(channels: int) -> Callable[[Trial], Outcome]:
    """Publishing and consuming at once: MPUBs of 200 over one connection, and one subscriber on each channel."""

    def run(trial: Trial) -> Outcome:
        names = tuple(f"{CHANNEL}{number}" for number in range(channels))
        body = body_of(BODY_BYTES)
        publish = PublishPlan(
            address=trial.broker.address,
            cycle=(Mpub(trial.topic, [body] * BATCH).encode(),),
            commands=max(1, trial.messages // BATCH),
            batch=BATCH,
            at_once=BATCHES_AT_ONCE,
        )
        subscribe = SubscribePlan(
            address=trial.broker.address,
            places=tuple((trial.topic, name) for name in names),
            messages=publish.messages * channels,
            body=body,
            rdy=RDY_MAX,
        )
        with trial.topics(trial.topic, channels=names):
            outcome = trial.run({"sub": subscribe, "pub": publish}, messages=publish.messages)
            for name in names:
                trial.broker.check_drained(trial.topic, name, publish.messages)
        return outcome

    return run


def through(line: str, wishes: Mapping[str, Any] | None = None) -> Callable[[Trial], Outcome]:
    """MPUB, then SUB, both over that kind of line, added up."""

    def run(trial: Trial) -> Outcome:
        body = body_of(BODY_BYTES)
        publish = PublishPlan(
            address=trial.broker.address,
            cycle=(Mpub(trial.topic, [body] * BATCH).encode(),),
            commands=max(1, trial.messages // BATCH),
            batch=BATCH,
            at_once=BATCHES_AT_ONCE,
            line=line,
        )
        subscribe = SubscribePlan(
            address=trial.broker.address,
            places=((trial.topic, CHANNEL),),
            messages=publish.messages,
            body=body,
            rdy=RDY_MAX,
            line=line,
            wishes=wishes or {},
        )
        with trial.topics(trial.topic):
            first = trial.run({"pub": publish}, messages=publish.messages).figures
            second = trial.run({"sub": subscribe}, messages=publish.messages).figures
            trial.broker.check_drained(trial.topic, CHANNEL, publish.messages)
        rate = 1 / (1 / first[RATE] + 1 / second[RATE])
        return Outcome({**second, RATE: rate, CPU: first[CPU] + second[CPU]})

    return run


def many_topics(topics: int) -> Callable[[Trial], Outcome]:
    """MPUBs of 10 to so many topics in turn, each with a channel and a subscriber of its own."""

    def run(trial: Trial) -> Outcome:
        body = body_of(BODY_BYTES)
        names = tuple(f"{trial.topic}.{number:05}" for number in range(topics))
        commands = max(1, trial.messages // TOPICS_BATCH // topics) * topics
        publish = PublishPlan(
            address=trial.broker.address,
            cycle=tuple(Mpub(name, [body] * TOPICS_BATCH).encode() for name in names),
            commands=commands,
            batch=TOPICS_BATCH,
            at_once=TOPICS_AT_ONCE,
        )
        subscribe = SubscribePlan(
            address=trial.broker.address,
            places=tuple((name, CHANNEL) for name in names),
            messages=publish.messages,
            body=body,
            rdy=TOPICS_RDY,
        )
        trial.make_topics(*names)
        outcome = trial.run({"sub": subscribe, "pub": publish}, messages=publish.messages)
        trial.broker.check_drained(names[0], CHANNEL, publish.messages // topics)
        return outcome

    return run
