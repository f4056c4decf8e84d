"""The command `millstream log VERB PATH`: looks at a data path of nsqd offline; changes nothing, and takes no lock."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Final, TypeVar

from millstream.base.options import parse_with_arguments
from millstream.base.system import SystemClock
from millstream.storage.files import ReadOnlyFiles
from millstream.storage.inspection import Inspection
from millstream.tools.data_path.command import FAILED, DataPath
from millstream.tools.data_path.options import DumpOptions, LookOptions

_PAUSE_S: Final = 0.1
_USAGE: Final = """usage: millstream log VERB PATH [flags]; -h after a verb lists its flags

  inspect  topics, segments and channels of a data path, or of one topic's folder
  verify   walks everything and compares checksums: status 0 when sound, 1 when damaged
  dump     messages of a topic, or of a file that was set aside, as lines of JSON or raw bodies
"""

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `millstream log` with these arguments, or those of the process; the path stands before or after flags."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments.pop(0) if arguments else ""
    if verb == "dump":
        dump_options, path = _parse(DumpOptions, verb, arguments)
        return _data_path(path, thorough=False).dump(dump_options) if path else FAILED
    if verb in ("inspect", "verify"):
        options, path = _parse(LookOptions, verb, arguments)
        if not path:
            return FAILED
        data_path = _data_path(path, thorough=verb == "verify")
        return data_path.verify(options) if verb == "verify" else data_path.inspect(options, SystemClock())
    sys.stderr.write(_USAGE)
    return 0 if verb in ("-h", "--help", "help") else FAILED


def _parse(cls: type[T], verb: str, arguments: list[str]) -> tuple[T, str]:
    program = f"millstream log {verb}"
    first = [arguments.pop(0)] if arguments and not arguments[0].startswith("-") else []
    try:
        options, rest = parse_with_arguments(cls, arguments, program=program, version="")
    except SystemExit as end:
        # 1 is what verify says of damage.
        raise SystemExit(FAILED if end.code else 0) from None
    paths = [*first, *rest]
    if len(paths) != 1:
        sys.stderr.write(f"{program}: name one path, before or after the flags: {program} /var/lib/nsqd\n")
        return options, ""
    return options, paths[0]


def _data_path(path: str, *, thorough: bool) -> DataPath:
    files = ReadOnlyFiles()
    inspection = Inspection(files, thorough=thorough, pause=lambda: time.sleep(_PAUSE_S))
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    return DataPath(path, files, inspection, output, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
