"""The command `millstream demo`: the reference system with visitors, a live table, and books that must balance."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import millstream.demo
from millstream.base.options import option, parse
from millstream.demo.run_folder import new_run_folder, recorded_clicks
from millstream.demo.trial import Places, Trial, TrialOptions
from millstream.supervisor.board import Board
from millstream.supervisor.command import bring_up
from millstream.supervisor.options import UpOptions
from millstream.supervisor.plan import Plan
from millstream.supervisor.service import Body, System


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions(UpOptions):
    """How the demo runs: what `millstream up` takes, and the visitors."""

    seconds: float = option(0.0, "stop the visitors after this and check the books; 0: at Ctrl-C", low=0, high=86_400)
    rate: float = option(50.0, "visitors a second", low=0.1, high=10_000)
    clicks: str = option("auto", "replay the recorded clicks in this file; auto: those beside the repository; none")
    summary_json: str = option("", "write the summary to this file too, as JSON")
    log: bool = option(False, "show what the processes say, beside the table")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `millstream demo` with these arguments, or those of the process."""
    options = parse(DemoOptions, sys.argv[1:] if argv is None else argv, program="millstream demo", version="")
    folder = new_run_folder(Path(options.data_dir), datetime.now(UTC))
    return bring_up(
        Path(millstream.demo.__file__).parent,
        replace(options, data_dir=str(folder)),
        body=lambda plan: _trial(plan, options),
        quiet=not options.log,
    )


def _trial(plan: Plan, options: DemoOptions) -> Body:
    async def body(system: System) -> int:
        trial = Trial(
            stage=system,
            places=Places(
                web_address=plan.web_addresses["shortener"],
                nsqd_http_address=plan.nsqd_http_addresses["shortener"],
                data_dir=plan.data_dir,
                archive_dir=plan.archive_dir,
            ),
            options=TrialOptions(
                seconds=options.seconds,
                rate_per_s=options.rate,
                clicks=recorded_clicks(options.clicks),
                summary_json=Path(options.summary_json) if options.summary_json else None,
            ),
            environment=os.environ,
        )
        async with Board(system.console, system.metrics, snapshot=system.snapshot, notes=trial.notes).shown():
            return await trial.run()

    return body


if __name__ == "__main__":
    sys.exit(main())
