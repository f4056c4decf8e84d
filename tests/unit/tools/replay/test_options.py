"""`tools.replay.options`: exactly one source."""

from typing import Any

import pytest

from millstream.base.errors import OptionError
from millstream.tools.replay.options import ReplayOptions


@pytest.mark.parametrize("given", [{"since": "-1h"}, {"until": "-1h"}, {"rewind": "start"}, {"archive": ("a",)}])
def test_one_source_is_enough(given: dict[str, Any]) -> None:
    assert ReplayOptions(**given)


@pytest.mark.parametrize(
    "given", [{}, {"since": "-1h", "rewind": "start"}, {"archive": ("a",), "since": "-1h"}, {"nsqd_http_address": ()}]
)
def test_none_and_two_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ReplayOptions(**given)


def test_an_archive_goes_to_one_nsqd() -> None:
    with pytest.raises(OptionError, match="one nsqd"):
        ReplayOptions(archive=("a",), nsqd_http_address=("a:1", "b:1"))
