"""Every flag that the original programs print has its row in docs/compatibility.md, and no other has one."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from peer_daemons import PROGRAMS, BuildFailed, build

from compatibility.table import Section, read_sections

DEADLINE_S: Final = 20
FLAGS: Final[dict[str, Section]] = {section.program: section for section in read_sections() if section.mark == "--"}

# The first test may have to build the originals.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def original() -> Path:
    """The folder of the original programs."""
    try:
        return build()
    except BuildFailed as reason:
        pytest.skip(f"the original NSQ cannot be built here: {reason}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_flag_that_the_original_prints_has_its_row(program: str, original: Path) -> None:
    done = subprocess.run(
        [str(original / program), "-h"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    printed = set(re.findall(r"^  -([a-z0-9-]+)", done.stderr, re.MULTILINE))
    section = FLAGS[program]

    assert printed
    assert printed == set(section.rows) - set(section.later)
