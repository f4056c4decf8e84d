from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base.declare import describe, option
from millstream.base.errors import OptionError
from millstream.base.values import elements_from_text, from_text, from_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    timeout_ms: int = option(0, "", unit="ms")
    size_bytes: int = option(0, "", unit="bytes")
    count: int = option(0, "")
    rate: float = option(0.0, "")
    switch: bool = option(False, "")
    text: str = option("", "")
    texts: tuple[str, ...] = option((), "")
    rates: tuple[float, ...] = option((), "")
    required: str = option("false", "", choices=("false", "true"), bare="true")


BY_NAME = {one.name: one for one in describe(Options)}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("timeout_ms", "1m", 60_000),
        ("timeout_ms", 250, 250),
        ("size_bytes", "64KiB", 65_536),
        ("size_bytes", 100, 100),
        ("count", "7", 7),
        ("count", -7, -7),
        ("rate", 1, 1.0),
        ("rate", 0.5, 0.5),
        ("rate", "0.5", 0.5),
        ("switch", True, True),
        ("switch", "false", False),
        ("text", "a,b", "a,b"),
        ("texts", "a, b,", ("a", "b")),
        ("texts", "", ()),
        ("texts", ["a", "b,c"], ("a", "b,c")),
        ("rates", [1, 0.5, "0.9"], (1.0, 0.5, 0.9)),
        ("rates", "0.9,0.5", (0.9, 0.5)),
        ("required", True, "true"),
        ("required", "FALSE", "false"),
    ],
)
@pytest.mark.shows("all: file: values of other types that NSQ takes")
def test_a_toml_value_is_read_as_nsq_reads_it(name: str, value: object, expected: object) -> None:
    read = from_toml(BY_NAME[name], value)

    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("timeout_ms", 1.5, 'a duration such as "250ms", or milliseconds'),
        ("timeout_ms", "250", "missing unit"),
        ("count", 1.0, "write an integer"),
        ("count", True, "write an integer"),
        ("count", 2**63, "64 bits"),
        ("rate", False, "write a number"),
        ("switch", 0, "write true or false"),
        ("switch", "no", "write true or false"),
        ("text", 5, "write a string"),
        ("text", ["a"], "write a string"),
        ("texts", 5, "write an array"),
        ("texts", [["a"]], "write a string"),
        ("rates", {"a": 1}, "write an array"),
        ("size_bytes", "many", "invalid size"),
    ],
)
@pytest.mark.shows(
    "all: file: an integer for a switch, a text or a list",
    better="is refused with the fix; NSQ inverts a switch and garbles a text",
)
def test_a_toml_value_of_another_kind_is_refused_with_the_fix(name: str, value: object, fix: str) -> None:
    with pytest.raises(OptionError, match=fix):
        from_toml(BY_NAME[name], value)


def test_elements_of_a_text_are_read_one_by_one() -> None:
    assert elements_from_text(BY_NAME["rates"], " 0.5 ,1") == (0.5, 1.0)


@given(st.sampled_from(sorted(BY_NAME)), st.text(max_size=30))
def test_any_text_is_a_value_or_an_option_error(name: str, text: str) -> None:
    description = BY_NAME[name]
    try:
        value = from_text(description, text)
    except OptionError:
        return
    assert type(value) is description.kind
