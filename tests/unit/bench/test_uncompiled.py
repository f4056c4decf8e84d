"""From sources, whatever else is installed."""

import subprocess
import sys

from millstream.bench.uncompiled import SourcesOnly

HOT = "millstream.protocol.frames"
SHOW = f"""
import sys
from millstream.bench.uncompiled import SourcesOnly
sys.meta_path.insert(0, SourcesOnly())
import {HOT}
print({HOT}.__file__)
"""


def test_hot_modules_come_from_their_source() -> None:
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)

    assert done.stdout.strip().endswith("protocol/frames.py")


def test_a_command_runs() -> None:
    command = [sys.executable, "-m", "millstream.bench.uncompiled", "millstream.cli.main", "version"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("millstream ")


def test_modules_of_others_are_left_to_others() -> None:
    assert SourcesOnly().find_spec("json", None) is None
    assert SourcesOnly().find_spec("millstream.absent", []) is None
