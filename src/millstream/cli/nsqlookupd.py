"""The command `nsqlookupd`: flags become options, the service runs, its status is returned."""

import sys
from collections.abc import Sequence

from millstream.base.options import parse
from millstream.net.runner import run
from millstream.nsqlookupd.options import LookupdOptions
from millstream.nsqlookupd.service import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Runs nsqlookupd with these arguments, or those of the process."""
    arguments = sys.argv[1:] if argv is None else argv

    def read() -> LookupdOptions:
        return parse(LookupdOptions, arguments, program="nsqlookupd")

    options = read()
    return run(lambda: serve(options, read))


if __name__ == "__main__":
    sys.exit(main())
