from pathlib import Path

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import parse
from millstream.nsqlookupd.options import LookupdOptions


def parsed(*argv: str) -> LookupdOptions:
    return parse(LookupdOptions, argv, program="nsqlookupd")


def test_the_defaults_are_those_of_nsq() -> None:
    options = parsed()

    assert (options.tcp_address, options.http_address) == ("0.0.0.0:4160", "0.0.0.0:4161")
    assert options.inactive_producer_timeout_ms == 300_000
    assert options.tombstone_lifetime_ms == 45_000
    assert (options.log_level, options.log_prefix) == ("info", "[nsqlookupd] ")


def test_the_flags_of_nsq_are_understood() -> None:
    options = parsed(
        "-tcp-address=127.0.0.1:1",
        "--http-address=127.0.0.1:2",
        "-broadcast-address",
        "me",
        "--inactive-producer-timeout=1m30s",
        "--tombstone-lifetime=250ms",
        "--log-level=debug",
        "--log-prefix=x ",
        "--verbose",
    )

    assert options == LookupdOptions(
        tcp_address="127.0.0.1:1",
        http_address="127.0.0.1:2",
        broadcast_address="me",
        inactive_producer_timeout_ms=90_000,
        tombstone_lifetime_ms=250,
        log_level="debug",
        log_prefix="x ",
        verbose=True,
    )


def test_a_file_is_read_and_flags_win_over_it(tmp_path: Path) -> None:
    path = tmp_path / "nsqlookupd.cfg"
    path.write_text('tcp_address = "127.0.0.1:1"\nhttp_address = "127.0.0.1:2"\ninactive_producer_timeout = "1s"\n')

    options = parsed(f"--config={path}", "--http-address=127.0.0.1:3")

    assert options.tcp_address == "127.0.0.1:1"
    assert options.http_address == "127.0.0.1:3"
    assert options.inactive_producer_timeout_ms == 1000


def test_log_levels_match_in_any_case_and_others_are_refused() -> None:
    assert parsed("--log-level=DEBUG").log_level == "DEBUG"
    with pytest.raises(OptionError, match="debug, info, warn, error, fatal"):
        LookupdOptions(log_level="loud")


def test_the_version_is_told_as_nsq_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--version")

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("nsqlookupd v1.3.0 (built w/")
