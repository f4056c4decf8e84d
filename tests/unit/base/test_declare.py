from dataclasses import dataclass
from typing import Any, assert_type

import pytest

from millstream.base.declare import check, describe, option, to_table
from millstream.base.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    config: str = option("", "path to a configuration file")
    msg_timeout_ms: int = option(60_000, "requeue an unanswered message after this", unit="ms", low=1, high=900_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Base):
    """Every kind of option."""

    max_body_size_bytes: int = option(5_242_880, "largest body", unit="bytes", low=1)
    node_id: int = option(-1, "number of this node", low=0, high=1023, key="id")
    rate: float = option(0.3, "a share", low=0, high=1)
    deflate: bool = option(True, "allow deflate")
    level: str = option("info", "least level", flag="log-level", choices=("info", "warn"))
    lookupd_tcp_address: tuple[str, ...] = option((), "where to announce", key="nsqlookupd_tcp_addresses")
    secret: str | None = option(None, "told to nobody", flag="")
    verbose: bool = option(False, "ignored", key="")
    not_an_option: int = 3

    def __post_init__(self) -> None:
        check(self)


def test_names_are_made_from_the_field_unless_they_are_given() -> None:
    names = {one.name: (one.flag, one.key) for one in describe(Options)}

    assert names == {
        "config": ("config", ""),
        "msg_timeout_ms": ("msg-timeout", "msg_timeout"),
        "max_body_size_bytes": ("max-body-size", "max_body_size"),
        "node_id": ("node-id", "id"),
        "rate": ("rate", "rate"),
        "deflate": ("deflate", "deflate"),
        "level": ("log-level", "log_level"),
        "lookupd_tcp_address": ("lookupd-tcp-address", "nsqlookupd_tcp_addresses"),
        "secret": ("", ""),
        "verbose": ("verbose", ""),
    }


def test_descriptions_show_kind_default_and_bounds_as_a_user_writes_them() -> None:
    shown = {one.name: (one.kind_text, one.default_text, one.bounds_text) for one in describe(Options)}

    assert shown["msg_timeout_ms"] == ("duration", "1m0s", "1ms to 15m0s")
    assert shown["max_body_size_bytes"] == ("size", "5242880", "at least 1")
    assert shown["rate"] == ("float", "0.3", "0 to 1")
    assert shown["deflate"] == ("switch", "true", "")
    assert shown["lookupd_tcp_address"] == ("string", "", "")
    assert shown["secret"] == ("string", "", "")


def test_a_declared_field_keeps_its_type_and_default() -> None:
    options = Options()

    assert_type(options.msg_timeout_ms, int)
    assert (options.msg_timeout_ms, options.lookupd_tcp_address, options.secret) == (60_000, (), None)


def test_a_default_outside_of_the_bounds_stands_for_not_set() -> None:
    assert Options(node_id=-1).node_id == -1
    with pytest.raises(OptionError, match=r"node_id is -2, out of bounds: use 0 to 1023, or -1 \(the default\)"):
        Options(node_id=-2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"msg_timeout_ms": 900_001}, "msg_timeout_ms is 15m0.001s, out of bounds: use 1ms to 15m0s"),
        ({"rate": float("nan")}, "rate is nan, out of bounds"),
        ({"rate": "0.5"}, "rate is '0.5': use a number"),
        ({"node_id": True}, "node_id is 'True': use an integer"),
        ({"node_id": None}, "node_id is 'None': use an integer"),
        ({"level": "loud"}, "level is 'loud': use one of info, warn"),
        ({"lookupd_tcp_address": "a:1"}, "lookupd_tcp_address is 'a:1': use a tuple"),
        ({"lookupd_tcp_address": ("a:1", 2)}, "lookupd_tcp_address is '2': use a string"),
    ],
)
def test_a_class_that_checks_itself_refuses_what_a_flag_could_not_say(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Options(**values)


def test_an_integer_is_good_for_a_float() -> None:
    assert Options(rate=1).rate == 1


def test_declarations_that_cannot_work_are_refused() -> None:
    @dataclass
    class Twice:
        one: int = option(1, "", flag="x")
        two: int = option(2, "", flag="x", key="y")

    @dataclass
    class Bytes:
        body: bytes = option(b"", "")

    @dataclass
    class TextWithUnit:
        text: str = option("", "", unit="ms")

    @dataclass
    class TextWithBounds:
        text: str = option("", "", low=1)

    @dataclass
    class NumberWithChoices:
        number: int = option(1, "", choices=("1",))

    for cls in (Twice, Bytes, TextWithUnit, TextWithBounds, NumberWithChoices):
        with pytest.raises(TypeError):
            describe(cls)
    with pytest.raises(TypeError, match="unknown unit"):
        option(1, "", unit="s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str = option("", "what it is for")
    pause_ms: int | None = option(None, "how long", unit="ms", low=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithTables:
    rows: tuple[Row, ...] = option((), "rows", key="row")
    names: tuple[str, ...] = option((), "names")

    def __post_init__(self) -> None:
        check(self)


def test_a_list_of_tables_has_a_key_and_no_flag() -> None:
    rows = describe(WithTables)[0]

    assert (rows.flag, rows.key, rows.is_table, rows.kind_text, rows.default_text) == ("", "row", True, "tables", "")
    assert not describe(WithTables)[1].is_table
    with pytest.raises(OptionError, match="rows is 'x': use tables"):
        WithTables(rows=("x",))  # type: ignore[arg-type]  # what a caller without types could do


def test_a_table_alone_is_no_option() -> None:
    @dataclass
    class Bad:
        row: Row | None = option(None, "one row")  # noqa: RUF009 - what is under test

    with pytest.raises(TypeError, match="row: an option is"):
        describe(Bad)


def test_options_are_written_as_a_file_would_have_them() -> None:
    options = WithTables(rows=(Row(name="a", pause_ms=1_500), Row(name="b")), names=("x", "y"))

    assert to_table(options) == {"row": [{"name": "a", "pause": "1.5s"}, {"name": "b"}], "names": ["x", "y"]}
    assert to_table(WithTables()) == {}
