import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_type

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import from_mapping, option, parse, parse_with_arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    config: str = option("", "configuration file")
    max_timeout_ms: int = option(900_000, "longest timeout", unit="ms", low=1)
    msg_timeout_ms: int = option(60_000, "requeue after this", unit="ms", low=1)
    lookupd_tcp_address: tuple[str, ...] = option((), "where to announce")

    def __post_init__(self) -> None:
        if self.msg_timeout_ms > self.max_timeout_ms:
            raise OptionError("--msg-timeout is above --max-timeout: lower it, or raise the other")


def ended(argv: Sequence[str], **environ: str) -> int:
    with pytest.raises(SystemExit) as caught:
        parse(Options, argv, program="nsqd", environ=environ, env_prefix="APP")
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_no_arguments_give_the_defaults() -> None:
    options = parse(Options, [], program="nsqd")

    assert_type(options, Options)
    assert options == Options()


@pytest.mark.shows("all: file: flags go before the file, the file before defaults")
def test_flag_goes_before_environment_before_file_before_default(tmp_path: Path) -> None:
    path = tmp_path / "nsqd.cfg"
    path.write_text('max_timeout = 1000000\nmsg_timeout = 1\nlookupd_tcp_address = "file:1"\n', encoding="utf-8")
    environ = {"APP_CONFIG": str(path), "APP_MSG_TIMEOUT": "2ms", "APP_LOOKUPD_TCP_ADDRESS": "environment:1"}

    options = parse(Options, ["--lookupd-tcp-address=flag:1"], program="nsqd", environ=environ, env_prefix="APP")

    assert options == Options(
        config=str(path), max_timeout_ms=1_000_000, msg_timeout_ms=2, lookupd_tcp_address=("flag:1",)
    )


def test_a_flag_that_says_the_default_still_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nsqd.cfg"
    path.write_text('msg_timeout = "2m"\n', encoding="utf-8")

    options = parse(Options, [f"--config={path}", "--msg-timeout=1m"], program="nsqd")

    assert options.msg_timeout_ms == 60_000


def test_the_environment_is_left_alone_without_a_prefix() -> None:
    assert parse(Options, [], program="nsqd", environ={"_MSG_TIMEOUT": "1ms", "MSG_TIMEOUT": "1ms"}) == Options()


@pytest.mark.shows("all: flags: -h and -help")
def test_help_goes_to_stderr_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["-h", "--unknown"]) == 0

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage of nsqd:\n")


@pytest.mark.shows("all: flags: --version")
def test_the_version_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--version"]) == 0

    python = ".".join(map(str, sys.version_info[:3]))
    assert capsys.readouterr() == (f"nsqd v1.3.0 (built w/Python {python})\n", "")


def test_a_tool_prints_a_version_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Options, ["-version"], program="nsq_stat", version="nsq_stat v1.3.0")

    assert capsys.readouterr().out == "nsq_stat v1.3.0\n"


def test_a_declared_version_switch_works_too(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class WithVersion:
        version: bool = option(False, "print version string")

    with pytest.raises(SystemExit):
        parse(WithVersion, ["-version"], program="nsqd")

    assert capsys.readouterr().out.startswith("nsqd v1.3.0 ")


@pytest.mark.shows("all: flags: an unknown one, or a value of no use, ends it with status 2 and the usage")
def test_a_wrong_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--msg-timeout=60000"]) == 2

    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith('invalid value "60000" for flag -msg-timeout: missing unit')
    assert second == "Usage of nsqd:"


@pytest.mark.shows("all: file: one that cannot be read ends it with status 1")
def test_a_wrong_file_variable_or_combination_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--config=/none/nsqd.cfg"]) == 1
    assert ended([], APP_MSG_TIMEOUT="soon") == 1
    assert ended(["--msg-timeout=1h"]) == 1

    assert capsys.readouterr().err.splitlines() == [
        "nsqd: failed to load config file /none/nsqd.cfg - No such file or directory",
        (
            'nsqd: invalid value "soon" for APP_MSG_TIMEOUT: invalid duration "soon": '
            "write a number and a unit, such as 250ms or 1m30s"
        ),
        "nsqd: --msg-timeout is above --max-timeout: lower it, or raise the other",
    ]


@pytest.mark.shows(
    "all: flags: what stands behind the first argument that is none", better="is ignored, with a warning"
)
def test_arguments_after_the_flags_are_ignored_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(Options, ["false", "--msg-timeout=1ms"], program="nsqd") == Options()

    assert "ignored 'false --msg-timeout=1ms'" in capsys.readouterr().err


def test_arguments_after_the_flags_are_handed_over_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    options, arguments = parse_with_arguments(Options, ["--msg-timeout=1ms", "up", "-x"], program="millstream")

    assert (options.msg_timeout_ms, arguments) == (1, ["up", "-x"])
    assert capsys.readouterr() == ("", "")


def test_options_are_built_from_a_mapping_by_key() -> None:
    options = from_mapping(Options, {"msg-timeout": "5s", "max_timeout": 10_000})

    assert options == Options(msg_timeout_ms=5_000, max_timeout_ms=10_000)
    with pytest.raises(OptionError, match="unknown key msg_timout: did you mean msg_timeout"):
        from_mapping(Options, {"msg-timout": 1})
