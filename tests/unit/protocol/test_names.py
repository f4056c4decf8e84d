"""The rules for names of topics and channels."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.names import NAME_LENGTH_MAX, is_ephemeral, is_valid_name


@pytest.mark.parametrize("name", ["a", "clicks", "A.b_c-9", ".", "x" * 64, "a#ephemeral", "x" * 54 + "#ephemeral"])
def test_a_name_of_the_rules_is_valid(name: str) -> None:
    assert is_valid_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "#ephemeral",
        "x" * 65,
        "x" * 55 + "#ephemeral",
        "a b",
        "a:b",
        "a#eph",
        "a#ephemeral#ephemeral",
        "a\n",
        "ü",
        "*",
    ],
)
def test_anything_else_is_no_name(name: str) -> None:
    assert not is_valid_name(name)


@given(st.text(alphabet="aZ9._-# :\n", max_size=70) | st.text(max_size=8))
def test_a_name_is_valid_exactly_when_the_pattern_of_nsq_matches_all_of_it(name: str) -> None:
    matches = re.match(r"[.a-zA-Z0-9_-]+(#ephemeral)?\Z", name) is not None

    assert is_valid_name(name) == (matches and 1 <= len(name) <= NAME_LENGTH_MAX)


def test_a_name_is_ephemeral_by_its_suffix() -> None:
    assert is_ephemeral("tail#ephemeral")
    assert not is_ephemeral("ephemeral")
