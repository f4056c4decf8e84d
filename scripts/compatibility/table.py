"""The rows of the page, each with the tests that show it, and what is wrong with them.

Rows come from `nsq.toml`, which says what NSQ has, and from `exists`, for what only this repository has. Declarations
come from `collect`. `complaints` has a sentence for everything that keeps the page from being true.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

NSQ: Final = Path(__file__).with_name("nsq.toml")

SAME, BETTER, NOT_OFFERED, DIFFERS, BEYOND = "same", "better", "not offered", "differs", "beyond"
# Of a row that several tests show, the first of these that one of them says.
WORST_FIRST: Final = (DIFFERS, NOT_OFFERED, BETTER, SAME)

# Kinds of which a thing is offered when it exists. A statistic may exist and say nothing.
_USED: Final = ("flags", "routes", "commands", "programs")

_ROW: Final = re.compile(r"(?P<name>[^{]+?)(?: \{(?P<takes>[^}]*)\})?")

Names = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """What one test says of one row; `place` is `path::name` of the test."""

    row: str
    state: str
    note: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Things of one kind. `mark` stands between the program and a name, a colon before what is no name but a sentence.

    `kind` names what can be read off the code. `later` are those rows that NSQ has only since the version compared
    with; `beyond` are things of ours that cannot be read off the code.
    """

    heading: str
    title: str
    program: str
    mark: str = ""
    kind: str = ""
    rows: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

    def row(self, text: str, note: str = "", *, is_nsqs: bool) -> "Row":
        """Make a row of `name {what it takes, ...}`."""
        found = _ROW.fullmatch(text)
        if found is None:
            raise ValueError(f"{self.title}: {text!r} is no row: write `name` or `name {{parameter, ...}}`")
        name = found["name"]
        takes = tuple(found["takes"].split(", ")) if found["takes"] else ()
        is_sentence = self.mark == ":"
        full = f"{self.program}: {name}" if is_sentence else f"{self.program} {self.mark}{name}"
        # A mark that is a word is in the section's title already.
        what = name if is_sentence else f"`{'' if self.mark.endswith(' ') else self.mark}{name}`"
        return Row(
            name=full, what=what, takes=takes, note=note, is_nsqs=is_nsqs, is_later=name in self.later, short=name
        )


@dataclass(slots=True, kw_only=True)
class Row:
    """One thing. Tests call it by `name`; the page has `what` and `takes`; `note` is what the code says of it."""

    name: str
    short: str
    what: str
    takes: tuple[str, ...]
    note: str
    is_nsqs: bool
    is_later: bool
    shown: list[Shown] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The worst that a test says of it."""
        if not self.is_nsqs:
            return BEYOND
        return next((state for state in WORST_FIRST if any(one.state == state for one in self.shown)), SAME)

    @property
    def notes(self) -> str:
        """What the tests say of it, each thing once; else what the code says."""
        said = list(dict.fromkeys(one.note for one in self.shown if one.note))
        return "; ".join(said) if said else ("" if self.is_nsqs else self.note)

    @property
    def places(self) -> dict[str, int]:
        """The tests, each with how many cases of it there are."""
        found: dict[str, int] = {}
        for one in self.shown:
            found[one.place] = found.get(one.place, 0) + 1
        return found


@dataclass(frozen=True, slots=True)
class Part:
    """A section with its rows: those that NSQ has, and those beyond."""

    section: Section
    rows: Sequence[Row]
    beyond: Sequence[Row]

    def __iter__(self) -> Iterator[Row]:
        yield from self.rows
        yield from self.beyond


@dataclass(frozen=True, slots=True)
class Table:
    """Everything, and what tests say of rows that do not exist."""

    parts: Sequence[Part]
    unknown: Sequence[Shown]
    existing: Mapping[str, Names]

    def __iter__(self) -> Iterator[Row]:
        for part in self.parts:
            yield from part


def read_sections(path: Path = NSQ) -> list[Section]:
    """What NSQ has. Raises TypeError for a key that is none, OSError and TOMLDecodeError for what is no such file."""
    return [_section(**section) for section in tomllib.loads(path.read_text(encoding="utf-8"))["section"]]


def _section(**values: Any) -> Section:
    read: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Section(**read)


def build(sections: Iterable[Section], existing: Mapping[str, Names], shown: Iterable[Shown]) -> Table:
    """Bring together what NSQ has, what exists here, by kind, and what tests show."""
    parts = []
    for section in sections:
        rows = [section.row(text, is_nsqs=True) for text in section.rows]
        nsqs = {row.short for row in rows}
        beyond = [
            section.row(name, note, is_nsqs=False)
            for name, note in existing.get(section.kind, {}).items()
            if name not in nsqs
        ]
        beyond += [section.row(text, is_nsqs=False) for text in section.beyond]
        parts.append(Part(section, rows, beyond))
    by_name = {row.name: row for part in parts for row in part}
    unknown = []
    for one in shown:
        if one.row in by_name:
            by_name[one.row].shown.append(one)
        else:
            unknown.append(one)
    return Table(parts, unknown, existing)


def complaints(table: Table) -> Iterator[str]:
    """Everything that is wrong, a sentence each."""
    names = [row.name for row in table]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: there are two rows of this name in nsq.toml"
    for one in table.unknown:
        yield f"{one.place} shows {one.row!r}, which is no row: correct it, or add it to nsq.toml"
    for part in table.parts:
        for name in set(part.section.later) - {row.short for row in part.rows}:
            yield f"{part.section.program} {name} is in `later`, and in no row"
        existing = table.existing.get(part.section.kind)
        for row in part:
            is_here = existing is None or row.short in existing
            yield from _complaints_about(row, is_here=is_here)
            if existing is not None and is_here and row.state == NOT_OFFERED and part.section.kind.endswith(_USED):
                yield f"{row.name}: it exists here, so it cannot be {NOT_OFFERED!r}: {row.shown[0].place}"


def _complaints_about(row: Row, *, is_here: bool) -> Iterator[str]:
    if not row.shown:
        yield f"{row.name}: no test shows it: mark one with @pytest.mark.shows({row.name!r})"
        return
    if row.is_nsqs:
        if any(one.state == BEYOND for one in row.shown):
            yield f"{row.name}: NSQ has it, so it is not beyond NSQ: {row.shown[0].place}"
        if not is_here and row.state != NOT_OFFERED:
            yield f"{row.name}: it does not exist here: say absent= and why, or build it"
    else:
        for one in row.shown:
            if one.state not in (SAME, BEYOND):
                yield f"{row.name}: NSQ has it not, so it cannot be {one.state!r}: {one.place}"
        if not row.notes:
            yield f"{row.name}: nothing says what it is: let its test say beyond="
