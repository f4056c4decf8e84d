"""Runs the benchmark: every workload that was asked for, each contender in turn, round by round.

Turns alternate so that whatever else the machine does meets all of them. What cannot be measured here (no original, no
certificate, no other clients) is said and left out; a run that was not right ends the benchmark, unless it is one of a
broker or a client of others.
"""

import fnmatch
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from millstream.base.errors import OptionError
from millstream.bench import chart, report
from millstream.bench.broker import BrokerFailed
from millstream.bench.catalogue import Workload, catalogue
from millstream.bench.contenders import (
    OURS,
    OURS_IN_ANY_FORM,
    PEER,
    Field,
    compiled_modules,
    our_commands,
    peer_commands,
    tls_flags,
)
from millstream.bench.cores import Cores, choose_cores
from millstream.bench.goals import Verdict, judge
from millstream.bench.load import LoadProcess, allow_descriptors
from millstream.bench.options import BenchOptions
from millstream.bench.outcome import Outcome
from millstream.bench.peer import PeerMissing, find_peer
from millstream.bench.rivals import RivalsMissing, find_rivals
from millstream.bench.running import SCHEME, find_running
from millstream.bench.trial import Trial
from millstream.bench.wire import LoadFailed

ROUNDS: Final = 3
QUICK_ROUNDS: Final = 1
WARM_UP_SHARE: Final = 0.05
LOADS: Final = ("pub", "sub")

_TLS: Final = "TLS"
_CLIENTS: Final = "clients"


@dataclass(slots=True)
class Bench:
    """What all runs share."""

    options: BenchOptions
    contenders: Field
    loads: dict[str, LoadProcess]
    cores: Cores
    python_of_rivals: str = ""
    number: int = 0
    results: dict[str, dict[str, list[Outcome]]] = field(default_factory=dict)


def run(options: BenchOptions) -> int:
    """Measure, print, judge; the exit status. Raises MillstreamError."""
    workloads = choose(catalogue(steady_minutes=options.steady_minutes, steady_rate=options.steady_rate), options)
    if options.list:
        sys.stdout.writelines(f"{one.name:<18}{one.what}\n" for one in workloads)
        return 0
    if platform.system() != "Linux":
        raise OptionError("the benchmark needs Linux: elsewhere the processor time of a process cannot be read so")
    allow_descriptors()
    cores = choose_cores() if options.pin else Cores()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="millstream-bench-", dir=options.scratch or None))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        missing: set[str] = set()
        commands = _commands(options, folder, missing)
        others = {PEER: find_running(PEER, options.peer)} if options.peer.startswith(SCHEME) else {}
        rivals = _rivals(workloads, options, missing)
        running = stack.enter_context(Field(commands, folder, cores, others))
        loads = {name: stack.enter_context(LoadProcess(cores.load)) for name in LOADS}
        bench = Bench(options=options, contenders=running, loads=loads, cores=cores, python_of_rivals=rivals)
        about = _about(commands, cores)
        for name, other in others.items():
            _say(f"{name}: process {other.pid} on {other.address}, which runs where and as it was started")
        began_s = time.monotonic()
        for workload in workloads:
            if workload.needs not in missing:
                measure(bench, workload)
        _progress("")
    return conclude(options, bench.results, about, time.monotonic() - began_s)


def choose(workloads: Sequence[Workload], options: BenchOptions) -> list[Workload]:
    """Those that were asked for. Raises OptionError for a name that fits none."""
    only, skip = _patterns(options.only), _patterns(options.skip)
    for pattern in (*only, *skip):
        if not any(fnmatch.fnmatchcase(one.name, pattern) for one in workloads):
            raise OptionError(f"there is no workload {pattern!r}: --list shows them")
    chosen = [
        one
        for one in workloads
        if (
            any(fnmatch.fnmatchcase(one.name, pattern) for pattern in only)
            if only
            else (one.quick is not None or not options.quick) and (options.list or not one.by_name)
        )
        and not any(fnmatch.fnmatchcase(one.name, pattern) for pattern in skip)
    ]
    if not chosen:
        raise OptionError("no workload is left: --list shows them")
    return chosen


def _patterns(given: Sequence[str]) -> list[str]:
    return [pattern.strip() for text in given for pattern in text.split(",") if pattern.strip()]


def measure(bench: Bench, workload: Workload) -> None:
    """All rounds of one workload. Raises LoadFailed or BrokerFailed."""
    quick = bench.options.quick
    wanted = workload.quick_contenders if quick else workload.contenders
    names = bench.contenders.names
    others = [name for name in names if name.startswith(_OTHER)] if OURS in wanted else []
    contenders = [name for name in (*wanted, *others) if name in names]
    if workload.is_alone and (kept := [name for name in contenders if name in bench.contenders.others]):
        _say(f"{workload.name:<18}wants a broker without a past, which {', '.join(kept)} is not")
        contenders = [name for name in contenders if name not in kept]
    rounds = 1 if workload.once else bench.options.rounds or (QUICK_ROUNDS if quick else ROUNDS)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in contenders}
    began_s = time.monotonic()
    for number in range(rounds):
        for name in contenders:
            if workload.is_alone:
                bench.contenders.clear()
            messages = max(1, int(workload.messages_for(name, quick=quick) * bench.options.scale))
            _progress(f"{workload.name}, round {number + 1} of {rounds}: {name}, {messages:,}")
            try:
                outcomes[name].append(take_turn(bench, workload, name, messages))
            except (LoadFailed, BrokerFailed) as error:
                if name in OURS_IN_ANY_FORM and workload.needs != _CLIENTS:
                    raise
                # A broker or a client of others is no fault of ours, and no reason to lose the rest of the table.
                _say(f"left out: {error}")
                bench.contenders.clear()
    if workload.is_alone:
        bench.contenders.clear()
    bench.results[workload.name] = outcomes
    for name, found in report.all_medians({workload.name: outcomes})[workload.name].items():
        _note(workload.name, name, found)
    _say(f"{workload.name:<18}{'took':<20}{time.monotonic() - began_s:.1f} s")


