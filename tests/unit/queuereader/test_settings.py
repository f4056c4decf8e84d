from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from millstream.queuereader.settings import FRAMEWORK_KEYS, Settings, SettingsError, read_settings

DOCUMENT = Path(__file__).parents[3] / "docs" / "queuereader.md"


def settings(
    values: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    return Settings(values or {}, file="/srv/spam/settings.toml", environ=environ or {}, flags=flags or {})


def test_a_value_comes_from_the_file() -> None:
    assert settings({"nsqd_output_topic": "spam_api"}).get("nsqd_output_topic") == "spam_api"


def test_the_environment_overrides_the_file_and_a_flag_overrides_both() -> None:
    values, environ = {"topic": "in_file"}, {"MILLSTREAM_TOPIC": "in_environment"}

    assert settings(values, environ).get("topic") == "in_environment"
    assert settings(values, environ, {"topic": "in_flag"}).get("topic") == "in_flag"


def test_a_default_is_used_only_when_the_key_is_nowhere() -> None:
    assert settings().get("limit", 5) == 5
    assert settings({"limit": 7}).get("limit", 5) == 7


def test_a_missing_key_names_the_file_and_the_fix() -> None:
    with pytest.raises(SettingsError) as raised:
        settings().get("nsqd_output_topic")

    text = str(raised.value)
    assert "'nsqd_output_topic' is missing" in text
    assert "/srv/spam/settings.toml" in text
    assert "MILLSTREAM_NSQD_OUTPUT_TOPIC" in text


def test_text_becomes_what_the_file_has() -> None:
    values = {"port": 1, "share": 0.5, "is_on": False, "names": ["a"], "ports": [1]}
    environ = {
        "MILLSTREAM_PORT": "9125",
        "MILLSTREAM_SHARE": "0.25",
        "MILLSTREAM_IS_ON": "true",
        "MILLSTREAM_NAMES": "b, c,",
        "MILLSTREAM_PORTS": "2,3",
    }
    overridden = settings(values, environ)

    assert [overridden.get(key) for key in values] == [9125, 0.25, True, ["b", "c"], [2, 3]]


def test_text_becomes_what_the_default_is() -> None:
    environ = {"MILLSTREAM_LIMIT": "12", "MILLSTREAM_NAMES": "x,y"}

    assert settings(environ=environ).get("limit", 5) == 12
    assert settings(environ=environ).get("names", ()) == ["x", "y"]
    assert settings(environ=environ).get("limit", None) == "12"


@pytest.mark.parametrize(("sample", "text"), [(1, "many"), (1.5, "x"), (True, "maybe")])
def test_text_of_the_wrong_kind_names_where_it_came_from(sample: object, text: str) -> None:
    with pytest.raises(SettingsError, match="MILLSTREAM_KEY"):
        settings({"key": sample}, {"MILLSTREAM_KEY": text}).get("key")


def test_framework_keys_have_defaults_and_kinds() -> None:
    assert settings().get("statsd_port") == 8125
    assert settings(environ={"MILLSTREAM_STATSD_PORT": "9125"}).get("statsd_port") == 9125
    assert settings({"nsq_lookupd": "a:1,b:2"}).get("nsq_lookupd") == ["a:1", "b:2"]


def test_a_dot_goes_into_a_table() -> None:
    values = {"database": {"url": "sqlite://"}}

    assert settings(values).get("database.url") == "sqlite://"
    assert settings(values, {"MILLSTREAM_DATABASE_URL": "other"}).get("database.url") == "other"
    assert settings(values).keys() == ("database.url",)
    with pytest.raises(SettingsError):
        settings(values).get("database.url.host")


def test_the_first_folder_with_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "settings.toml").write_text('topic = "outer"\n')
    folders = (tmp_path / "service", tmp_path)

    assert read_settings(None, folders=folders, environ={}, flags={}).get("topic") == "outer"

    (tmp_path / "service" / "settings.toml").write_text('topic = "inner"\n')
    assert read_settings(None, folders=folders, environ={}, flags={}).get("topic") == "inner"


def test_without_a_file_the_error_says_where_one_belongs(tmp_path: Path) -> None:
    empty = read_settings(None, folders=(tmp_path,), environ={}, flags={})

    with pytest.raises(SettingsError, match=r"settings\.toml \(not there yet\)"):
        empty.get("topic")


@pytest.mark.parametrize("content", [b"topic = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(content)

    with pytest.raises(SettingsError, match=str(file)):
        read_settings(file, folders=(), environ={}, flags={})


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"other\.toml"):
        read_settings(tmp_path / "other.toml", folders=(), environ={}, flags={})


def test_the_documentation_lists_every_key_of_the_framework() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert [key.name for key in FRAMEWORK_KEYS if f"| `{key.name}` |" not in text] == []
