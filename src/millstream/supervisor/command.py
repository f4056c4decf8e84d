"""What `millstream up` and `millstream demo` share: a folder becomes a plan, the plan runs, errors become words.

Called by `cli.up` and `cli.demo` with their options; `body` is what happens while the system is up.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from millstream.base.errors import MillstreamError
from millstream.net.runner import run as run_loop
from millstream.supervisor.console import Console
from millstream.supervisor.options import UpOptions, make_plan, wants_color
from millstream.supervisor.plan import Plan
from millstream.supervisor.service import Body, run

LOG_FILE: Final = "millstream.log"


def bring_up(root: Path, options: UpOptions, *, body: Callable[[Plan], Body], quiet: bool = False) -> int:
    """Runs the system in `root` around `body(plan)`; its status. `quiet` keeps the processes' lines in the file."""
    console = Console(sys.stdout, color=wants_color(options), quiet=quiet)
    try:
        plan = make_plan(root.absolute(), options)
        for directory in (plan.data_dir, *plan.directories):
            directory.mkdir(parents=True, exist_ok=True)
        console.align(process.name for process in plan.processes)
        console.keep_in(plan.data_dir / LOG_FILE)
        return run_loop(lambda: run(plan, console, start_timeout_ms=options.start_timeout_ms, body=body(plan)))
    except (MillstreamError, OSError) as error:
        sys.stderr.write(f"millstream: {error}\n")
        return 1
    finally:
        console.close()
