import tracemalloc

from millstream.net.heap_report import TYPES_MAX, heap_text


class Peculiar:
    """Nobody else has these."""

    def __init__(self) -> None:
        self.itself = self


def test_objects_are_counted_by_type_beside_the_figures_of_the_daemon() -> None:
    kept = [Peculiar() for _ in range(70_000)]

    lines = heap_text([("nsqd_clients", 7)]).splitlines()

    figures = {line.split()[0]: int(line.split()[1]) for line in lines[: lines.index("")]}
    assert figures["nsqd_clients"] == 7
    assert figures["resident_bytes"] > 1 << 20
    assert figures["allocated_blocks"] > 70_000
    assert figures["gc_generation_2_collections"] >= 0
    (found,) = [line for line in lines if line.endswith(".Peculiar")]
    assert int(found.split()[0]) >= len(kept)
    assert len(lines) < TYPES_MAX + 40


def test_allocations_are_listed_where_they_are_traced() -> None:
    assert "PYTHONTRACEMALLOC=1" in heap_text([])
    tracemalloc.start()
    try:
        kept = [bytes(1_000) for _ in range(1_000)]
        report = heap_text([])
    finally:
        tracemalloc.stop()

    listed = report.partition("allocations by line, ")[2]
    assert "test_heap_report.py" in listed
    assert len(listed.splitlines()) <= 51
    assert kept
