"""The flags of `millstream up`, which `millstream demo` shares: from the command line to `supervisor.service`."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from millstream.base.options import option
from millstream.supervisor.layout import discover
from millstream.supervisor.plan import Plan, Planner, daemons_from, wanted_ports
from millstream.supervisor.ports import auto_ports, fixed_ports, parse_overrides
from millstream.supervisor.system_file import read_system_file


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """How a system is brought up."""

    data_dir: str = option(".demo", "where daemons, databases, archives and the log are kept")
    ports: str = option("fixed", "fixed: those of system.toml; auto: free ones", choices=("fixed", "auto"))
    port: tuple[str, ...] = option((), "NAME=NUMBER: another port for one listener, as nsqd.shortener.tcp=4250")
    start_timeout_ms: int = option(30_000, "how long each stage may take to be ready", unit="ms", low=100, high=600_000)
    color: str = option("auto", "coloured log: auto, always or never", choices=("auto", "always", "never"))


def make_plan(root: Path, options: UpOptions, *, environment: Mapping[str, str] | None = None) -> Plan:
    """Finds the system in `root` and decides all of it. Raises LayoutError, PortTaken, OptionError."""
    inherited = dict(os.environ if environment is None else environment)
    services, system = discover(root), read_system_file(root)
    wanted = parse_overrides(options.port, wanted_ports(services, system))
    if options.ports == "auto":
        named = {text.partition("=")[0] for text in options.port}
        kept = {name: port for name, port in wanted.items() if name in named}
        ports = auto_ports([name for name in wanted if name not in kept]) | fixed_ports(kept)
    else:
        ports = fixed_ports(wanted)
    return Planner(
        root=root,
        data_dir=Path(options.data_dir).absolute(),
        services=services,
        system=system,
        ports=ports,
        daemons=daemons_from(inherited),
        environment={**inherited, "PYTHONUNBUFFERED": "1"},
    ).plan()


def wants_color(options: UpOptions) -> bool:
    """Whether the log on the standard output is coloured."""
    if options.color == "auto":
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return options.color == "always"
