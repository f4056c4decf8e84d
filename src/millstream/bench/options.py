"""What `millstream bench` takes on its command line."""

from dataclasses import dataclass

from millstream.base.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """How the benchmark runs."""

    quick: bool = option(False, "only what the goals need, once, smaller; exit 1 when a goal is missed")
    only: tuple[str, ...] = option((), "these workloads: names with commas, as --list shows them; x-* is all of x")
    skip: tuple[str, ...] = option((), "not these workloads")
    list: bool = option(False, "show the workloads and end")
    check: bool = option(False, "exit 1 when a goal is missed, as --quick does")
    rounds: int = option(0, "each broker in turn, so many times; 0: 3, and 1 with --quick", low=0, high=50)
    scale: float = option(1.0, "so many times the messages of every workload", low=0.01, high=100)
    peer: str = option(
        "auto",
        "path of the original nsqd; tcp://host:port:pid: one that runs; auto: on the PATH, else built with Go; none",
    )
    peer_command: tuple[str, ...] = option((), "another nsqd to start, its command line as one text; repeatable")
    clients: str = option("auto", "measure other Python clients, installed into the cache when need be: auto or none")
    json: str = option("", "write every round's figures to this file, too")
    chart: str = option("", "write a chart of the ratios to this file, as SVG")
    pin: bool = option(True, "run the brokers on one core and the loads on another, where there are two")
    scratch: str = option("", "where data paths are made; empty: the system's folder for such things")
    timeout_ms: int = option(120_000, "for one run of one workload", unit="ms", low=1000, high=3_600_000)
    steady_minutes: float = option(10.0, "how long the workload `steady` runs", low=0.1, high=1440)
    steady_rate: int = option(20_000, "messages a second in the workload `steady`", low=100, high=1_000_000)
