"""The command `nsq_to_file`: flags become options, the service runs, its status is returned."""

import sys
from collections.abc import Sequence

from millstream.base.options import parse_with_arguments
from millstream.base.version import NSQ_VERSION
from millstream.net.runner import run
from millstream.tools.nsq_to_file.options import ToFileOptions
from millstream.tools.nsq_to_file.service import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Runs nsq_to_file with these arguments, or those of the process."""
    options, arguments = parse_with_arguments(
        ToFileOptions,
        sys.argv[1:] if argv is None else argv,
        program="nsq_to_file",
        positional=False,
        version=f"nsq_to_file v{NSQ_VERSION}",
    )
    if arguments:
        sys.stderr.write(f"nsq_to_file: unknown arguments: {' '.join(arguments)[:200]!r}\n")
        return 1
    return run(lambda: serve(options))


if __name__ == "__main__":
    sys.exit(main())
