"""What a torture comes to: numbers out of the books of its pieces, as text for people and as data for programs.

`torture.service` adds a `PieceVerdict` after each piece. A run holds when nothing acknowledged was lost, no promise was
seen broken, and every piece came to its end.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from textwrap import fill
from typing import Any, Final

from millstream.torture.aim import Aim
from millstream.torture.books import Books, ChannelBook
from millstream.torture.piece import Tally

_LABEL_WIDTH: Final = 17
_LINE_WIDTH: Final = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelVerdict:
    """One channel. `duplicated_max` is what its kills explain."""

    name: str
    acknowledged: int
    finished: int
    lost: int
    duplicated: int
    duplicated_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceVerdict:
    """One piece. `trouble` says why it ended early, `kept` where its data path is, when it is kept."""

    seed: int
    durability: str
    kills: dict[str, int]
    sent: int
    acknowledged: int
    lost: int
    channels: list[ChannelVerdict]
    recoveries_s: list[float]
    breaches: dict[str, int]
    examples: dict[str, list[str]]
    trouble: str
    again: str
    kept: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything was as promised."""
        return not (self.lost or self.breaches or self.trouble)

    def complaints(self) -> Iterator[str]:
        """A line for each thing that is not as promised, and where to look."""
        for kind, count in self.breaches.items():
            yield _row("broken", f"{kind} ({count:,}), such as {self.examples[kind][0]}")
        if self.trouble:
            yield _row("broken", f"it ended early: {self.trouble}")
        if self.lost:
            names = ", ".join(f"{channel.name} {channel.lost:,}" for channel in self.channels if channel.lost)
            yield _row("lost in", names)
        if not self.holds:
            yield _row("again", self.again)
        if self.kept:
            yield _row("kept", self.kept)


def judge(books: Books, tally: Tally, *, seed: int, durability: str, again: str) -> PieceVerdict:
    """What a piece comes to."""
    channels = [_judge_channel(book) for book in books.every_channel()]
    for channel in channels:
        if channel.duplicated > channel.duplicated_max:
            text = f"{channel.name}: {channel.duplicated}, where {channel.duplicated_max} are explained"
            books.breaches.note("more came twice than kills explain", text)
    acknowledged = sum(topic.acknowledged for topic in books.topics)
    return PieceVerdict(
        seed=seed,
        durability=durability,
        kills={aim.value: tally.kills[aim] for aim in Aim if tally.kills[aim]},
        sent=sum(len(topic.sent_at) for topic in books.topics),
        acknowledged=acknowledged,
        lost=books.lost(),
        channels=channels,
        recoveries_s=list(tally.recoveries_s),
        breaches=dict(books.breaches.counts),
        examples=dict(books.breaches.examples),
        trouble=tally.trouble or ("" if acknowledged else "nothing was acknowledged, so that nothing was shown"),
        again=again,
    )


def _judge_channel(book: ChannelBook) -> ChannelVerdict:
    return ChannelVerdict(
        name=book.name,
        acknowledged=book.topic.acknowledged,
        finished=book.finished,
        lost=len(book.missing()),
        duplicated=book.duplicates,
        duplicated_max=book.may_repeat,
    )


@dataclass(slots=True)
class Verdict:
    """All pieces of a run so far."""

    seed: int
    pieces: list[PieceVerdict] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything was as promised."""
        return all(piece.holds for piece in self.pieces)

    @property
    def lost(self) -> int:
        """Acknowledged messages that some channel was owed and never got."""
        return sum(piece.lost for piece in self.pieces)

    @property
    def acknowledged(self) -> int:
        """Messages that were answered with OK."""
        return sum(piece.acknowledged for piece in self.pieces)

    @property
    def kills(self) -> Counter[str]:
        """How often nsqd was killed, by what the kill hit."""
        total: Counter[str] = Counter()
        for piece in self.pieces:
            total.update(piece.kills)
        return total

    @property
    def breaches(self) -> Counter[str]:
        """How often each promise was seen broken."""
        total: Counter[str] = Counter()
        for piece in self.pieces:
            total.update(piece.breaches)
        return total

    def to_json(self) -> dict[str, Any]:
        """The same as data: sums, and every piece."""
        times = self._recoveries_s()
        channels = [channel for piece in self.pieces for channel in piece.channels]
        return {
            "seed": self.seed,
            "holds": self.holds,
            "kills": self.kills.total(),
            "kills_by_aim": dict(self.kills),
            "sent": sum(piece.sent for piece in self.pieces),
            "acknowledged": self.acknowledged,
            "finished": sum(channel.finished for channel in channels),
            "duplicated": sum(channel.duplicated for channel in channels),
            "duplicated_max": sum(channel.duplicated_max for channel in channels),
            "lost": self.lost,
            "recovery_median_s": median(times) if times else None,
            "recovery_max_s": max(times, default=None),
            "breaches": dict(self.breaches),
            "pieces": [asdict(piece) | {"holds": piece.holds} for piece in self.pieces],
        }

    def to_text(self) -> str:
        """A line for each number, then what was seen broken; the last line is `lost <n>`."""
        data = self.to_json()
        aims = ", ".join(f"{count} {aim}" for aim, count in self.kills.most_common())
        lines = [
            fill(
                _row("kills", f"{data['kills']:,}" + (f": {aims}" if aims else "")),
                width=_LINE_WIDTH,
                subsequent_indent=" " * _LABEL_WIDTH,
            ),
            _row("published", f"{data['sent']:,} messages, {data['acknowledged']:,} of them acknowledged"),
            _row("finished", f"{data['finished']:,} deliveries, over all channels"),
            _row("duplicated", f"{data['duplicated']:,}; {data['duplicated_max']:,} are what kills explain at most"),
            _row("lost", f"{data['lost']:,} acknowledged messages"),
        ]
        times = self._recoveries_s()
        if times:
            words = f"median {median(times):.2f} s, max {max(times):.2f} s, of {len(times):,} starts"
            lines.append(_row("time to recover", words))
        broken = [_row("broken", f"{kind} ({count:,})") for kind, count in self.breaches.items()]
        broken += [_row("broken", f"a piece ended early: {piece.trouble}") for piece in self.pieces if piece.trouble]
        return "\n".join([*lines, *broken, f"lost {self.lost}"])

    def _recoveries_s(self) -> list[float]:
        # The first start of a piece has nothing to recover.
        return [seconds for piece in self.pieces for seconds in piece.recoveries_s[1:]]


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}}{text}"
