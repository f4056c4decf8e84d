import io
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.base import log
from millstream.base.errors import OptionError

LINE = re.compile(r"\[nsqd\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} (DEBUG|INFO|WARNING|ERROR|FATAL): (.*)")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger("millstream")
    before = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:], root.level, root.propagate = before


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    log.configure(prefix="[nsqd] ", level="debug", stream=stream)
    return stream


@pytest.mark.shows("nsqd: lines of the log", better="in NSQ's form, with an event and its fields as text")
def test_a_line_has_the_form_of_nsq_with_the_fields_behind_the_event(stream: io.StringIO) -> None:
    log.get_logger("nsqd.session").info("client.connected", remote="127.0.0.1:5", attempts=2, tls=True, rate=0.5)

    line = LINE.fullmatch(stream.getvalue().rstrip("\n"))
    assert line is not None
    assert line.groups() == ("INFO", "client.connected remote=127.0.0.1:5 attempts=2 tls=true rate=0.5")


@pytest.mark.shows("nsqd: lines of the log")
def test_each_level_has_the_word_that_nsq_prints(stream: io.StringIO) -> None:
    logger = log.get_logger("test")
    for write in (logger.debug, logger.info, logger.warning, logger.error, logger.fatal):
        write("event")

    words = [line.split()[3] for line in stream.getvalue().splitlines()]
    assert words == ["DEBUG:", "INFO:", "WARNING:", "ERROR:", "FATAL:"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", "back\\slash"),
        ("a\nINFO: forged", '"a\\nINFO: forged"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("\u2028", '"\\u2028"'),
        ("\udc80", '"\\udc80"'),
        ("größe", "größe"),
        (b"topic", "topic"),
        (b"\xff\x00", '"\\\\xff\\x00"'),
        (None, "None"),
        (ValueError("bad thing"), '"bad thing"'),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_value_that_could_pass_for_something_else_is_quoted(value: object, shown: str) -> None:
    assert str(log.Event("event", {"key": value})) == f"event key={shown}"


def test_a_long_value_is_cut() -> None:
    assert len(str(log.Event("event", {"key": "x" * 100_000}))) < 2_100


@given(st.text(max_size=50) | st.binary(max_size=50))
def test_an_event_is_one_printable_line_whatever_it_holds(value: str | bytes) -> None:
    assert str(log.Event("event", {"key": value})).isprintable()


def test_percent_signs_are_text(stream: io.StringIO) -> None:
    log.get_logger("test").info("event", path="/%s%d")

    assert stream.getvalue().endswith("event path=/%s%d\n")


def test_a_field_may_be_called_event(stream: io.StringIO) -> None:
    log.get_logger("test").info("event", event=1, level=2, name=3)

    assert stream.getvalue().endswith("event event=1 level=2 name=3\n")


def test_events_below_the_level_are_not_written(stream: io.StringIO) -> None:
    log.set_level("WARN")
    logger = log.get_logger("test")

    logger.info("unseen")
    logger.warning("seen")

    assert log.get_level() == "warn"
    assert "unseen" not in stream.getvalue()
    assert "WARNING: seen" in stream.getvalue()
    assert (logger.is_enabled("info"), logger.is_enabled("error")) == (False, True)


@pytest.mark.parametrize("level", list(log.LEVELS))
def test_a_level_that_was_set_is_the_level_in_force(level: str) -> None:
    log.set_level(level)

    assert log.get_level() == level


def test_an_unknown_level_is_refused_and_changes_nothing(stream: io.StringIO) -> None:
    with pytest.raises(OptionError, match="use debug, info, warn, error or fatal"):
        log.configure(prefix="x", level="loud")

    log.get_logger("test").debug("event")
    assert stream.getvalue().startswith("[nsqd] ")


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        log.get_logger("test").exception("handler.failed", error, topic="t")

    first, second, *_, last = stream.getvalue().splitlines()
    assert first.endswith("ERROR: handler.failed topic=t error=broken")
    assert second == "Traceback (most recent call last):"
    assert last == "ValueError: broken"


def test_configuring_again_replaces_the_stream(stream: io.StringIO) -> None:
    other = io.StringIO()
    log.configure(prefix="", level="info", stream=other, color=True)

    log.get_logger("test").error("event")

    assert stream.getvalue() == ""
    assert "\x1b[31mERROR\x1b[0m: event" in other.getvalue()


def test_a_foreign_handler_sees_the_place_of_the_call_and_the_fields() -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logging.getLogger("millstream").addHandler(Keep())
    log.set_level("info")

    log.get_logger("millstream.client.reader").info("event", topic="t")

    [record] = records
    assert (record.name, record.filename, record.getMessage()) == (
        "millstream.client.reader",
        "test_log.py",
        "event topic=t",
    )
    assert isinstance(record.msg, log.Event)
    assert record.msg.fields == {"topic": "t"}
