"""The flags of `millstream torture`, and the command line of the nsqd that it kills.

`cli.torture` parses them; `torture.service` runs what they say. Without `--nsqd-command` the daemon is the nsqd of this
installation, with segments so small and so few messages in memory that kills hit the seams of its log.
"""

import shlex
import sys
from dataclasses import dataclass
from typing import Final

from millstream.base.errors import OptionError
from millstream.base.options import check, option

_OWN_FLAGS: Final = (
    "--max-bytes-per-file=262144",
    "--mem-queue-size=1000",
    "--msg-timeout=150ms",
    "--broadcast-address=127.0.0.1",
)
_SEED_BITS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TortureOptions:
    """How long, how hard, and which nsqd."""

    kills: int = option(50, "kill nsqd this often", low=1, high=1_000_000)
    kills_per_piece: int = option(
        50, "look at the books after this many kills, and go on with an empty data path", low=1, high=10_000
    )
    seed: int = option(0, "repeat the choices of an earlier run; 0: choose one, and say so", low=0, high=2**53)
    durability: str = option(
        "log",
        "the level of this installation's nsqd; both: pieces take turns at log and fsync",
        choices=("log", "fsync", "both", "memory"),
    )
    nsqd_command: str = option(
        "", "kill this nsqd instead; --data-path, --tcp-address and --http-address are appended to the command line"
    )
    seconds_per_round: float = option(
        0.5,
        "kill at the latest after this much load; one round in twelve may take eight times as long",
        low=0.05,
        high=3_600,
    )
    work_dir: str = option("", "make data paths in this folder, on the disk in question; the system's own when empty")
    report: str = option("", "write the verdict to this file too, as JSON")
    keep: bool = option(False, "keep every data path; without it one is kept when its piece failed")

    def __post_init__(self) -> None:
        """Raise OptionError when a value is out of bounds, or values contradict each other."""
        check(self)
        if self.nsqd_command and self.durability != "log":
            raise OptionError(
                f"durability is {self.durability!r} beside nsqd_command: write the level into the command, as its flag"
            )
        self.command(0)

    def durability_of(self, piece: int) -> str:
        """The level that a piece runs at; empty for a command of the user's."""
        if self.nsqd_command:
            return ""
        if self.durability == "both":
            return ("log", "fsync")[piece % 2]
        return self.durability

    def command(self, piece: int) -> list[str]:
        """The words that start nsqd for a piece, but for its addresses and data path. Raises OptionError."""
        if not self.nsqd_command:
            words = [sys.executable, "-m", "millstream.cli.nsqd", *_OWN_FLAGS]
            return [*words, f"--durability={self.durability_of(piece)}"]
        try:
            words = shlex.split(self.nsqd_command)
        except ValueError as error:
            raise OptionError(f"nsqd_command is {self.nsqd_command[:80]!r}: {error}") from error
        if not words:
            raise OptionError("nsqd_command is blank: write a program and its flags, or leave the flag out")
        return words

    def again(self, piece: int, seed: int, kills: int) -> str:
        """The command that repeats a piece."""
        words = ["millstream", "torture", f"--kills={kills}", f"--kills-per-piece={kills}", f"--seed={seed}"]
        if self.nsqd_command:
            words.append(f"--nsqd-command={self.nsqd_command}")
        else:
            words.append(f"--durability={self.durability_of(piece)}")
        if self.seconds_per_round != TortureOptions().seconds_per_round:
            words.append(f"--seconds-per-round={self.seconds_per_round:g}")
        if self.work_dir:
            words.append(f"--work-dir={self.work_dir}")
        return shlex.join(words)
