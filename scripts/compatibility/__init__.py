"""Writes `docs/compatibility.md`: what NSQ has, what stands here in its place, and which test shows it.

`nsq.toml` says what NSQ has; `exists` reads off the code what this repository has, and `routes` asks its daemons;
`collect` is the pytest plugin that reads from the tests what they show (`@pytest.mark.shows`); `table` brings them
together and says what is missing; `page` prints it. `make compatibility` writes the page,
`tests/unit/test_compatibility.py` compares it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from compatibility import collect, exists, table

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "compatibility.md"
COLLECTING_DEADLINE_S: Final = 300


class CollectingFailed(Exception):
    """pytest could not collect the tests."""


def current() -> table.Table:
    """The table as tests and code have it now. Raises CollectingFailed, and NotStarted of `routes`."""
    sections = table.read_sections()
    existing = {section.kind: exists.KINDS[section.kind]() for section in sections if section.kind}
    return table.build(sections, existing, shown())


def shown() -> list[table.Shown]:
    """What the tests of this repository show. Only files that say something are collected. Raises CollectingFailed."""
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if _may_show(path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "scripts"), environment.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "shown.json"
        environment[collect.VARIABLE] = str(result)
        words = ["--collect-only", "--quiet", "-p", "no:cacheprovider", "-p", collect.__name__]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, *map(str, files)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COLLECTING_DEADLINE_S,
            check=False,
        )
        if done.returncode != 0:
            raise CollectingFailed("\n".join([*done.stdout.splitlines()[-20:], done.stderr]))
        return [table.Shown(**declared) for declared in json.loads(result.read_text(encoding="utf-8"))]


def _may_show(path: Path) -> bool:
    """Whether a file of tests has declarations, or takes them from a module beside it."""
    beside = [module for module in path.parent.glob("*.py") if not module.name.startswith("test_")]
    return any("mark.shows" in module.read_text(encoding="utf-8") for module in [path, *beside])