def take_turn(bench: Bench, workload: Workload, contender: str, messages: int) -> Outcome:
    """One run of one workload with one contender. Raises LoadFailed or BrokerFailed."""
    bench.number += 1
    trial = Trial(
        broker=bench.contenders.broker(contender),
        loads=bench.loads,
        cores=bench.cores,
        # A broker that runs already may have topics of the same workload from others.
        topic=f"{workload.name}.{bench.number}.{os.getpid()}",
        messages=messages,
        timeout_s=bench.options.timeout_ms / 1000,
        python=bench.python_of_rivals if workload.needs == _CLIENTS else "",
    )
    with trial.explained():
        return workload.run(trial)


def conclude(options: BenchOptions, results: report.Results, about: dict[str, object], took_s: float) -> int:
    """Print and write what was found; the last line is the verdict, and the exit status follows it when asked to."""
    found = report.all_medians(results)
    verdicts = judge(found)
    about["took_s"] = round(took_s, 1)
    sys.stdout.write(f"\n{report.table(found)}\n\n{took_s:.0f} s\n\n")
    if options.json:
        report.write_json(Path(options.json), results, about, verdicts)
    if options.chart:
        chart.write_chart(Path(options.chart), found)
    sys.stdout.writelines(f"{line}\n" for line in report.verdict_lines(verdicts))
    return exit_status(verdicts) if options.quick or options.check else 0


def exit_status(verdicts: Sequence[Verdict]) -> int:
    """0 when there were goals to judge and all were met."""
    return 0 if verdicts and all(verdict.is_met for verdict in verdicts) else 1


_OTHER: Final = "other "


def _commands(options: BenchOptions, folder: Path, missing: set[str]) -> dict[str, list[str]]:
    """By contender, what starts it; says what is missing."""
    try:
        flags = tls_flags(folder)
    except OptionError as error:
        flags = []
        missing.add(_TLS)
        _say(str(error))
    commands = our_commands(flags)
    if OURS not in commands:
        _say("nothing is compiled here: only the uncompiled broker is measured (make bench compiles)")
    peer = "none" if options.peer.startswith(SCHEME) else options.peer
    try:
        if peer == "auto":
            peer = find_peer()
    except PeerMissing as error:
        _say(f"without the original: {error}")
        peer = "none"
    if peer != "none":
        commands |= peer_commands([_program(peer)], flags)
    for number, text in enumerate(options.peer_command, 1):
        words = shlex.split(text)
        if not words:
            raise OptionError("--peer-command is empty")
        commands[f"{_OTHER}{number}"] = [_program(words[0]), *words[1:]]
    return commands


def _rivals(workloads: Sequence[Workload], options: BenchOptions, missing: set[str]) -> str:
    if not any(workload.needs == _CLIENTS for workload in workloads):
        return ""
    try:
        if options.clients != "none":
            return find_rivals()
        _say("without other clients")
    except RivalsMissing as error:
        _say(f"without other clients: {error}")
    missing.add(_CLIENTS)
    return ""


def _about(commands: dict[str, list[str]], cores: Cores) -> dict[str, object]:
    compiled = compiled_modules()
    machine = report.machine_line()
    where = f"brokers on core {cores.broker}, loads on core {cores.load}" if cores.are_apart else "nothing is pinned"
    _say(f"{machine}; {where}")
    _say(f"{len(compiled)} modules are compiled: {' '.join(compiled)}")
    for name, command in commands.items():
        if name != OURS and "millstream" not in name and name != "uncompiled":
            _say(
                f"{name}: {shlex.join(Path(word).name if '=' not in word else word for word in command[:1])} "
                f"{shlex.join(word for word in command[1:] if not word.startswith(('--tls-', '--https-')))}"
            )
    return {"machine": machine, "cores": where, "compiled": compiled}


def _program(name: str) -> str:
    """Where a program is, as an absolute path: brokers do not run in this folder. Raises OptionError."""
    found = shutil.which(name)
    if found is None:
        raise OptionError(f"there is no program {name!r}")
    return str(Path(found).absolute())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _note(workload: str, contender: str, figures: Mapping[str, float]) -> None:
    """Show what came out as soon as it did: a table that takes minutes is waited for."""
    shown = "  ".join(f"{name} {value:,.4g}" for name, value in figures.items())
    _progress("")
    _say(f"{workload:<18}{contender:<20}{shown}")


def _progress(line: str) -> None:
    """Show where the run is, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line[: os.get_terminal_size(2).columns - 1]}")
        sys.stderr.flush()
