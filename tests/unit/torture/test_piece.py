"""`torture.piece` with a real nsqd under a few kills: what it loses is found, and what it keeps too."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from millstream.base.system import SystemClock
from millstream.storage.files import DirectoryLock
from millstream.supervisor.ports import auto_ports
from millstream.torture.piece import Piece
from millstream.torture.victim import NsqdFailed, Victim

NSQD = (sys.executable, "-m", "millstream.cli.nsqd")
# Saves no journal in the time of a round.
LATE = """
import sys
from millstream.cli.nsqd import main
from millstream.nsqd import turn
turn.SAVE_DELAY_S = 60.0
sys.exit(main())
"""
MakePiece = Callable[..., Piece]


@pytest.fixture
async def make_piece(tmp_path: Path) -> AsyncIterator[MakePiece]:
    victims: list[Victim] = []

    def make(*command: str, kills: int) -> Piece:
        ports = auto_ports(("tcp", "http"))
        victims.append(Victim(command, tmp_path, SystemClock(), tcp_port=ports["tcp"], http_port=ports["http"]))
        return Piece(victims[-1], 1, SystemClock(), kills=kills, seconds_per_round=0.3)

    yield make
    for victim in victims:
        await victim.end()


def nothing() -> None:
    """Nobody wants to hear of kills."""


async def test_a_piece_kills_as_often_as_it_is_told_and_reads_everything(make_piece: MakePiece) -> None:
    piece = make_piece(*NSQD, kills=3)
    kills: list[int] = []

    await piece.run(lambda: kills.append(piece.tally.kills.total()))

    assert kills == [1, 2, 3]
    assert (piece.tally.trouble, piece.books.lost()) == ("", 0)
    assert dict(piece.books.breaches.counts) == {}, piece.books.breaches.examples
    channels = piece.books.every_channel()
    assert all(topic.acknowledged for topic in piece.books.topics)
    assert all(channel.has_begun for channel in channels)
    assert any(channel.finished for channel in channels if not channel.plan.consumers)
    assert len(piece.tally.recoveries_s) >= 2


async def test_what_is_in_memory_alone_is_lost_and_counted(make_piece: MakePiece) -> None:
    piece = make_piece(*NSQD, "--durability=memory", kills=2)

    await piece.run(nothing)

    assert piece.tally.trouble == ""
    assert piece.books.lost() > 0


async def test_an_nsqd_that_saves_its_journals_too_late_is_found(make_piece: MakePiece) -> None:
    piece = make_piece(sys.executable, "-c", LATE, kills=3)

    await piece.run(nothing)

    assert (piece.tally.trouble, piece.books.lost()) == ("", 0)
    assert any(channel.duplicates > channel.may_repeat for channel in piece.books.every_channel())


async def test_a_piece_that_is_stopped_is_read_to_its_end(make_piece: MakePiece) -> None:
    piece = make_piece(*NSQD, kills=1_000)

    await piece.run(piece.stop)

    assert piece.tally.kills.total() == 1
    assert (piece.tally.trouble, piece.books.lost()) == ("", 0)


async def test_a_piece_that_is_cancelled_leaves_no_process(make_piece: MakePiece, tmp_path: Path) -> None:
    piece = make_piece(*NSQD, kills=1_000)
    killed = asyncio.Event()
    task = asyncio.ensure_future(piece.run(killed.set))
    await killed.wait()

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert task.cancelled()
    DirectoryLock(str(tmp_path / "data")).release()  # nobody else has it


async def test_an_nsqd_that_cannot_be_started_at_all_is_an_error(make_piece: MakePiece) -> None:
    with pytest.raises(NsqdFailed, match="no-such-flag"):
        await make_piece(*NSQD, "--no-such-flag", kills=1).run(nothing)


async def test_an_nsqd_that_does_not_come_back_has_lost_what_it_had(make_piece: MakePiece, tmp_path: Path) -> None:
    only_once = (
        f'test -e {tmp_path}/once && exit 7; touch {tmp_path}/once; exec {sys.executable} -m millstream.cli.nsqd "$@"'
    )
    piece = make_piece("/bin/sh", "-c", only_once, "sh", kills=2)

    await piece.run(nothing)

    assert piece.tally.trouble
    assert piece.books.lost() > 0
