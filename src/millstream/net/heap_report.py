"""What the memory of this process is used for, as text: objects by type, the collector's counts, a daemon's figures.

`net.http_debug` shows it for `/debug/pprof/heap`. `heap_text` runs in a thread of its own and holds the interpreter
only for as long as it takes to look at a few thousand objects.
"""

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from millstream.base.system import resident_bytes

Figures = Iterable[tuple[str, int]]

TYPES_MAX: Final = 50
LINES_MAX: Final = 50

_OBJECTS_AT_ONCE: Final = 5_000


def heap_text(figures: Figures) -> str:
    """The report. `figures` are what only the daemon knows: names and numbers."""
    lines = [f"{name:<32}{value}" for name, value in (*_process_figures(), *figures)]
    lines += ["", f"objects by type, but for {gc.get_freeze_count()} that were frozen at the start:"]
    lines += [f"{count:>12} {name}" for name, count in _objects_by_type().most_common(TYPES_MAX)]
    lines += ["", *_allocations()]
    return "".join(f"{line}\n" for line in lines)


def _process_figures() -> Figures:
    yield "resident_bytes", resident_bytes()
    yield "allocated_blocks", sys.getallocatedblocks()
    for generation, (count, stats) in enumerate(zip(gc.get_count(), gc.get_stats(), strict=False)):
        yield f"gc_generation_{generation}_count", count
        yield f"gc_generation_{generation}_collections", stats["collections"]
        yield f"gc_generation_{generation}_collected", stats["collected"]
        yield f"gc_generation_{generation}_uncollectable", stats["uncollectable"]


def _objects_by_type() -> Counter[str]:
    objects: list[Any] = gc.get_objects()
    by_type: Counter[type] = Counter()
    # Between two parts other threads get their turn.
    for start in range(0, len(objects), _OBJECTS_AT_ONCE):
        by_type.update(map(type, objects[start : start + _OBJECTS_AT_ONCE]))
    by_name: Counter[str] = Counter()
    for kind, count in by_type.items():
        by_name[f"{kind.__module__}.{kind.__qualname__}"] += count
    return by_name


def _allocations() -> list[str]:
    if not tracemalloc.is_tracing():
        return ["allocations by line: start the daemon with PYTHONTRACEMALLOC=1 in its environment to have them"]
    traced_bytes, peak_bytes = tracemalloc.get_traced_memory()
    statistics = tracemalloc.take_snapshot().statistics("lineno")[:LINES_MAX]
    lines = [f"allocations by line, {traced_bytes} bytes in all, {peak_bytes} at the peak:"]
    for found in statistics:
        frame = found.traceback[0]
        lines.append(f"{found.size:>12} bytes in {found.count} blocks {frame.filename}:{frame.lineno}")
    return lines
