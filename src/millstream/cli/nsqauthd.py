"""The command `nsqauthd`: flags become options, the service runs or the check is made, its status is returned.

nsqd's own reading of answers is handed over, so that rules are refused, and explained, as nsqd will take them.
"""

import sys
from collections.abc import Sequence

from millstream.base.options import parse
from millstream.net.runner import run
from millstream.nsqauthd.options import AuthdOptions
from millstream.nsqauthd.service import check, serve
from millstream.nsqd.auth import parse_authorizations


def main(argv: Sequence[str] | None = None) -> int:
    """Runs nsqauthd with these arguments, or those of the process."""
    options = parse(AuthdOptions, sys.argv[1:] if argv is None else argv, program="nsqauthd")
    if options.check:
        return check(options, parse_authorizations)
    return run(lambda: serve(options, parse_authorizations))


if __name__ == "__main__":
    sys.exit(main())
