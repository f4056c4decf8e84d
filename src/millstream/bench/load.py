"""Runs loads in a process of their own: it gets ready, waits for the word, works, and tells what it took.

A `LoadProcess` serves one plan after the other (starting an interpreter takes longer than most loads); the plan goes
in, a LoadResult comes back through a pipe. Every wait has a deadline, and a process that misses it is killed.
"""

import contextlib
import gc
import multiprocessing
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Protocol, Self

from millstream.base.errors import MillstreamError
from millstream.bench.cores import move_to
from millstream.bench.wire import LoadFailed

READY_TIMEOUT_S: Final = 60.0
GRACE_S: Final = 2.0  # for the result of a load that ends at its deadline


class Load(Protocol):
    """Something connected that waits to run."""

    def run(self, deadline_s: float) -> int:
        """Do it all before this instant of the monotonic clock; return how many messages it was."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class Plan(Protocol):
    """Describes a load; goes to the process that builds it."""

    @property
    def messages(self) -> int:
        """How many messages the load is to handle."""
        ...

    def build(self) -> Load:
        """Connect."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What a load did; instants are of the monotonic clock, which all processes share. `figures` are its own."""

    messages: int
    started_s: float
    ended_s: float
    cpu_s: float
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def core_share(self) -> float:
        """How much of one core the load used while it ran: near 1, it was the load that set the pace."""
        return self.cpu_s / max(1e-9, self.ended_s - self.started_s)


class LoadProcess:
    """A process for loads; a context manager that leaves no process behind."""

    def __init__(self, core: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._core = core
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        """Nothing: the process gets ready while others do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def prepare(self, plan: Plan, core: int | None = None) -> None:
        """Have a plan connected, on that core or the process's own. Raises LoadFailed."""
        self._pipe.send((plan, self._core if core is None else core))
        self._receive(READY_TIMEOUT_S)

    def go(self, timeout_s: float) -> None:
        """Give the word; the load has that much time."""
        self._pipe.send(timeout_s)

    def result(self, plan: Plan, timeout_s: float) -> LoadResult:
        """Wait for what it did. Raises LoadFailed, also when the count is not the plan's."""
        result = self._receive(timeout_s + GRACE_S)
        if not isinstance(result, LoadResult):
            raise LoadFailed("a load process sent no result")
        if result.messages != plan.messages:
            raise LoadFailed(f"{result.messages} messages were handled, {plan.messages} expected")
        return result

    def _receive(self, timeout_s: float) -> object:
        if not self._pipe.poll(timeout_s):
            raise LoadFailed(f"a load process said nothing for {timeout_s:.0f} s")
        try:
            answer: object = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise LoadFailed("a load process died") from error
        if isinstance(answer, str):
            raise LoadFailed(answer)
        return answer


def allow_descriptors() -> None:
    """Let this process, and those it starts, open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _serve(pipe: Connection) -> None:
    """What the process does until its parent is gone: None when connected, then a LoadResult; a text is an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    allow_descriptors()
    gc.disable()  # loads make no cycles, and a pause would be taken for the broker's
    with contextlib.suppress(EOFError):
        while True:
            plan, core = pipe.recv()
            move_to(core)
            try:
                with _built(plan) as load:
                    pipe.send(None)
                    timeout_s: float = pipe.recv()
                    pipe.send(_run(load, timeout_s))
            except (MillstreamError, OSError) as error:
                pipe.send(f"{type(plan).__name__}: {error}")


@contextlib.contextmanager
def _built(plan: Plan) -> Iterator[Load]:
    load = plan.build()
    try:
        yield load
    finally:
        load.close()


def _run(load: Load, timeout_s: float) -> LoadResult:
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    messages = load.run(started_s + timeout_s)
    ended_s, cpu_s = time.monotonic(), time.process_time() - started_cpu_s
    figures: dict[str, float] = getattr(load, "figures", {})
    return LoadResult(messages=messages, started_s=started_s, ended_s=ended_s, cpu_s=cpu_s, figures=figures)
