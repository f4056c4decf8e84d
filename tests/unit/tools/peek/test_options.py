"""`tools.peek.options`: what contradicts itself is refused."""

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import parse
from millstream.tools.peek.options import PeekOptions


def test_flags_have_the_names_that_people_expect() -> None:
    options = parse(PeekOptions, ["--from=-1h", "--to=-30m", "--state=ready", "--limit=0", "--json"], program="peek")

    assert (options.since, options.until, options.state, options.limit, options.json) == (
        "-1h",
        "-30m",
        "ready",
        0,
        True,
    )


def test_an_id_stands_alone() -> None:
    with pytest.raises(OptionError, match="--id names one message"):
        PeekOptions(id="0000000000000001", state="ready")
