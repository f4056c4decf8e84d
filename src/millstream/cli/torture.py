"""The command `millstream torture`: kills an nsqd again and again, and counts what is lost."""

import sys
from collections.abc import Sequence

from millstream.base.options import parse
from millstream.net.runner import run
from millstream.torture.options import TortureOptions
from millstream.torture.service import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `millstream torture` with these arguments, or those of the process."""
    arguments = sys.argv[1:] if argv is None else argv
    options = parse(TortureOptions, arguments, program="millstream torture", version="")
    return run(lambda: serve(options))


if __name__ == "__main__":
    sys.exit(main())
