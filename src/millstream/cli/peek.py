"""The command `millstream peek TOPIC [CHANNEL]`: shows messages without taking them."""

import sys
from collections.abc import Sequence

from millstream.base.options import parse_with_arguments
from millstream.cli.names import topic_and_channel
from millstream.net.runner import run
from millstream.tools.peek.options import PeekOptions
from millstream.tools.peek.service import show


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `millstream peek` with these arguments, or those of the process; names stand before or after flags."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    names, flags = topic_and_channel(arguments)
    options, rest = parse_with_arguments(PeekOptions, flags, program="millstream peek TOPIC [CHANNEL]", version="")
    names += rest
    if not 1 <= len(names) <= 2:
        sys.stderr.write("millstream peek: name a topic, and a channel of it: millstream peek clicks archive\n")
        return 2
    channel = names[1] if len(names) > 1 else ""
    return run(lambda: show(options, names[0], channel, sys.stdout.write, sys.stderr.write))
