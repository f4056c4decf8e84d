"""The compiled core does not get slower unnoticed: instructions per message, counted by callgrind, against figures.

The figures are in `instructions.json`, per version of Python. A change that needs more than a tenth more of them
changes that file in the same commit: `make instructions` writes it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).resolve().parent
PROGRAM: Final = FOLDER / "instructions.py"
FIGURES: Final = FOLDER / "instructions.json"
RISE_MAX: Final = 1.1
TIMEOUT_S: Final = 300.0
PYTHON: Final = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
# Of each piece of work, in the order of the marks in the program; None is preparation.
PIECES: Final = (
    None,
    ("publish batches", 10_000),
    None,
    ("deliver and finish", 10_000),
    ("publish one by one", 2_000),
    ("publish one in a turn", 1_000),
    ("publish over HTTP", 1_000),
    None,
)


def count(folder: Path) -> dict[str, int]:
    """Instructions per message of each piece."""
    valgrind = shutil.which("valgrind")
    assert valgrind is not None
    command = [valgrind, "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={folder}/out"]
    command += [sys.executable, str(PROGRAM), str(folder / "data")]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Every mark makes one more numbered file; what comes behind the last one is in the file without a number.
    totals = [total_of(folder / f"out.{number}") for number in range(1, len(PIECES))]
    totals.append(total_of(folder / "out"))
    return {piece[0]: total // piece[1] for piece, total in zip(PIECES, totals, strict=True) if piece is not None}


def total_of(path: Path) -> int:
    """What callgrind counted in one part."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(int(line.removeprefix("totals: ")) for line in reversed(lines) if line.startswith("totals: "))


@pytest.mark.timeout(TIMEOUT_S + 20)
def test_the_compiled_core_needs_no_more_instructions_than_its_figures_say(tmp_path: Path) -> None:
    if os.environ.get("MILLSTREAM_EXPECT_COMPILED") != "1":
        pytest.skip("instructions are counted of compiled modules")
    if shutil.which("valgrind") is None and "CI" not in os.environ:
        pytest.skip("there is no valgrind: apt install valgrind")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    counted = count(tmp_path)
    if "MILLSTREAM_WRITE_FIGURES" in os.environ:
        figures[PYTHON] = counted
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if PYTHON not in figures:
        pytest.skip(f"no figures for {PYTHON}: make instructions writes them")

    risen = {
        name: (figures[PYTHON][name], now) for name, now in counted.items() if now > figures[PYTHON][name] * RISE_MAX
    }

    assert not risen, f"more instructions per message than {FIGURES.name} allows (figure, now): {risen}"
