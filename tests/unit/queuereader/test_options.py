from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.queuereader import options, settings


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "settings.toml"
    path.write_text('nsqd_output_topic = "spam_api"\nlimit = 5\n')
    yield path
    settings.override({})


def test_a_key_of_the_file_is_a_flag(file: Path) -> None:
    options.parse_command_line([f"--settings={file}", "--nsqd_output_topic=other", "--limit", "7"])

    assert settings.get("nsqd_output_topic") == "other"
    assert settings.get("limit") == 7


def test_a_flag_may_have_dashes(file: Path) -> None:
    options.parse_command_line([f"--settings={file}", "--nsqd-output-topic=other"])

    assert settings.get("nsqd_output_topic") == "other"


def test_a_key_of_the_framework_is_a_flag(file: Path) -> None:
    options.parse_command_line([f"--settings={file}", "--statsd-port=9125"])

    assert settings.get("statsd_port") == 9125


def test_any_key_can_be_set(file: Path) -> None:
    options.parse_command_line([f"--settings={file}", "--set", "a=b=c", "--set", "database.url=sqlite://"])

    assert settings.get("a") == "b=c"
    assert settings.get("database.url") == "sqlite://"


def test_without_flags_the_file_holds(file: Path) -> None:
    options.parse_command_line([f"--settings={file}"])

    assert settings.get("limit") == 5


@pytest.mark.parametrize("arguments", [["--no_such_key=1"], ["--set", "novalue"], ["--set", "=x"], ["stray"]])
def test_an_unknown_flag_ends_with_usage(file: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse_command_line([f"--settings={file}", *arguments])

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_lists_every_key(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse_command_line([f"--settings={file}", "--help"])

    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--nsqd_output_topic" in shown
    for key in settings.FRAMEWORK_KEYS:
        assert f"--{key.name}" in shown


def test_a_broken_file_ends_with_its_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("limit = ")

    with pytest.raises(SystemExit) as ended:
        options.parse_command_line([f"--settings={file}"])

    assert ended.value.code == 1
    assert str(file) in capsys.readouterr().err
