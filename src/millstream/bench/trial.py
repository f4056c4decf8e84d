"""One broker's turn at one workload: the broker, processes for the loads, and how much is to be done.

Workloads call `run` with the plans of the loads that are measured; filling a queue before that is `fill`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from millstream.base.errors import MillstreamError
from millstream.bench.broker import Broker, BrokerFailed
from millstream.bench.cores import Cores
from millstream.bench.load import LoadProcess, Plan
from millstream.bench.loads.publish import PublishPlan
from millstream.bench.outcome import Outcome, outcome
from millstream.bench.wire import LoadFailed
from millstream.protocol.commands import Mpub

CHANNEL: Final = "bench"
BODY_BYTES: Final = 200
BATCH: Final = 200
BATCHES_AT_ONCE: Final = 16
FILL_BYTES: Final = 512 << 10  # of one MPUB that only fills

_OBJECT: Final = b'{"id":"7f3a91c2","at":1753180042,"path":"/articles/42","agent":"Mozilla/5.0","ref":"'
_OBJECT_END: Final = b'"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a workload has: names in `topic` are new, `messages` and `timeout_s` are what it may use."""

    broker: Broker
    loads: Mapping[str, LoadProcess]
    cores: Cores
    topic: str
    messages: int
    timeout_s: float
    python: str = ""

    def run(
        self,
        plans: Mapping[str, Plan],
        *,
        messages: int,
        on_brokers_core: bool = False,
        more: Mapping[str, float] | None = None,
    ) -> Outcome:
        """Run plans at the same time, each in the load process of its name. Raises LoadFailed and BrokerFailed.

        `messages` is what the figures are per: one that is published and finished counts once.
        """
        core = self.cores.broker if on_brokers_core else self.cores.load
        for name, plan in plans.items():
            self.loads[name].prepare(plan, core)
        cpu_before_s = self.broker.quiet_cpu_s()
        for name in plans:
            self.loads[name].go(self.timeout_s)
        results = [self.loads[name].result(plan, self.timeout_s) for name, plan in plans.items()]
        resident_bytes, heap_bytes = self.broker.resident_bytes(), self.broker.heap_bytes()
        cpu_s = self.broker.quiet_cpu_s() - cpu_before_s
        wall_s = max(result.ended_s for result in results) - min(result.started_s for result in results)
        figures: dict[str, float] = dict(more or {})
        for result in results:
            figures |= result.figures
        return outcome(
            messages=messages,
            wall_s=wall_s,
            cpu_s=cpu_s,
            resident_bytes=resident_bytes,
            heap_bytes=heap_bytes,
            core_share=sum(result.cpu_s for result in results) / wall_s,
            more=figures,
        )

    def fill(self, topic: str, messages: int, body: bytes) -> int:
        """Publish at least so many messages as fast as it goes, not measured; how many it were."""
        batch = max(1, min(messages, FILL_BYTES // (len(body) + 4)))
        plan = PublishPlan(
            address=self.broker.address,
            cycle=(Mpub(topic, [body] * batch).encode(),),
            commands=-(-messages // batch),
            batch=batch,
            at_once=BATCHES_AT_ONCE,
        )
        load = self.loads["pub"]
        load.prepare(plan)
        load.go(self.timeout_s)
        load.result(plan, self.timeout_s)
        return plan.messages

    def make_topics(self, *names: str, channels: tuple[str, ...] = (CHANNEL,)) -> None:
        """Make topics with channels, for a broker that is stopped afterwards: a thousand take long to delete."""
        for name in names:
            self.broker.create_topic(name)
            for channel in channels:
                self.broker.create_channel(name, channel)

    @contextmanager
    def topics(self, *names: str, channels: tuple[str, ...] = (CHANNEL,)) -> Iterator[None]:
        """Make topics with channels, so that publishing brings messages to them; delete them whatever happens."""
        self.make_topics(*names, channels=channels)
        try:
            yield
        except BaseException:
            with suppress(MillstreamError, OSError):
                self._delete(names)
            raise
        self._delete(names)

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.broker.delete_topic(name)

    def check(self, found: int, expected: int, what: str) -> None:
        """Insist on a count of the broker's own. Raises BrokerFailed."""
        if found != expected:
            raise BrokerFailed(f"{found:,} {what}, and {expected:,} should")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say whose turn it was in whatever goes wrong."""
        try:
            yield
        except (MillstreamError, OSError) as error:
            kind = BrokerFailed if isinstance(error, BrokerFailed) else LoadFailed
            raise kind(f"{self.topic}, {self.broker.name}: {error}") from error


def body_of(size_bytes: int) -> bytes:
    """A body as events look, a JSON object of at least 100 bytes; half of it does not compress well."""
    digits = b"".join(hashlib.sha256(bytes([number])).hexdigest().encode() for number in range(32))
    room = size_bytes - len(_OBJECT) - len(_OBJECT_END)
    return _OBJECT + (digits * (room // len(digits) + 1))[:room] + _OBJECT_END
