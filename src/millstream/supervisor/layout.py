"""Finds the services of a folder by the layout convention.

A service is a folder of the root with `<service>_api.py` (its web app), `queuereader_<name>.py` (its readers), or both;
`settings.toml` beside them is read by the service itself.  What is found here goes to `supervisor.plan`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from millstream.supervisor.errors import LayoutError

SERVICES_MAX: Final = 200

# A service's name becomes part of file names, process names and metric keys.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One folder of the system: what of it runs as a process."""

    name: str
    folder: Path
    web_app: Path | None
    readers: tuple[Path, ...]


def discover(root: Path) -> tuple[Service, ...]:
    """The services in `root`, by name. Raises LayoutError when there is none, or far too many to be meant."""
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name))
    except OSError as error:
        raise LayoutError(f"cannot read the system's folder {root} - {error}") from error
    services = tuple(service for folder in folders if (service := _service(folder)) is not None)
    if not services:
        raise LayoutError(
            f"no service in {root}: expected folders with <service>/<service>_api.py or <service>/queuereader_<name>.py"
        )
    if len(services) > SERVICES_MAX:
        raise LayoutError(f"{len(services)} services in {root}, the limit is {SERVICES_MAX}")
    return services


def _service(folder: Path) -> Service | None:
    web_app = folder / f"{folder.name}_api.py"
    readers = tuple(
        sorted(path for path in folder.glob("queuereader_*.py") if path.is_file() and _NAME.fullmatch(path.stem))
    )
    has_web_app = web_app.is_file()
    if not has_web_app and not readers:
        return None
    return Service(name=folder.name, folder=folder, web_app=web_app if has_web_app else None, readers=readers)
