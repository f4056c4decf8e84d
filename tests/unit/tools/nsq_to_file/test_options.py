from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import describe, parse
from millstream.tools.nsq_to_file.options import ToFileOptions, reader_options

DOCUMENTATION = Path(__file__).parents[4] / "docs" / "nsq_to_file.md"
NEEDED: dict[str, Any] = {"topics": ("t",), "nsqd_tcp_addresses": ("127.0.0.1:4150",)}
DEFAULTS = {
    "channel": "nsq_to_file",
    "consumer-opt": "",
    "datetime-format": "%Y-%m-%d_%H",
    "filename-format": "<TOPIC>.<HOST><REV>.<DATETIME>.log",
    "gzip": "false",
    "gzip-level": "6",
    "host-identifier": "",
    "http-client-connect-timeout": "2s",
    "http-client-request-timeout": "5s",
    "log-level": "info",
    "log-prefix": "[nsq_to_file] ",
    "lookupd-http-address": "",
    "max-in-flight": "200",
    "nsqd-tcp-address": "",
    "output-dir": "/tmp",
    "rotate-interval": "0s",
    "rotate-size": "0",
    "skip-empty-files": "false",
    "sync-interval": "30s",
    "topic": "",
    "topic-pattern": "",
    "topic-refresh": "1m0s",
}


def test_flags_and_defaults_are_those_of_nsq() -> None:
    assert {one.flag: one.default_text for one in describe(ToFileOptions)} == DEFAULTS


def test_the_documentation_lists_every_flag() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")

    assert [flag for flag in DEFAULTS if f"| `--{flag}` |" not in text] == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"topics": ()}, "--topic or --topic-pattern required"),
        ({"nsqd_tcp_addresses": ()}, "--nsqd-tcp-address or --lookupd-http-address required"),
        ({"lookupd_http_addresses": ("127.0.0.1:4161",)}, "not both"),
        ({"topics": (), "topic_pattern": "x"}, "needs --lookupd-http-address"),
        ({"topics": ("no topic",)}, "--topic is 'no topic'"),
        ({"channel": ""}, "--channel is ''"),
        ({"topic_pattern": "("}, "--topic-pattern is"),
        ({"log_level": "loud"}, "--log-level is 'loud'"),
        ({"gzip_level": 0}, "gzip_level"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"sync_interval_ms": 0}, "sync_interval_ms"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint):
        ToFileOptions(**NEEDED | changes)


def test_flags_may_be_repeated() -> None:
    options = parse(
        ToFileOptions,
        ["-topic=a", "--topic", "b", "--gzip", "--nsqd-tcp-address=h:1", "--rotate-size=1KiB", "--sync-interval=1s"],
        program="nsq_to_file",
    )

    assert (options.topics, options.gzip, options.rotate_size_bytes, options.sync_interval_ms) == (
        ("a", "b"),
        True,
        1024,
        1_000,
    )


@pytest.mark.parametrize("changes", [{"gzip": True}, {"rotate_size_bytes": 1}, {"rotate_interval_ms": 1}])
def test_rotation_needs_revisions(changes: dict[str, Any]) -> None:
    assert ToFileOptions(**NEEDED | changes).has_revisions
    assert not ToFileOptions(**NEEDED).has_revisions


@pytest.mark.shows("nsq_to_file --topic-pattern")
def test_the_pattern_is_found_anywhere_in_the_name() -> None:
    options = ToFileOptions(**NEEDED, topic_pattern="ick")

    assert [topic for topic in ("clicks", "pages") if options.wants_topic(topic)] == ["clicks"]


@pytest.mark.shows(
    "nsq_to_file: attempts", better="no message is given up, unless max_attempts says so; NSQ's finishes it after five"
)
def test_a_reader_never_gives_up_a_message_by_itself() -> None:
    reading, complaints = reader_options(ToFileOptions(**NEEDED))

    assert (reading.max_attempts, reading.max_in_flight, complaints) == (0, 200, [])


@pytest.mark.shows("nsq_to_file --consumer-opt")
def test_consumer_options_have_the_names_and_values_of_nsq() -> None:
    options = ToFileOptions(
        **NEEDED,
        max_in_flight=7,
        consumer_opts=("lookupd-poll-interval,1s", "msg_timeout,5000", "client_id,7", "dial-timeout,3s"),
    )

    reading, complaints = reader_options(options)

    assert complaints == []
    assert (reading.lookupd_poll_interval_ms, reading.msg_timeout_ms, reading.client_id) == (1_000, 5_000, "7")
    assert (reading.connect_timeout_ms, reading.max_in_flight) == (3_000, 7)


@pytest.mark.shows("nsq_to_file --consumer-opt", better="one of no use is ignored as well, but told in the log")
def test_a_bad_consumer_option_is_left_out_and_told() -> None:
    options = ToFileOptions(
        **NEEDED, consumer_opts=("snappy", "max_attempts,many", "heartbeat_interval,5m", "client_id,x")
    )

    reading, complaints = reader_options(options)

    assert reading.client_id == "x"
    assert [complaint.split()[0] for complaint in complaints] == ["unknown", "max_attempts:", "read_timeout_ms"]
