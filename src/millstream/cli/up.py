"""The command `millstream up DIR`: runs the system in a folder until Ctrl-C."""

import sys
from collections.abc import Sequence
from pathlib import Path

from millstream.base.options import parse_with_arguments
from millstream.supervisor.command import bring_up
from millstream.supervisor.options import UpOptions
from millstream.supervisor.service import say_where, until_stopped


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `millstream up` with these arguments, or those of the process; the folder stands before or after flags."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    folder = [arguments.pop(0)] if arguments and not arguments[0].startswith("-") else []
    options, rest = parse_with_arguments(UpOptions, arguments, program="millstream up [DIR]", version="")
    root = Path(next(iter([*folder, *rest]), "."))
    return bring_up(root, options, body=lambda plan: say_where(plan, until_stopped))


if __name__ == "__main__":
    sys.exit(main())
