"""Workloads of clients: ours and others from PyPI read from the broker, each as a program in a process of its own.

The figures `messages/s` and `CPU s/M` are the broker's as everywhere; `client msg/CPU s` is what is looked at. A
program prints one line of JSON when it is done; those of other clients need nothing of ours.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import millstream.bench.programs
from millstream.bench.cores import pinned
from millstream.bench.outcome import Outcome, outcome
from millstream.bench.trial import BODY_BYTES, CHANNEL, Trial, body_of
from millstream.bench.wire import LoadFailed

CLIENT_RATE: Final = "client msg/CPU s"

_PROGRAMS: Final = Path(millstream.bench.programs.__file__).parent
_SAID_BYTES: Final = 1000


def reads(program: str, *words: str) -> Callable[[Trial], Outcome]:
    """A client drains a channel that holds everything already."""

    def run(trial: Trial) -> Outcome:
        with trial.topics(trial.topic):
            messages = trial.fill(trial.topic, trial.messages, body_of(BODY_BYTES))
            return _measured(trial, program, *words, str(messages))

    return run


def publishes(program: str, *words: str) -> Callable[[Trial], Outcome]:
    """A client publishes one message after the other, a thousand without their OK."""

    def run(trial: Trial) -> Outcome:
        with trial.topics(trial.topic):
            return _measured(trial, program, *words, str(trial.messages))

    return run


def _measured(trial: Trial, program: str, *words: str) -> Outcome:
    python = trial.python or sys.executable
    script = str(_PROGRAMS / f"{program}.py")
    before_s = trial.broker.quiet_cpu_s()
    with pinned(trial.cores.load):
        process = subprocess.Popen(
            [python, script, str(trial.broker.address), trial.topic, CHANNEL, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    with process:
        try:
            said, complaints = process.communicate(timeout=trial.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"{program} takes longer than {trial.timeout_s:.0f} s") from error
        finally:
            process.kill()
    if process.returncode != 0:
        raise LoadFailed(f"{program} failed: {complaints[-_SAID_BYTES:].decode(errors='replace').strip()}")
    done = json.loads(said)
    messages, wall_s, cpu_s = done["messages"], done["wall_s"], done["cpu_s"]
    return outcome(
        messages=messages,
        wall_s=wall_s,
        cpu_s=trial.broker.quiet_cpu_s() - before_s,
        resident_bytes=trial.broker.resident_bytes(),
        heap_bytes=trial.broker.heap_bytes(),
        core_share=cpu_s / wall_s,
        more={CLIENT_RATE: messages / cpu_s},
    )
