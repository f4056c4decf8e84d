"""The file with the rules: read at start, and again when it has changed.

`nsqauthd.service` asks it to look, by a timer and on SIGHUP; `nsqauthd.http` takes the rules in force from it. A file
that cannot be used leaves those in force that were.
"""

from pathlib import Path
from typing import Final

from millstream.base.log import get_logger
from millstream.nsqauthd.rules import BadRules, Judge, Rules, parse_rules

log = get_logger(__name__)

FILE_BYTES_MAX: Final = 4 << 20

_Signature = tuple[int, int, int] | None


class RulesFile:
    """The rules of a file. `load` first; `error` says why what the file holds now is not in force, if so."""

    def __init__(self, path: str, judge: Judge) -> None:
        self._path = Path(path)
        self._judge = judge
        self._seen: _Signature = None
        self.rules = Rules(())
        self.error = ""

    def load(self) -> None:
        """Read the file. Raises BadRules, and then the rules are as before."""
        # Taken before the content: a change in between is found at the next look.
        self._seen = self._signature()
        try:
            with self._path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
            if len(content) > FILE_BYTES_MAX:
                raise BadRules(f"it is larger than {FILE_BYTES_MAX} bytes")
            self.rules = parse_rules(content.decode("utf-8"), self._judge)
            self.error = ""
        except OSError as error:
            self.error = f"failed to load rules file {self._path} - {error.strerror or error}"
            raise BadRules(self.error) from error
        except (ValueError, BadRules) as error:
            self.error = f"failed to load rules file {self._path} - {error}"
            raise BadRules(self.error) from error

    def reload(self) -> bool:
        """Read the file again; False, and a line in the log that nobody misses, when the old rules stay in force."""
        try:
            self.load()
        except BadRules as error:
            log.error("rules.refused", error=error, still_in_force=len(self.rules.rules))
            return False
        log.info("rules.loaded", path=self._path, rules=len(self.rules.rules))
        return True

    def reload_if_changed(self) -> bool:
        """Read the file again if it is not the one that was read last; True when new rules are in force."""
        return self._signature() != self._seen and self.reload()

    def _signature(self) -> _Signature:
        try:
            found = self._path.stat()
        except (OSError, ValueError):
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
