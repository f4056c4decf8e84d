"""docs/compatibility.md is what the tests show and the code has, and the page cannot leave anything out."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Final

import pytest

import compatibility
from compatibility import collect, exists, page, routes, table
from compatibility.table import Section, Shown, Table, build, complaints

ROOT: Final = Path(__file__).resolve().parents[2]
DEADLINE_S: Final = 60

FLAGS: Final = Section(
    heading="nsqd", title="Flags", program="nsqd", mark="--", kind="flags", rows=("old", "new"), later=("new",)
)
HABITS: Final = Section(
    heading="nsqd", title="Habits", program="nsqd", mark=":", rows=("it ends",), beyond=("it rests {seconds}",)
)
EXISTING: Final = {"flags": {"old": "old help", "new": "new help", "own": "own help"}}
PLACE: Final = "tests/unit/test_x.py::test_x"


def same(*rows: str) -> list[Shown]:
    return [Shown(row, table.SAME, "", PLACE) for row in rows]


ALL: Final = [
    *same("nsqd --old", "nsqd --new", "nsqd --own", "nsqd: it ends"),
    Shown("nsqd: it rests", table.BEYOND, "a while", PLACE),
]


def made(shown: Iterable[Shown], existing: Mapping[str, Mapping[str, str]] = EXISTING) -> Table:
    return build([FLAGS, HABITS], existing, shown)


# ----------------------------------------------------------------------------------------------------- the page itself


@pytest.fixture(scope="module")
def current() -> Table:
    """The table of this repository; the tests are collected once for it."""
    return compatibility.current()


def test_every_row_is_shown_by_a_test_and_everything_that_exists_is_a_row(current: Table) -> None:
    assert list(complaints(current)) == []


def test_the_page_is_what_the_tests_say(current: Table) -> None:
    written = compatibility.PAGE.read_text(encoding="utf-8").splitlines()
    due = page.render(current).splitlines()

    assert list(unified_diff(written, due, "docs/compatibility.md", "make compatibility", lineterm="", n=0)) == []


def test_every_file_that_the_page_names_exists(current: Table) -> None:
    files = {place.partition("::")[0] for row in current for place in row.places}

    assert len(files) > 50
    assert [file for file in files if not (ROOT / file).is_file()] == []


# ----------------------------------------------------------------------------------------------------- what is missed


def test_nothing_is_said_against_a_table_in_order() -> None:
    assert list(complaints(made(ALL))) == []


@pytest.mark.parametrize("row", ["nsqd --old", "nsqd --own", "nsqd: it ends", "nsqd: it rests"])
def test_a_row_without_a_test_is_missed(row: str) -> None:
    (complaint,) = complaints(made([one for one in ALL if one.row != row]))

    assert complaint.startswith(f"{row}: no test shows it")


def test_a_test_that_names_no_row_is_told() -> None:
    (complaint,) = complaints(made([*ALL, *same("nsqd --oold")]))

    assert complaint.startswith(f"{PLACE} shows 'nsqd --oold', which is no row")


def test_what_does_not_exist_has_to_be_declared_as_not_offered() -> None:
    existing = {"flags": {name: text for name, text in EXISTING["flags"].items() if name != "old"}}
    absent = [Shown("nsqd --old", table.NOT_OFFERED, "no need", PLACE), *ALL[1:]]

    assert [text.partition(":")[0] for text in complaints(made(ALL, existing))] == ["nsqd --old"]
    assert list(complaints(made(absent, existing))) == []


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (Shown("nsqd --old", table.BEYOND, "x", PLACE), "NSQ has it"),
        (Shown("nsqd --old", table.NOT_OFFERED, "x", PLACE), "it exists here"),
        (Shown("nsqd --own", table.BETTER, "x", PLACE), "NSQ has it not"),
        (Shown("nsqd --own", table.NOT_OFFERED, "x", PLACE), "NSQ has it not"),
    ],
)
def test_a_state_that_cannot_be_is_told(shown: Shown, reason: str) -> None:
    (complaint,) = complaints(made([*ALL, shown]))

    assert complaint.startswith(f"{shown.row}: {reason}")


def test_what_is_beyond_nsq_needs_a_word_on_what_it_is() -> None:
    (complaint,) = complaints(made([*ALL[:-1], *same("nsqd: it rests")]))

    assert complaint.startswith("nsqd: it rests: nothing says what it is")


def test_a_row_is_listed_once_and_a_later_one_among_the_rows() -> None:
    twice = Section(heading="h", title="t", program="p", rows=("a", "a {b}"), later=("c",))

    found = list(complaints(build([twice], {}, same("p a"))))

    assert any("two rows of this name" in text for text in found)
    assert any("p c is in `later`" in text for text in found)


# -------------------------------------------------------------------------------------------------------- what is said


def test_a_row_is_as_bad_as_the_worst_that_a_test_says_and_tells_all_of_it() -> None:
    shown = [
        *ALL,
        Shown("nsqd --old", table.BETTER, "quicker", PLACE),
        Shown("nsqd --old", table.BETTER, "quicker", PLACE),
        Shown("nsqd --old", table.DIFFERS, "known", PLACE),
    ]

    row = next(row for row in made(shown) if row.name == "nsqd --old")

    assert (row.state, row.notes, row.places) == (table.DIFFERS, "quicker; known", {PLACE: 4})


def test_rows_that_differ_by_name_alone_are_one_line() -> None:
    lines = page.render(made(ALL)).splitlines()
    link = "[unit/test_x.py](../tests/unit/test_x.py)::`test_x`"

    assert f"| `--old`, `--new` *(after 1.3.0)* | same |  | {link} |" in lines
    assert f"| `--own` | own help | {link} |" in lines
    assert f"| it rests (`seconds`) | a while | {link} |" in lines


def test_a_cell_keeps_its_bars() -> None:
    shown = [*ALL, Shown("nsqd --old", table.BETTER, "a | b\nc", PLACE)]

    assert "| `--old` | better | a \\| b c |" in page.render(made(shown))


# --------------------------------------------------------------------------------------------------- what tests declare

DECLARATIONS: Final = """
import pytest

