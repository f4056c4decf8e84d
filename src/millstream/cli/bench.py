"""The command `millstream bench`: brokers and clients side by side under the same loads, and a verdict."""

import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from millstream.base.errors import MillstreamError
from millstream.base.options import parse
from millstream.bench.options import BenchOptions
from millstream.bench.service import run


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `millstream bench` with these arguments, or those of the process."""
    options = parse(BenchOptions, sys.argv[1:] if argv is None else argv, program="millstream bench", version="")
    signal.signal(signal.SIGTERM, _end)  # so that brokers are stopped then, too
    try:
        return run(options)
    except (MillstreamError, OSError) as error:
        sys.stderr.write(f"\nbench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _end(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
