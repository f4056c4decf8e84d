"""Every workload by its name: what it does, how many messages, to whom.

`service` runs those that were asked for in this order. Numbers of messages are for our compiled broker, chosen so that
each run takes about a second; `shares` says how much less a slower contender is given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from millstream.bench import line
from millstream.bench.contenders import FSYNC, MEMORY, OURS, PEER, PEER_ON_DISK, PEER_SYNCED, UNCOMPILED
from millstream.bench.outcome import Outcome
from millstream.bench.trial import Trial
from millstream.bench.workloads import clients, consuming, holding, publishing

DEFAULT_SHARES: Final[Mapping[str, float]] = {UNCOMPILED: 0.15, PEER: 0.4, PEER_ON_DISK: 0.4, PEER_SYNCED: 0.01}
EVERY_FORM: Final = (OURS, MEMORY, FSYNC, UNCOMPILED, PEER)
SUBSCRIBERS: Final = (1, 4, 100)
RDYS: Final = (1, 25, 100, 2500)
GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One line of the table.

    `quick` is the number of messages in the quick form; None: not part of it. `once` is for what takes long: one round,
    whatever was asked for. `by_name` is for what runs only when it is named. `is_alone` wants brokers without a past.
    `needs` names what else must be there: a certificate, other clients.
    """

    name: str
    what: str
    run: Callable[[Trial], Outcome]
    messages: int
    quick: int | None = None
    contenders: tuple[str, ...] = (OURS, PEER)
    quick_contenders: tuple[str, ...] = (OURS, PEER)
    shares: Mapping[str, float] = field(default_factory=dict)
    once: bool = False
    by_name: bool = False
    is_alone: bool = False
    needs: str = ""

    def messages_for(self, contender: str, *, quick: bool) -> int:
        """How many messages a contender is given."""
        share = self.shares.get(contender, DEFAULT_SHARES.get(contender, 1.0))
        return max(1, int((self.quick or self.messages if quick else self.messages) * share))


def catalogue(*, steady_minutes: float, steady_rate: int) -> list[Workload]:
    """All workloads, in the order of the table."""
    return [
        *_publishing(),
        *_consuming(),
        *_at_once(),
        *_lines(),
        *_http(),
        *_latencies(),
        *_many(),
        *_holding(),
        *_clients(),
        Workload(
            name="steady",
            what=f"{steady_rate:,} PUB a second for {steady_minutes:g} minutes: what grows from the second tenth on",
            run=holding.steady(steady_minutes * 60, steady_rate),
            messages=int(steady_minutes * 60 * steady_rate),
            shares={PEER: 1.0},
            once=True,
            by_name=True,
            is_alone=True,
        ),
    ]


def _publishing() -> list[Workload]:
    most = (OURS, UNCOMPILED, PEER)
    requests = {1: 15_000, 16: 60_000, 64: 60_000, 256: 60_000}
    return [
        Workload(
            name="mpub",
            what="MPUB of 200 x 200 B, 16 unanswered",
            run=publishing.mpub(200),
            messages=2_000_000,
            quick=1_000_000,
            contenders=EVERY_FORM,
            quick_contenders=most,
        ),
        Workload(
            name="mpub-1k",
            what="MPUB of 200 x 1 KiB, 16 unanswered",
            run=publishing.mpub(1024),
            messages=600_000,
            quick=400_000,
        ),
        Workload(
            name="pub-pipelined",
            what="PUB of 200 B, 1,000 unanswered",
            run=publishing.pipelined,
            messages=600_000,
            quick=400_000,
            shares={PEER: 0.2},
        ),
        *(
            Workload(
                name=f"pub-{connections}",
                what=f"PUB of 200 B, {connections} connections that wait for each OK",
                run=publishing.request_response(connections),
                messages=messages,
                quick=messages if connections in {16, 64} else None,
                shares={PEER: 0.7},
            )
            for connections, messages in requests.items()
        ),
        Workload(
            name="pub-1-core",
            what="pub-1, broker and load on one core",
            run=publishing.request_response(1, on_brokers_core=True),
            messages=15_000,
            quick=10_000,
            shares={PEER: 0.7},
        ),
        Workload(
            name="pub-synced",
            what="pub-pipelined, each OK behind an fsync",
            run=publishing.pipelined,
            messages=200_000,
            contenders=(FSYNC, PEER_SYNCED),
        ),
        Workload(
            name="dpub", what="DPUB of 200 B due in ten minutes", run=publishing.deferred, messages=100_000, shares={}
        ),
    ]


def _consuming() -> list[Workload]:
    messages = {1: {1: 20_000, 25: 200_000, 100: 500_000, 2500: 1_500_000}}
    messages[4] = {1: 50_000, 25: 300_000, 100: 500_000, 2500: 1_500_000}
    messages[100] = {1: 60_000, 25: 300_000, 100: 500_000, 2500: 1_000_000}
    quick = {(1, 1): 15_000, (100, 1): 40_000, (1, 2500): 1_000_000}
    return [
        *(
            Workload(
                name=f"sub-{subscribers}x{rdy}",
                what=f"{subscribers} subscriber{'s' if subscribers > 1 else ''} with RDY {rdy} drain a channel",
                run=consuming.drain(subscribers, rdy),
                messages=messages[subscribers][rdy],
                quick=quick.get((subscribers, rdy)),
                contenders=EVERY_FORM if (subscribers, rdy) == (1, 2500) else (OURS, PEER),
                quick_contenders=(OURS, UNCOMPILED, PEER) if (subscribers, rdy) == (1, 2500) else (OURS, PEER),
                shares={PEER: 0.6 if rdy == 1 else 0.25},
            )
            for subscribers in SUBSCRIBERS
            for rdy in RDYS
        ),
        Workload(
            name="requeue",
            what="1 subscriber with RDY 2500 requeues 10 %",
            run=consuming.drain(1, 2500, requeue_every=10),
            messages=300_000,
        ),
    ]


