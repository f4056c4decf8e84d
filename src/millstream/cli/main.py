"""The command `millstream`: its first argument names the subcommand, which gets the rest."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from millstream.base.version import VERSION
from millstream.cli import bench, demo, log, peek, replay, torture, up

_COMMANDS: Final[Mapping[str, tuple[Callable[[Sequence[str]], int], str]]] = {
    "up": (up.main, "run the system in a folder: daemons, web apps and readers"),
    "bench": (bench.main, "measure this nsqd beside the original, and the clients, and say which goals are met"),
    "log": (log.main, "look at a data path of nsqd offline: inspect, verify, dump"),
    "demo": (demo.main, "run the reference system with visitors, and check that everything arrives"),
    "peek": (peek.main, "show messages of a channel without taking them"),
    "replay": (replay.main, "give a channel messages once more, from the log or from archives"),
    "torture": (torture.main, "kill an nsqd with kill -9 again and again, and count what is lost"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand with these arguments, or those of the process."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else ""
    if name in _COMMANDS:
        return _COMMANDS[name][0](arguments[1:])
    if name.lstrip("-") == "version":
        sys.stdout.write(f"millstream {VERSION}\n")
        return 0
    usage = "\n".join(f"  {command:<8} {text}" for command, (_, text) in _COMMANDS.items())
    sys.stderr.write(f"usage: millstream COMMAND [flags]; -h after a command lists its flags\n\n{usage}\n")
    return 0 if name in ("-h", "--help", "help") else 2


if __name__ == "__main__":
    sys.exit(main())