@pytest.mark.shows("a", "b")
@pytest.mark.shows("c", better="quicker")
@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.shows("d", at="elsewhere::two"))])
def test_one(n): ...

@pytest.mark.xfail(reason="known", strict=True)
@pytest.mark.shows("a", better="never said")
def test_two(): ...
"""


def test_tests_say_what_they_show(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(DECLARATIONS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = shows\n", encoding="utf-8")
    found = tmp_path / "found.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {collect.VARIABLE: str(found), "PYTHONPATH": str(ROOT / "scripts")}
    words = ["--collect-only", "-q", "-p", collect.__name__, "-p", "no:cacheprovider", "."]
    subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=tmp_path, env=environment, timeout=DEADLINE_S, check=True
    )

    one = "test_it.py::test_one"
    plain = [
        {"row": "c", "place": one, "state": "better", "note": "quicker"},
        {"row": "a", "place": one, "state": "same", "note": ""},
        {"row": "b", "place": one, "state": "same", "note": ""},
    ]
    said = [
        *plain,
        *plain,
        {"row": "d", "place": "elsewhere::two", "state": "same", "note": ""},
        {"row": "a", "place": "test_it.py::test_two", "state": "differs", "note": "known"},
    ]
    assert sorted(json.loads(found.read_text(encoding="utf-8")), key=json.dumps) == sorted(said, key=json.dumps)


@pytest.mark.parametrize(
    ("rows", "words"), [((), {}), (("a",), {"better": "x", "absent": "y"}), (("a",), {"worse": "x"})]
)
def test_a_declaration_of_no_use_is_refused(rows: tuple[str, ...], words: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        collect.declared(*rows, **words)


# ---------------------------------------------------------------------------------------------------- what is read off


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("nsqd flags", "msg-timeout"),
        ("nsqd routes", "PUT /config/:opt"),
        ("nsqd commands", "MPUB"),
        ("error codes", "E_FIN_FAILED"),
        ("IDENTIFY asks", "heartbeat_interval"),
        ("IDENTIFY answers", "max_rdy_count"),
        ("stats", "channel.zone_local_msg_count"),
        ("stats", "client.auth_identity_url"),
        ("stats", "latency.quantile"),
        ("statsd", "topic.*.channel.*.e2e_processing_latency_*"),
        ("statsd", "mem.gc_runs"),
        ("nsqlookupd routes", "GET /metrics"),
        ("nsqlookupd commands", "UNREGISTER"),
        ("nsqauthd routes", "POST /auth"),
        ("programs", "nsqauthd"),
    ],
)
def test_what_exists_is_read_off_the_code(kind: str, name: str) -> None:
    assert name in exists.KINDS[kind]()


def test_a_path_is_found_wherever_it_stands_in_a_module(tmp_path: Path) -> None:
    module = tmp_path / "http.py"
    module.write_text('PAGES = {("GET", "/a/:b"): 1}\njoin(index="/c/")\nsay("no /path", "x/y")\n', encoding="utf-8")

    assert sorted(routes.paths_in(module)) == ["/a/:b", "/c/"]


def test_a_daemon_that_does_not_start_is_told() -> None:
    with pytest.raises(routes.NotStarted, match="no-such-flag"), routes.running("nsqd", "--no-such-flag"):
        pass


def test_a_statistic_of_a_new_type_is_told() -> None:
    with pytest.raises(exists.Unreadable, match="bytes"):
        exists.sample(tuple[bytes, ...])