def _at_once() -> list[Workload]:
    return [
        Workload(
            name=f"both-{channels}",
            what=f"mpub and {channels} channel{'s' if channels > 1 else ''} with a subscriber, at once",
            run=consuming.both(channels),
            messages=messages,
            quick=messages // 2 if channels < 10 else None,
            shares={PEER: share},
        )
        for channels, messages, share in ((1, 1_500_000, 0.3), (3, 1_000_000, 0.15), (10, 400_000, 0.1))
    ]


def _lines() -> list[Workload]:
    return [
        Workload(
            name=kind,
            what=f"mpub, then sub-1x2500, over {kind}",
            run=consuming.through(kind),
            messages=count,
            needs=need,
        )
        for kind, count, need in ((line.TLS, 500_000, "TLS"), (line.SNAPPY, 400_000, ""), (line.DEFLATE, 300_000, ""))
    ]


def _http() -> list[Workload]:
    counts = {(1, 1): 8_000, (16, 1): 40_000, (1, 100): 200_000, (16, 100): 400_000}
    return [
        Workload(
            name=f"http-{'mpub' if batch > 1 else 'pub'}-{connections}",
            what=f"HTTP {f'/mpub of {batch} x' if batch > 1 else '/pub of'} 200 B, {connections} kept connections",
            run=publishing.http(connections, batch=batch),
            messages=messages,
            quick=messages // 2 if connections == 16 else None,
            shares={PEER: 0.7},
        )
        for (connections, batch), messages in counts.items()
    ]


def _latencies() -> list[Workload]:
    return [
        Workload(
            name=f"latency-{per_s // 1000}k",
            what=f"{per_s:,} PUB a second to a subscriber that is not buffered for",
            run=holding.latency(per_s),
            messages=2 * per_s,
            quick=2 * per_s if per_s == 5_000 else None,
            shares={PEER: 1.0},
        )
        for per_s in (1_000, 5_000, 50_000)
    ]


def _many() -> list[Workload]:
    return [
        Workload(
            name="topics-1000",
            what="MPUB of 10 to 1,000 topics in turn, a subscriber on each",
            run=consuming.many_topics(1000),
            messages=200_000,
            once=True,
            is_alone=True,
        ),
        Workload(
            name="connections-5000",
            what="5,000 subscribers with RDY 1 drain a channel",
            run=consuming.drain(5000, 1),
            messages=60_000,
            once=True,
        ),
        Workload(
            name="sub-cold",
            what="sub-1x2500 of what the broker has on disk only",
            run=consuming.drain_cold(200),
            messages=1_000_000,
            contenders=(OURS, PEER_ON_DISK),
            is_alone=True,
        ),
        Workload(
            name="drain-2g",
            what="the same with 2 GiB of 1 KiB messages",
            run=consuming.drain_cold(1024),
            messages=2 * GIB // 1024,
            contenders=(OURS, PEER_ON_DISK),
            shares={PEER_ON_DISK: 0.25},
            once=True,
            is_alone=True,
        ),
    ]


def _holding() -> list[Workload]:
    return [
        Workload(
            name="queued",
            what="the heap that 3,000,000 waiting messages of 200 B take",
            run=holding.queued,
            messages=3_000_000,
            quick=3_000_000,
            shares={PEER: 1.0},
            once=True,
            is_alone=True,
        ),
        Workload(
            name="backlog",
            what="20,000,000 waiting messages: heap, /stats, restart to the first message",
            run=holding.backlog,
            messages=20_000_000,
            contenders=(OURS,),
            once=True,
            is_alone=True,
        ),
        Workload(
            name="idle-subscribers",
            what="what each of 5,000 idle subscribers costs",
            run=holding.idle_subscribers,
            messages=5_000,
            shares={PEER: 1.0},
            once=True,
            is_alone=True,
        ),
        Workload(
            name="idle-topics",
            what="what each of 1,000 topics of 10 messages costs",
            run=holding.idle_topics,
            messages=1_000,
            shares={PEER: 1.0},
            once=True,
            is_alone=True,
        ),
    ]


def _clients() -> list[Workload]:
    read = "drains a channel of 200 B messages"
    rows = [
        ("async", "millstream.client, trivial async handler", "client_millstream", ("async",), 300_000, 200_000),
        ("json", "millstream.queuereader, JSON validated and counted", "client_millstream", ("json",), 150_000, 80_000),
        ("thread", "the same, sync handler in a thread", "client_millstream", ("thread",), 100_000, None),
        ("pynsq", "pynsq", "client_pynsq", (), 20_000, 10_000),
        ("gnsq", "gnsq", "client_gnsq", (), 20_000, None),
        ("asyncnsq", "asyncnsq", "client_asyncnsq", (), 40_000, 20_000),
    ]
    return [
        *(
            Workload(
                name=f"client-{name}",
                what=f"{what}: {read}",
                run=clients.reads(program, *words),
                messages=messages,
                quick=quick,
                quick_contenders=(OURS,),
                shares={PEER: 1.0},
                needs="" if program == "client_millstream" else "clients",
            )
            for name, what, program, words, messages, quick in rows
        ),
        Workload(
            name="client-write",
            what="millstream.client Writer, 1,000 tasks publish one by one",
            run=clients.publishes("client_millstream", "write"),
            messages=100_000,
            shares={PEER: 1.0},
        ),
    ]
