from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import describe, parse
from millstream.nsqauthd.options import AuthdOptions

PAGE = Path(__file__).parents[3] / "docs" / "nsqauthd.md"


def parsed(*argv: str) -> AuthdOptions:
    return parse(AuthdOptions, argv, program="nsqauthd")


@pytest.mark.shows("nsqauthd --log-level", "nsqauthd --log-prefix")
def test_the_defaults_are_in_the_manner_of_nsq() -> None:
    options = parsed("-rules=r.toml")

    assert options.http_address == "0.0.0.0:4181"
    assert (options.log_level, options.log_prefix) == ("info", "[nsqauthd] ")


@pytest.mark.shows("nsqauthd --config")
def test_a_file_is_read_and_flags_win_over_it(tmp_path: Path) -> None:
    path = tmp_path / "nsqauthd.cfg"
    path.write_text('rules = "a"\nhttp_address = "127.0.0.1:1"\nreload_interval = "5s"\n')

    options = parsed(f"--config={path}", "--http-address=127.0.0.1:2")

    assert (options.rules, options.http_address, options.reload_interval_ms) == ("a", "127.0.0.1:2", 5_000)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "--rules is missing"),
        ({"rules": "r", "log_level": "loud"}, "debug, info, warn, error, fatal"),
        ({"rules": "r", "check": True, "channel": "c"}, "--topic"),
        ({"rules": "r", "secret": "s"}, "go with --check"),
        ({"rules": "r", "tls": True}, "go with --check"),
    ],
)
def test_options_that_do_not_go_together_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        AuthdOptions(**values)


def test_the_question_of_a_check_is_no_matter_for_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nsqauthd.cfg"
    path.write_text('rules = "a"\nsecret = "s"\n')

    with pytest.raises(SystemExit) as ended:
        parsed(f"--config={path}")

    assert ended.value.code == 1


@pytest.mark.shows("nsqauthd --version")
def test_the_version_is_told_as_nsq_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--version")

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("nsqauthd v1.3.0 (built w/")


def test_the_page_lists_every_flag_with_its_default() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `--")}

    expected = {f"--{one.flag}": one.default_text or "empty" for one in describe(AuthdOptions) if one.flag}

    assert rows.keys() == expected.keys()
    assert [flag for flag, default in expected.items() if f"| {default} |" not in rows[flag]] == []
