"""A folder of its own for each run of the demo, so that its books start empty; old ones are removed.

Made below `--data-dir` for `cli.demo`.
"""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Final

KEPT: Final = 3
_PREFIX: Final = "run-"


def new_run_folder(base: Path, now: datetime) -> Path:
    """Makes `<base>/run-<time>` and removes all but the newest few of its kind. Raises OSError."""
    base.mkdir(parents=True, exist_ok=True)
    for old in sorted(base.glob(f"{_PREFIX}*"))[: 1 - KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    folder = base / f"{_PREFIX}{now:%Y%m%d-%H%M%S-%f}"
    folder.mkdir()
    return folder.absolute()


def recorded_clicks(wanted: str) -> Path | None:
    """The file of `--clicks`: `auto` takes the recorded clicks beside the repository if there are any, `none` none."""
    if wanted == "none":
        return None
    if wanted != "auto":
        return Path(wanted).absolute()
    # `make demo` runs the installed package from the repository; from a checkout the package itself says where that is.
    for repository in (Path.cwd(), Path(__file__).parents[3]):
        nearby = repository.parent / "shared" / "data" / "usagov_clicks.jsonl"
        if nearby.is_file():
            return nearby
    return None
