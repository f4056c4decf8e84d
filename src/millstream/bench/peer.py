"""Finds the original nsqd: on the PATH, or built with Go from pinned sources into the user's cache.

Which version that is stands in the go.mod of a module folder (`tests/system/peer` of the repository); a build is done
once per machine and version.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from millstream.base.errors import MillstreamError

MODULE_FOLDER: Final = Path("tests/system/peer")
PINNED: Final = ("go.mod", "go.sum", "tools.go")
BUILD_TIMEOUT_S: Final = 300.0
VERSION_TIMEOUT_S: Final = 10.0

_PROGRAM: Final = "nsqd"
_PACKAGE: Final = "github.com/nsqio/nsq/apps/nsqd"
_OURS: Final = "Python"


class PeerMissing(MillstreamError):
    """There is no original nsqd, and none can be built here; the text says why."""


def find_peer(module_folder: Path = MODULE_FOLDER) -> str:
    """Path of an original nsqd. Raises PeerMissing."""
    on_path = next((found for found in _candidates() if is_original(found)), None)
    return on_path if on_path is not None else str(_built(module_folder.absolute()))


def is_original(program: str) -> bool:
    """Whether a program is an nsqd, and not ours, which has the same name."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.startswith("nsqd v") and _OURS not in done.stdout


def _candidates() -> list[str]:
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return [found for folder in folders if folder and (found := shutil.which(_PROGRAM, path=folder)) is not None]


def _built(module_folder: Path) -> Path:
    try:
        pinned = b"".join((module_folder / name).read_bytes() for name in PINNED)
    except OSError as error:
        raise PeerMissing(f"no nsqd on the PATH, and nothing to build one from: {error}") from error
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millstream"
    program = cache / f"peer-{hashlib.sha256(pinned).hexdigest()[:16]}" / _PROGRAM
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise PeerMissing("no nsqd on the PATH, and no Go to build one with")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", scratch, _PACKAGE]
        try:
            subprocess.run(command, cwd=module_folder, capture_output=True, check=True, timeout=BUILD_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines() or ["nothing said"]
            raise PeerMissing(f"go build: {said[-1]}") from error
        except subprocess.TimeoutExpired as error:
            raise PeerMissing(f"go build took more than {BUILD_TIMEOUT_S:.0f} s") from error
        (Path(scratch) / _PROGRAM).replace(program)
    return program
