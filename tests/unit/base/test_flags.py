from dataclasses import dataclass

import pytest

from millstream.base.declare import describe, option
from millstream.base.errors import OptionError
from millstream.base.flags import scan, usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    msg_timeout_ms: int = option(60_000, "requeue after this", unit="ms", low=1, high=900_000)
    max_body_size_bytes: int = option(5_242_880, "largest body", unit="bytes")
    mem_queue_size: int = option(10_000, "messages in memory")
    rate: float = option(0.0, "a share")
    deflate: bool = option(True, "allow deflate")
    data_path: str = option("", "folder of the queues")
    lookupd_tcp_address: tuple[str, ...] = option((), "where to announce")
    percentile: tuple[float, ...] = option((), "quantiles to keep", low=0, high=1)
    tls_required: str = option("false", "who must use TLS", choices=("false", "true", "tcp-https"), bare="true")


DESCRIPTIONS = describe(Options)


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["-data-path", "/x"], {"data_path": "/x"}),
        (["--data-path", "/x"], {"data_path": "/x"}),
        (["-data-path=/x"], {"data_path": "/x"}),
        (["--data-path=a=b"], {"data_path": "a=b"}),
        (["--data-path="], {"data_path": ""}),
        (["--data-path", "--deflate"], {"data_path": "--deflate"}),
        (["--data-path", "--"], {"data_path": "--"}),
        (["--data-path", "a", "--data-path", "b"], {"data_path": "b"}),
        (["--mem-queue-size", "-5"], {"mem_queue_size": -5}),
        (["--mem-queue-size=-5"], {"mem_queue_size": -5}),
        (["--mem-queue-size=0x10"], {"mem_queue_size": 16}),
        (["--mem-queue-size=010"], {"mem_queue_size": 8}),
        (["--mem-queue-size=1_000"], {"mem_queue_size": 1_000}),
        (["--rate", "-.5e1"], {"rate": -5.0}),
        (["--msg-timeout=1m30s"], {"msg_timeout_ms": 90_000}),
        (["--max-body-size=64KiB"], {"max_body_size_bytes": 65_536}),
        (["--deflate"], {"deflate": True}),
        (["--deflate=false"], {"deflate": False}),
        (["-deflate=F"], {"deflate": False}),
        (["--tls-required"], {"tls_required": "true"}),
        (["--tls-required=TCP-HTTPS"], {"tls_required": "tcp-https"}),
        (["-lookupd-tcp-address=a:1,b:2", "-lookupd-tcp-address", "c:3"], {"lookupd_tcp_address": ("a:1,b:2", "c:3")}),
        (["--percentile=0.5,0.9", "--percentile", "1"], {"percentile": (0.5, 0.9, 1.0)}),
    ],
)
@pytest.mark.shows("all: flags: -name and --name, values behind = or next, lists by repetition")
def test_a_flag_is_read_as_go_reads_it(argv: list[str], values: dict[str, object]) -> None:
    scanned = scan(DESCRIPTIONS, argv)

    assert scanned.values == values
    assert scanned.arguments == []


@pytest.mark.parametrize(
    ("argv", "arguments"),
    [
        (["--deflate", "false", "--data-path=/x"], ["false", "--data-path=/x"]),
        (["--deflate", "--", "--data-path=/x"], ["--data-path=/x"]),
        (["--deflate", "-", "--data-path=/x"], ["-", "--data-path=/x"]),
        (["--deflate", "", "x"], ["", "x"]),
    ],
)
def test_the_first_argument_that_is_no_flag_ends_them(argv: list[str], arguments: list[str]) -> None:
    scanned = scan(DESCRIPTIONS, argv)

    assert scanned.values == {"deflate": True}
    assert scanned.arguments == arguments


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--data-pth=/x"], "flag provided but not defined: -data-pth (did you mean --data-path?)"),
        (["-5"], "flag provided but not defined: -5"),
        (["---data-path"], "bad flag syntax: ---data-path"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--data-path"], "flag needs an argument: -data-path"),
        (["--mem-queue-size=many"], 'invalid value "many" for flag -mem-queue-size: write an integer, such as 100'),
        (["--mem-queue-size=1__0"], 'invalid value "1__0" for flag -mem-queue-size: write an integer, such as 100'),
        (["--mem-queue-size=089"], 'invalid value "089" for flag -mem-queue-size: write an integer, such as 100'),
        (["--mem-queue-size= 5"], 'invalid value " 5" for flag -mem-queue-size: write an integer, such as 100'),
        (
            ["--mem-queue-size=9223372036854775808"],
            'invalid value "9223372036854775808" for flag -mem-queue-size: the number does not fit 64 bits',
        ),
        (["--rate=nan"], 'invalid value "nan" for flag -rate: write a number, such as 0.5'),
        (["--deflate=yes"], 'invalid value "yes" for flag -deflate: write true or false'),
        (
            ["--msg-timeout=60000"],
            (
                'invalid value "60000" for flag -msg-timeout: missing unit in duration "60000": '
                "write 60000ms, 60000s, 60000m or 60000h"
            ),
        ),
        (
            ["--msg-timeout=1us"],
            (
                'invalid value "1us" for flag -msg-timeout: duration 1us is finer than a millisecond: '
                "write whole milliseconds, such as 1ms"
            ),
        ),
        (["--msg-timeout=16m"], "flag -msg-timeout is 16m0s, out of bounds: use 1ms to 15m0s"),
        (["--msg-timeout=0"], "flag -msg-timeout is 0s, out of bounds: use 1ms to 15m0s"),
        (["--percentile=0.5,2"], "flag -percentile is 2.0, out of bounds: use 0 to 1"),
        (["--tls-required=maybe"], "flag -tls-required is 'maybe': use one of false, true, tcp-https"),
    ],
)
def test_a_flag_of_no_use_is_refused_with_the_fix(argv: list[str], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        scan(DESCRIPTIONS, argv)

    assert str(caught.value) == message


def test_help_is_asked_for_in_every_way_of_go() -> None:
    assert all(scan(DESCRIPTIONS, [flag]).wants_help for flag in ("-h", "--h", "-help", "--help"))


def test_the_version_is_asked_for_by_a_switch() -> None:
    assert scan(DESCRIPTIONS, ["--version"]).wants_version
    assert not scan(DESCRIPTIONS, ["--version=false"]).wants_version
    with pytest.raises(OptionError):
        scan(DESCRIPTIONS, ["--version=maybe"])
    with pytest.raises(OptionError, match="not defined: -version"):
        scan(DESCRIPTIONS, ["--version"], version=False)


def test_usage_lists_every_flag_by_name_with_its_rules() -> None:
    text = usage("nsqd", DESCRIPTIONS, version=True, positional=False)

    assert text.startswith("Usage of nsqd:\n  --data-path string\n        folder of the queues\n  --deflate\n")
    assert "  --msg-timeout duration\n        requeue after this (1ms to 15m0s; default 1m0s)\n" in text
    assert "  --tls-required[=string]\n        who must use TLS (one of false, true, tcp-https)\n" in text
    assert "  --lookupd-tcp-address string\n        where to announce (may be given multiple times)\n" in text
    assert text.endswith("  --version\n        print version string\n")
