"""`client.options`: bounds, and options that contradict each other."""

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import describe
from millstream.client import ReaderOptions, WriterOptions


def test_the_defaults_are_those_of_nsq_clients() -> None:
    options = ReaderOptions()

    assert (options.max_in_flight, options.max_attempts, options.default_requeue_delay_ms) == (1, 5, 90_000)
    assert (options.max_requeue_delay_ms, options.max_backoff_duration_ms) == (900_000, 120_000)


@pytest.mark.parametrize(
    "values",
    [
        {"max_in_flight": -1},
        {"max_attempts": 65_536},
        {"lookupd_poll_jitter": 1.5},
        {"backoff_strategy": "linear"},
        {"heartbeat_interval_ms": 999},
        {"connect_timeout_ms": 0},
    ],
)
def test_a_value_out_of_bounds_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(values))):
        ReaderOptions(**values)  # type: ignore[arg-type]


def test_a_read_timeout_below_the_heartbeat_is_refused() -> None:
    with pytest.raises(OptionError, match="heartbeat_interval_ms"):
        WriterOptions(read_timeout_ms=5_000)


def test_every_option_but_the_function_is_described() -> None:
    names = {description.name for description in describe(ReaderOptions)}

    assert "max_in_flight" in names
    assert "client_id" in names
    assert "gave_up" not in names
