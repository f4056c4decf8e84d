import asyncio
import io

from millstream.supervisor.board import COUNTERS_SHOWN_MAX, Board, counter_texts
from millstream.supervisor.console import Console
from millstream.supervisor.metrics import Metrics
from millstream.supervisor.stats import Row, Snapshot

ROW = Row(
    nsqd="shop", topic="sales", channel="stock", depth=3, in_flight=2, deferred=1, messages=60, requeues=4, clients=1
)
SNAPSHOT = Snapshot(taken_s=10.0, rows=(ROW,), silent=("other",))


def _board() -> Board:
    async def snapshot() -> Snapshot:
        return SNAPSHOT

    metrics = Metrics()
    metrics.feed(b"sold:7|c")
    return Board(Console(io.StringIO()), metrics, snapshot=snapshot, notes=lambda: ["a note"])


def test_plain_lines_hold_everything() -> None:
    _, headings, row, *rest = _board().plain_lines(SNAPSHOT)

    assert headings.split()[:4] == ["nsqd", "topic", "channel", "depth"]
    assert row.split() == ["shop", "sales", "stock", "3", "2", "1", "60", "0", "4"]
    assert rest == ["other does not answer", "a note", "sold=7"]


def test_rates_come_from_the_snapshot_before() -> None:
    board = _board()
    board.plain_lines(Snapshot(taken_s=8.0, rows=(ROW,), silent=()))
    later = Row(
        nsqd="shop",
        topic="sales",
        channel="stock",
        depth=0,
        in_flight=0,
        deferred=0,
        messages=100,
        requeues=0,
        clients=1,
    )

    row = board.plain_lines(Snapshot(taken_s=10.0, rows=(later,), silent=()))[2]

    assert row.split()[-2] == "20"


def test_counters_beyond_the_limit_are_counted() -> None:
    texts = counter_texts({f"c{number:03}": 1.0 for number in range(COUNTERS_SHOWN_MAX + 3)})

    assert texts[-1] == "and 3 more counters"


async def test_a_board_ends_with_its_context() -> None:
    async with _board().shown():
        pass

    assert not [task for task in asyncio.all_tasks() if task.get_name() == "board"]
