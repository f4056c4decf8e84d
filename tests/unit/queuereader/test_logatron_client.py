import logging
from collections.abc import Iterator

import pytest

from millstream.base.errors import OptionError
from millstream.queuereader import logatron_client, settings


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root, framework = logging.getLogger(), logging.getLogger("millstream")
    before = (root.handlers[:], root.level, framework.handlers[:], framework.level, framework.propagate)
    yield
    settings.override({})
    root.handlers[:], framework.handlers[:] = before[0], before[2]
    root.setLevel(before[1])
    framework.setLevel(before[3])
    framework.propagate = before[4]


def test_lines_of_the_service_and_of_the_framework_carry_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    logatron_client.setup("spam")

    logging.getLogger("spam.rules").info("rules loaded")
    logging.getLogger("millstream.queuereader").info("reader.started")

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("[spam] ") for line in lines)
    assert lines[0].endswith("INFO: rules loaded")


def test_a_second_setup_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    logatron_client.setup("spam")
    logatron_client.setup("shortener")

    logging.getLogger("rules").info("once")

    assert capsys.readouterr().err.count("once") == 1


def test_the_level_is_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    settings.override({"log_level": "error"})
    logatron_client.setup("spam")

    logging.getLogger("rules").warning("quiet")
    logging.getLogger("rules").error("loud")

    shown = capsys.readouterr().err
    assert "loud" in shown
    assert "quiet" not in shown


def test_settings_of_no_use_are_refused() -> None:
    settings.override({"log_level": "chatty"})
    with pytest.raises(OptionError):
        logatron_client.setup("spam")

    settings.override({"logatron_topic": "no topic"})
    with pytest.raises(OptionError, match="logatron_topic"):
        logatron_client.setup("spam")


def test_closing_without_a_setup_does_nothing() -> None:
    logatron_client.close()
