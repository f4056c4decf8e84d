"""The command `nsqd`: flags become options, the service runs, its status is returned."""

import sys
from collections.abc import Sequence

from millstream.base.options import parse
from millstream.net.runner import run
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.service import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Runs nsqd with these arguments, or those of the process."""
    arguments = sys.argv[1:] if argv is None else argv

    def read() -> DaemonOptions:
        return parse(DaemonOptions, arguments, program="nsqd")

    options = read()
    return run(lambda: serve(options, read))


if __name__ == "__main__":
    sys.exit(main())
