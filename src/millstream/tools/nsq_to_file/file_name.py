"""The names of the files of one topic: made from a format and the time at which a record is written. Pure.

`tools.nsq_to_file.file_series` asks for the name whenever it writes, and begins a new file when it changed.
"""

import re
from datetime import UTC, datetime, tzinfo
from pathlib import PurePosixPath
from typing import Final

from millstream.base.errors import OptionError

_REVISION: Final = "<REV>"
_NS_PER_S: Final = 1_000_000_000
# Others are copied as they stand, as NSQ does.
_TIME_CODE: Final = re.compile("%[BbmAadHIMSYypZz%]")


def format_time(pattern: str, instant: datetime) -> str:
    """Write a time as strftime does, with the codes that NSQ's utility knows."""
    return _TIME_CODE.sub(lambda code: instant.strftime(code[0]), pattern)


def host_text(identifier: str, hostname: str) -> str:
    """What `<HOST>` stands for: the first label of the host's name, or the identifier that the user gave."""
    short = hostname.partition(".")[0]
    return identifier.replace("<SHORT_HOST>", short).replace("<HOSTNAME>", hostname) if identifier else short


class FileName:
    """Names relative to the output folder. Without revisions `<REV>` vanishes; with `gzip` a name ends in .gz."""

    def __init__(
        self,
        *,
        filename_format: str,
        datetime_format: str,
        topic: str,
        host: str,
        process_id: int,
        has_revisions: bool = False,
        gzip: bool = False,
        zone: tzinfo | None = None,
    ) -> None:
        """Raise OptionError when the format has no place for what is needed, or leads out of the folder.

        `zone` is the local one of the host when None.
        """
        if has_revisions and _REVISION not in filename_format:
            raise OptionError("missing <REV> in --filename-format when gzip or rotation is enabled")
        name = filename_format.replace("<TOPIC>", topic).replace("<HOST>", host).replace("<PID>", str(process_id))
        if gzip and not name.endswith(".gz"):
            name += ".gz"
        self._format = name if has_revisions else name.replace(_REVISION, "")
        self._datetime_format = datetime_format
        self._zone = zone
        self._check(self.at(0))

    def at(self, wall_ns: int) -> str:
        """The name at a time, given in nanoseconds since the Unix epoch; `<REV>` stands in it still."""
        instant = datetime.fromtimestamp(wall_ns // _NS_PER_S, tz=UTC).astimezone(self._zone)
        # Slashes in front are those of a folder below the output folder, as NSQ has it.
        return self._format.replace("<DATETIME>", format_time(self._datetime_format, instant)).lstrip("/")

    @staticmethod
    def with_revision(name: str, revision: int) -> str:
        """The name of one file: `-000000` and up where `<REV>` stands."""
        return name.replace(_REVISION, f"-{revision:06d}")

    def _check(self, name: str) -> None:
        path = PurePosixPath(name)
        # A topic may be called `..`, and topics are named by whoever publishes.
        if not path.name or ".." in path.parts or not name.isprintable() or name.endswith("/"):
            raise OptionError(f"--filename-format makes {name!r}: it has to be the name of a file in the output folder")
