"""What every test relies on: the code under test is the code in the repository, each test gets its event loop.

`MILLSTREAM_LOOP` (asyncio or uvloop) chooses the event loop of all tests; a test that must hold on both says
`@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])`.  `MILLSTREAM_EXPECT_COMPILED=1` says that the installed
wheel is under test, not src.  `HYPOTHESIS_PROFILE=dev` draws new examples at each run; the default repeats itself.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import hypothesis
import pytest

import millstream
from millstream.supervisor import ports

ROOT: Final = Path(__file__).resolve().parent.parent
SRC: Final = ROOT / "src"

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOPS: Final[dict[str, LoopFactory]] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:  # Windows: tests that ask for it are skipped
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop

hypothesis.settings.register_profile("ci", derandomize=True, database=None, deadline=None, max_examples=100)
hypothesis.settings.register_profile("dev", deadline=None, max_examples=300)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def stale_extensions(folder: Path) -> list[Path]:
    """Compiled modules under `folder` older than the source beside them: Python would run them all the same."""
    stale = []
    for compiled in [*folder.rglob("*.so"), *folder.rglob("*.pyd")]:
        stem = compiled.name.partition(".")[0]
        sources = [compiled.with_name(stem + suffix) for suffix in (".py", ".pxd")]
        if any(source.exists() and source.stat().st_mtime_ns > compiled.stat().st_mtime_ns for source in sources):
            stale.append(compiled)
    return stale


# Ports that tests choose for daemons which are not always up: a slice for each worker, below what programs choose.
PORTS_FIRST: Final = 10_000
PORTS_PER_WORKER: Final = 1_000
SLICES: Final = 10


def own_ports(worker: str) -> tuple[int, int]:
    """The first and the last port of a worker of xdist, which may be called gw3, or of a run without workers."""
    first = PORTS_FIRST + int(worker.removeprefix("gw") or 0) % SLICES * PORTS_PER_WORKER
    return first, first + PORTS_PER_WORKER - 1


def pytest_configure() -> None:
    """Refuse to test anything but what the repository says, and give each worker ports of its own."""
    ports.AUTO_FIRST, ports.AUTO_LAST = own_ports(os.environ.get("PYTEST_XDIST_WORKER", ""))
    stale = stale_extensions(SRC)
    if stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        raise pytest.UsageError(f"{names}: older than the source beside it; delete it (make clean)")
    from_src = any(Path(folder).is_relative_to(SRC) for folder in millstream.__path__)
    if from_src and os.environ.get("MILLSTREAM_EXPECT_COMPILED") == "1":
        raise pytest.UsageError("the compiled leg imports src instead of the installed wheel")
    if os.environ.get("MILLSTREAM_LOOP", "asyncio") not in LOOPS:
        raise pytest.UsageError(f"MILLSTREAM_LOOP must be one of: {', '.join(LOOPS)}")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Give a test every loop when it names loops itself, and the chosen one otherwise."""
    marker = item.get_closest_marker("asyncio")
    if marker is not None and "loop_factories" in marker.kwargs:
        return LOOPS
    chosen = os.environ.get("MILLSTREAM_LOOP", "asyncio")
    return {chosen: LOOPS[chosen]}


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """What a daemon in this process makes of the log is over with the test that started it."""
    logger = logging.getLogger("millstream")
    level, propagate, handlers = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.propagate = propagate
    logger.handlers[:] = handlers


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    """Whether there is such a process, other than one that has ended and that nobody has asked about."""

    def look(pid: int) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False

    return look
