"""Workloads about time and memory: latency at a rate, what queues and connections that wait cost, a long steady run."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

from millstream.bench import wire
from millstream.bench.loads.paced import PacedPlan
from millstream.bench.outcome import CPU, HEAP, MIB, RATE, RESIDENT, Outcome
from millstream.bench.started import restarted
from millstream.bench.trial import BODY_BYTES, CHANNEL, Trial, body_of
from millstream.protocol.commands import Mpub, Rdy, Sub

FIRST: Final = "first message ms"
STATS: Final = "/stats ms"
EACH: Final = "KiB each"
DESCRIPTORS: Final = "descriptors each"
GROWTH: Final = "RSS growth"
P99_GROWTH: Final = "p99 growth"
DESCRIPTOR_GROWTH: Final = "descriptor growth"

MESSAGES_PER_TOPIC: Final = 10
STEADY_PARTS: Final = 10
STATS_ASKED: Final = 5


def latency(per_s: int) -> Callable[[Trial], Outcome]:
    """From a PUB's send to its arrival at the subscriber, who asked not to be buffered for."""

    def run(trial: Trial) -> Outcome:
        with trial.topics(trial.topic):
            outcome = _paced(trial, per_s, trial.messages)
            trial.broker.check_drained(trial.topic, CHANNEL, trial.messages)
        return outcome

    return run


def queued(trial: Trial) -> Outcome:
    """The heap with that many messages waiting; `heap MiB` is the growth."""
    with trial.topics(trial.topic):
        before = trial.broker.heap_bytes()
        trial.fill(trial.topic, trial.messages, body_of(BODY_BYTES))
        trial.broker.quiet_cpu_s()
        return Outcome({HEAP: (trial.broker.heap_bytes() - before) / MIB, RESIDENT: _resident_mib(trial)})


def backlog(trial: Trial) -> Outcome:
    """A long queue: the heap, how long `/stats` takes, and the time from a restart to the first message."""
    body = body_of(BODY_BYTES)
    with trial.topics(trial.topic):
        messages = trial.fill(trial.topic, trial.messages, body)
        trial.broker.quiet_cpu_s()
        took_s = []
        for _ in range(STATS_ASKED):
            asked_s = time.monotonic()
            depth = trial.broker.stats(trial.topic)["channels"][0]["depth"]
            took_s.append(time.monotonic() - asked_s)
            trial.check(depth, messages, "messages wait")
        figures = {HEAP: trial.broker.heap_bytes() / MIB, RESIDENT: _resident_mib(trial)}
        figures[STATS] = sorted(took_s)[STATS_ASKED // 2] * 1e3
        with restarted(trial.broker):
            started_s = time.monotonic()
        with _subscriber(trial, trial.topic, 1) as connection:
            connection.recv(1)
            figures[FIRST] = (time.monotonic() - started_s) * 1e3
    return Outcome(figures)


def idle_subscribers(trial: Trial) -> Outcome:
    """What a subscriber costs who is ready and gets nothing; `messages` is how many there are."""
    with trial.topics(trial.topic), contextlib.ExitStack() as stack:
        stack.enter_context(_subscriber(trial, trial.topic, 1))  # what the first one of all costs is no price
        before = trial.broker.steady_bytes()
        for _ in range(trial.messages):
            stack.enter_context(_subscriber(trial, trial.topic, 1))
        growth = trial.broker.steady_bytes() - before
        return Outcome({EACH: growth / 1024 / trial.messages, RESIDENT: _resident_mib(trial)})


def idle_topics(trial: Trial) -> Outcome:
    """What a topic costs that holds 10 messages for a channel; `messages` is how many there are."""
    bodies = [body_of(BODY_BYTES)] * MESSAGES_PER_TOPIC
    names = [f"{trial.topic}.{number:05}" for number in range(trial.messages)]
    trial.make_topics(*names)
    with contextlib.closing(wire.connect(trial.broker.address, "bench-publisher")) as connection:
        before = trial.broker.steady_bytes()
        for name in names:
            wire.request(connection, Mpub(name, bodies).encode(), wire.OK)
        descriptors = trial.broker.descriptors()
        growth = trial.broker.steady_bytes() - before
        each = {EACH: growth / 1024 / trial.messages, DESCRIPTORS: descriptors / trial.messages}
        return Outcome({**each, RESIDENT: _resident_mib(trial)})


def steady(seconds: float, per_s: int) -> Callable[[Trial], Outcome]:
    """The same rate for a long time: what grows? Growth is the last tenth against the second."""

    def run(trial: Trial) -> Outcome:
        parts: list[dict[str, float]] = []
        with trial.topics(trial.topic):
            for _ in range(STEADY_PARTS):
                figures = dict(_paced(trial, per_s, int(per_s * seconds / STEADY_PARTS)).figures)
                figures["descriptors"] = trial.broker.descriptors()
                parts.append(figures)
        first, last = parts[1], parts[-1]
        return Outcome(
            {
                **{name: last[name] for name in (RATE, CPU, RESIDENT, "p50 ms", "p99 ms", "p99.9 ms")},
                GROWTH: last[RESIDENT] / first[RESIDENT],
                P99_GROWTH: last["p99 ms"] / first["p99 ms"],
                DESCRIPTOR_GROWTH: last["descriptors"] / first["descriptors"],
            }
        )

    return run


def _paced(trial: Trial, per_s: int, messages: int) -> Outcome:
    plan = PacedPlan(
        address=trial.broker.address,
        topic=trial.topic,
        channel=CHANNEL,
        messages=messages,
        per_s=per_s,
        body_bytes=BODY_BYTES,
        spins=trial.cores.are_apart,
    )
    return trial.run({"pub": plan}, messages=messages)


def _resident_mib(trial: Trial) -> float:
    return trial.broker.resident_bytes() / MIB


@contextlib.contextmanager
def _subscriber(trial: Trial, topic: str, rdy: int) -> Iterator[socket.socket]:
    with contextlib.closing(wire.connect(trial.broker.address, "bench-idle", negotiates=True)) as connection:
        wire.request(connection, Sub(topic, CHANNEL).encode(), wire.OK)
        connection.sendall(Rdy(rdy).encode())
        yield connection
