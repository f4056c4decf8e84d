"""The command `millstream replay TOPIC CHANNEL`: gives a channel messages once more."""

import sys
from collections.abc import Sequence

from millstream.base.options import parse_with_arguments
from millstream.cli.names import topic_and_channel
from millstream.net.runner import run
from millstream.tools.replay.options import ReplayOptions
from millstream.tools.replay.service import replay


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `millstream replay` with these arguments, or those of the process; names stand before or after flags."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    names, flags = topic_and_channel(arguments)
    options, rest = parse_with_arguments(ReplayOptions, flags, program="millstream replay TOPIC CHANNEL", version="")
    names += rest
    if len(names) != 2:
        sys.stderr.write("millstream replay: name a topic and a channel: millstream replay clicks archive --from=-1h\n")
        return 2
    return run(lambda: replay(options, names[0], names[1], sys.stdout.write, sys.stderr.write))
