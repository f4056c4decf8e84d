from dataclasses import dataclass
from pathlib import Path

import pytest

from millstream.base.config import FILE_SIZE_BYTES_MAX, from_environment, read_file, variable_name
from millstream.base.declare import describe, option
from millstream.base.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    config: str = option("", "configuration file")
    msg_timeout_ms: int = option(60_000, "requeue after this", unit="ms", low=1, high=900_000)
    node_id: int = option(0, "number of this node", key="id")
    deflate: bool = option(True, "allow deflate")
    lookupd_tcp_address: tuple[str, ...] = option((), "where to announce", key="nsqlookupd_tcp_addresses")


DESCRIPTIONS = describe(Options)


def written(folder: Path, text: str) -> str:
    path = folder / "nsqd.cfg"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_gives_values_by_field(tmp_path: Path) -> None:
    path = written(tmp_path, 'msg_timeout = "2m"\nid = 7\ndeflate = false\nnsqlookupd_tcp_addresses = ["a:1", "b:2"]\n')

    assert read_file(DESCRIPTIONS, path) == {
        "msg_timeout_ms": 120_000,
        "node_id": 7,
        "deflate": False,
        "lookupd_tcp_address": ("a:1", "b:2"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("msg_timout = 5", "unknown key msg_timout: did you mean msg_timeout?"),
        ("msg-timeout = 5", "unknown key msg-timeout: did you mean msg_timeout?"),
        ("node_id = 5", "unknown key node_id: did you mean id?"),
        ("lookupd_tcp_address = 'a:1'", "unknown key lookupd_tcp_address: did you mean nsqlookupd_tcp_addresses?"),
        ("config = 'x'", "unknown key config: it can only be given as a flag"),
        ("zzz = 5", "unknown key zzz"),
        ("[msg_timeout]\nx = 1", "msg_timeout: \"{'x': 1}\" cannot be used: write a duration"),
        ("msg_timeout = 0", "msg_timeout is 0s, out of bounds: use 1ms to 15m0s"),
        ("id = ", "Invalid value"),
    ],
)
@pytest.mark.shows("all: file: unknown keys", better="are refused, with the key that was meant; NSQ ignores them")
def test_a_file_of_no_use_is_refused_with_its_name_and_the_fix(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(OptionError) as caught:
        read_file(DESCRIPTIONS, path)

    assert str(caught.value).startswith(f"failed to load config file {path} - {message}")


def test_a_file_that_cannot_be_read_is_an_option_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.cfg"
    bad.write_bytes(b"\xff")
    big = tmp_path / "big.cfg"
    big.write_bytes(b"#" * (FILE_SIZE_BYTES_MAX + 1))

    for path, reason in (
        (str(tmp_path / "none.cfg"), "No such file or directory"),
        (str(tmp_path), "Is a directory"),
        (str(bad), "can't decode"),
        (str(big), "larger than 1048576 bytes"),
        ("nul\0", "null"),
    ):
        with pytest.raises(OptionError, match=reason) as caught:
            read_file(DESCRIPTIONS, path)
        assert str(caught.value).count("failed to load config file") == 1


def test_variables_are_named_after_the_flag() -> None:
    assert [variable_name(one, "MILLSTREAM") for one in DESCRIPTIONS] == [
        "MILLSTREAM_CONFIG",
        "MILLSTREAM_MSG_TIMEOUT",
        "MILLSTREAM_NODE_ID",
        "MILLSTREAM_DEFLATE",
        "MILLSTREAM_LOOKUPD_TCP_ADDRESS",
    ]
    assert variable_name(DESCRIPTIONS[0], "MILLSTREAM_") == "MILLSTREAM_CONFIG"


def test_the_environment_gives_values_as_flags_do_and_lists_with_commas() -> None:
    environ = {
        "APP_MSG_TIMEOUT": "2m",
        "APP_DEFLATE": "false",
        "APP_LOOKUPD_TCP_ADDRESS": "a:1,b:2",
        "APP_NODE_ID": "",
        "APP_OTHER": "x",
        "CONFIG": "y",
    }

    assert from_environment(DESCRIPTIONS, environ, "APP") == {
        "msg_timeout_ms": 120_000,
        "deflate": False,
        "lookupd_tcp_address": ("a:1", "b:2"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("120000", 'invalid value "120000" for APP_MSG_TIMEOUT: missing unit'),
        ("1h", "APP_MSG_TIMEOUT is 1h0m0s, out of bounds: use 1ms to 15m0s"),
    ],
)
def test_a_variable_of_no_use_is_refused_with_its_name(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        from_environment(DESCRIPTIONS, {"APP_MSG_TIMEOUT": text}, "APP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str = option("", "what it is for")
    pause_ms: int | None = option(None, "how long", unit="ms", low=1)

    def __post_init__(self) -> None:
        if not self.name:
            raise OptionError("name is missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class WithTables:
    rows: tuple[Row, ...] = option((), "rows", key="row")


def test_tables_are_read_in_their_order(tmp_path: Path) -> None:
    path = written(tmp_path, '[[row]]\nname = "a"\npause = "2s"\n[[row]]\nname = "b"\n')

    assert read_file(describe(WithTables), path) == {"rows": (Row(name="a", pause_ms=2_000), Row(name="b"))}
    assert from_environment(describe(WithTables), {"APP_ROW": "x", "APP_ROWS": "y"}, "APP") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row = 1", "row: write tables, each under [[row]]"),
        ("[row]\nname = 'a'", "row: write tables, each under [[row]]"),
        ("row = ['a']", "row: write tables, each under [[row]]"),
        ("[[row]]\nname = 'a'\n[[row]]\nnam = 'b'", "row: number 2: unknown key nam: did you mean name?"),
        ("[[row]]\nname = 'a'\npause = 0", "row: number 1: pause is 0s, out of bounds: use at least 1ms"),
        ("[[row]]\npause = 5", "row: number 1: name is missing"),
    ],
)
def test_a_table_of_no_use_is_refused_with_its_number(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_file(describe(WithTables), written(tmp_path, text))

    assert str(caught.value).partition(" - ")[2].startswith(message)
