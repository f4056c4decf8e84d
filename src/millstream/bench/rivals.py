"""Other Python clients of NSQ, installed into an environment of their own in the user's cache.

They are no requirement of ours, and need versions of other packages that we would not choose; a benchmark installs
them when it is asked to measure them, and leaves them out, saying so, where that cannot be done.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from millstream.base.errors import MillstreamError

PINNED: Final = ("pynsq==0.9.1", "gnsq==1.0.2", "asyncnsq==1.2.1")
INSTALL_TIMEOUT_S: Final = 300.0

_SAID_BYTES: Final = 300


class RivalsMissing(MillstreamError):
    """The other clients cannot be installed here; the text says why."""


def find_rivals() -> str:
    """The interpreter that has the other clients, after installing them when need be. Raises RivalsMissing."""
    wanted = "\n".join([*PINNED, sys.version])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millstream"
    folder = cache / f"clients-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINNED])
        done.write_text(wanted, encoding="utf-8")
    return str(python)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(
            command, capture_output=True, check=True, timeout=INSTALL_TIMEOUT_S, stdin=subprocess.DEVNULL, text=True
        )
    except subprocess.CalledProcessError as error:
        raise RivalsMissing(f"{' '.join(PINNED)}: {error.stderr[-_SAID_BYTES:].strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RivalsMissing(f"{' '.join(PINNED)}: {error}") from error
