"""Prints the table as Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from compatibility.table import BETTER, BEYOND, DIFFERS, NOT_OFFERED, SAME, Row, Table

MEANINGS: Final = {
    SAME: "a client, operator or script cannot tell it from NSQ's",
    BETTER: "it differs on purpose, in the way that the note says",
    NOT_OFFERED: "it is not there; the note says why",
    DIFFERS: "it differs, and should not: a test expects just that to fail until it is mended",
}
PLACES_MAX: Final = 3

HEAD: Final = """# Compatibility with NSQ

<!-- Written by `make compatibility` from the tests: change those, not this file. -->

What NSQ 1.3.0 has, and what stands here in its place: every command, endpoint, flag and metric, and how it behaves.
NSQ's own words are in [its documentation](https://nsq.io); what this project has beyond it stands at the end.

The page is written from the tests. A test says what it shows (`@pytest.mark.shows("nsqd --msg-timeout")`), and
`make compatibility` collects that. A test fails when this file says anything else, when a row has no test, when a test
names a row that is none, and when a flag, route, command, error code or statistic exists and has no row. The tests in
`tests/system/peer` put the same questions to the original daemons, which they build where Go is installed, and compare
the answers; where Go is not, they are skipped. They also check that every flag that the originals print has its row.
A number in brackets counts the cases of a test.

| state | meaning | rows |
| --- | --- | --- |"""

AFTER: Final = """
*(after 1.3.0)* marks what NSQ has only since that version."""


def render(table: Table) -> str:
    """The whole page."""
    counts = Counter(row.state for row in table)
    lines = [HEAD]
    lines += [f"| {state} | {text} | {counts[state]} |" for state, text in MEANINGS.items() if counts[state]]
    lines.append(f"| | beyond NSQ | {counts[BEYOND]} |")
    lines.append(AFTER)
    for heading, parts in groupby(table.parts, lambda part: part.section.heading):
        written = [part for part in parts if part.rows]
        if written:
            lines += ["", f"## {heading}"]
        for part in written:
            lines += ["", f"### {part.section.title}", ""]
            lines += _table(part.rows, ("what", "state", "note", "test"))
    lines += ["", "## Beyond NSQ"]
    for part in table.parts:
        if part.beyond:
            lines += ["", f"### {part.section.program}: {part.section.title}", ""]
            lines += _table(part.beyond, ("what", "what it is", "test"))
    return "\n".join(lines) + "\n"


def _table(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    """Rows that follow one another and differ by name alone become one line."""
    yield f"| {' | '.join(columns)} |"
    yield "| --- " * len(columns) + "|"
    for (state, notes, places), alike in groupby(rows, lambda row: (row.state, row.notes, tuple(row.places.items()))):
        names = [_what(row) for row in alike]
        what = (", " if names[0].startswith("`") else "; ").join(names)
        cells = [what, *([state] if state != BEYOND else []), _cell(notes), _tests(places)]
        yield f"| {' | '.join(cells)} |"


def _what(row: Row) -> str:
    takes = f" ({', '.join(f'`{one}`' for one in row.takes)})" if row.takes else ""
    return row.what + takes + (" *(after 1.3.0)*" if row.is_later else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _tests(places: Sequence[tuple[str, int]]) -> str:
    """Files with the names of tests in them, each with the number of its cases where there are several."""
    cells = []
    for path, shown in groupby(places[:PLACES_MAX], lambda place: place[0].partition("::")[0]):
        names = ", ".join(
            f"`{_cell(place.partition('::')[2])}`" + (f" ({count})" if count > 1 else "") for place, count in shown
        )
        cells.append(f"[{'/'.join(path.split('/')[-2:])}](../{path})::{names}")
    more = len(places) - PLACES_MAX
    return ", ".join(cells) + (f", and {more} more" if more > 0 else "")
