"""The pages of the daemons, and of the torture, list every flag, with its default."""

from pathlib import Path
from typing import Any

import pytest

from millstream.base.options import describe
from millstream.bench.options import BenchOptions
from millstream.nsqd.options import DaemonOptions
from millstream.nsqlookupd.options import LookupdOptions
from millstream.torture.options import TortureOptions

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("page", "options"),
    [
        ("nsqd.md", DaemonOptions),
        ("nsqlookupd.md", LookupdOptions),
        ("performance.md", BenchOptions),
        ("torture.md", TortureOptions),
    ],
)
def test_the_page_lists_every_flag_with_its_default(page: str, options: type[Any]) -> None:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `--")}

    expected = {f"--{one.flag}": one.default_text or "empty" for one in describe(options) if one.flag}

    assert rows.keys() == expected.keys()
    assert [flag for flag, default in expected.items() if f"| {default} |" not in rows[flag]] == []
