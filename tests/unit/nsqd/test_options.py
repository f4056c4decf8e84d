"""`nsqd.options`: NSQ's flags and defaults."""

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import describe, from_mapping, parse
from millstream.nsqd.options import DaemonOptions


def test_the_defaults_are_nsqs() -> None:
    options = DaemonOptions()

    assert (options.tcp_address, options.http_address) == ("0.0.0.0:4150", "0.0.0.0:4151")
    assert (options.mem_queue_size, options.max_msg_size, options.max_body_size) == (10_000, 1 << 20, 5 << 20)
    assert (options.msg_timeout_ms, options.max_msg_timeout_ms, options.max_req_timeout_ms) == (
        60_000,
        900_000,
        3_600_000,
    )
    assert (options.max_rdy_count, options.max_heartbeat_interval_ms) == (2_500, 60_000)


def test_flags_are_nsqs() -> None:
    options = parse(
        DaemonOptions,
        [
            "-tcp-address=127.0.0.1:1",
            "--msg-timeout=1m30s",
            "--lookupd-tcp-address=a:1",
            "--lookupd-tcp-address",
            "b:2",
            "--node-id=5",
            "--max-msg-size=2048",
        ],
        program="nsqd",
    )

    assert (options.tcp_address, options.msg_timeout_ms, options.node_id) == ("127.0.0.1:1", 90_000, 5)
    assert options.lookupd_tcp_address == ("a:1", "b:2")
    assert options.max_msg_size == 2048


@pytest.mark.shows("all: file: keys are the flags' names with _, but for NSQ's exceptions")
def test_the_file_uses_nsqs_keys() -> None:
    options = from_mapping(DaemonOptions, {"nsqlookupd_tcp_addresses": ["a:1"], "id": 3, "data_path": "/d"})

    assert (options.lookupd_tcp_address, options.node_id, options.data_path) == (("a:1",), 3, "/d")


@pytest.mark.parametrize(
    "values",
    [
        {"durability": "hope"},
        {"log_level": "loud"},
        {"max_msg_size": 0},
        {"node_id": 1024},
        {"mem_queue_size": -1},
        {"msg_timeout_ms": 0},
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        DaemonOptions(**values)  # type: ignore[arg-type]  # that is what is tested


def test_every_option_explains_itself() -> None:
    assert all(found.help for found in describe(DaemonOptions))


def test_identify_is_negotiated_within_the_options() -> None:
    features = DaemonOptions(msg_timeout_ms=5, max_body_size=7, max_rdy_count=9).features()

    assert (features.msg_timeout_ms, features.max_body_bytes, features.max_rdy_count) == (5, 7, 9)


def test_percentiles_are_repeated_or_listed_and_shown_highest_first() -> None:
    flags = ["--e2e-processing-latency-percentile=0.5,1.0", "--e2e-processing-latency-percentile", "0.99"]

    options = parse(DaemonOptions, flags, program="nsqd")

    assert options.e2e_processing_latency_percentile == (1.0, 0.99, 0.5)
    assert options.latency_window_ns == 600 * 10**9
    assert from_mapping(DaemonOptions, {"e2e_processing_latency_percentiles": [0.5]}).latency_window_ns > 0
    assert DaemonOptions().latency_window_ns == 0


@pytest.mark.parametrize("percentile", [0.0, -0.5, 1.01])
def test_a_percentile_is_above_0_and_at_most_1(percentile: float) -> None:
    with pytest.raises(OptionError, match=f"invalid E2E processing latency percentile: {percentile:g}"):
        DaemonOptions(e2e_processing_latency_percentile=(0.5, percentile))


def test_the_address_of_statsd_is_checked_at_the_start() -> None:
    assert DaemonOptions(statsd_address="localhost:8125").statsd_interval_ms == 60_000
    with pytest.raises(OptionError):
        DaemonOptions(statsd_address="localhost")
