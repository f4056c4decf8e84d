"""What operators write: TOML files and flags of the daemons, and the rules of nsqauthd."""

import tomllib
from contextlib import suppress
from typing import Any, Final

from fuzz_target import Target

from millstream.base.config import from_keys
from millstream.base.declare import describe
from millstream.base.errors import OptionError
from millstream.base.flags import scan
from millstream.base.units import format_duration, parse_address, parse_duration_ns, parse_size_bytes
from millstream.nsqauthd.options import AuthdOptions
from millstream.nsqauthd.rules import BadRules, Identity, TooManyEntries, answer, parse_rules
from millstream.nsqd.auth import AuthQueryFailed, parse_authorizations
from millstream.nsqd.options import DaemonOptions
from millstream.nsqlookupd.options import LookupdOptions

PROGRAMS: Final[tuple[type[Any], ...]] = (DaemonOptions, LookupdOptions, AuthdOptions)


def toml(data: bytes) -> None:
    """A configuration file of each daemon."""
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return
    for program in PROGRAMS:
        try:
            options = program(**from_keys(describe(program), table))
        except OptionError as error:
            _check_message(error)
            continue
        if isinstance(options, DaemonOptions):
            assert options.features().max_body_bytes == options.max_body_size
            assert options.latency_window_ns >= 0


def flags(data: bytes) -> None:
    """A command line of each daemon, its words separated by NUL; the words as units as well."""
    words = data.decode("utf-8", "surrogateescape").split("\0")
    for program in PROGRAMS:
        try:
            scanned = scan(describe(program), words)
            program(**{name: value for name, value in scanned.values.items() if name != "version"})
        except OptionError as error:
            _check_message(error)
    for word in words:
        with suppress(ValueError):
            duration_ns = parse_duration_ns(word)
            assert abs(duration_ns) < 1 << 63
            assert parse_duration_ns(format_duration(duration_ns)) == duration_ns
        with suppress(ValueError):
            assert abs(parse_size_bytes(word)) < 1 << 63
        with suppress(OptionError):
            address = parse_address(word)
            assert parse_address(str(address)) == address


def rules(data: bytes) -> None:
    """A file of rules, and what it grants to some identities."""
    try:
        known = parse_rules(data.decode(), parse_authorizations)
    except (BadRules, UnicodeDecodeError) as error:
        _check_message(error)
        return
    for identity in (
        Identity.of(),
        Identity.of(secret="s", common_name="cn", remote_ip="10.0.0.1", tls=True),
        Identity.of(secret="\udc80", remote_ip="::1"),
        Identity.of(remote_ip="no address"),
    ):
        holding = known.holding(identity)
        if holding:
            with suppress(TooManyEntries, AuthQueryFailed):
                parse_authorizations(answer(holding)).may_subscribe("t", "c")


def _check_message(error: Exception) -> None:
    assert str(error)
    assert len(str(error)) < 10_000, "the message repeats what it was given"


_KEYS: Final = sorted({one.key for program in PROGRAMS for one in describe(program) if one.key})
_FLAGS: Final = sorted({one.flag for program in PROGRAMS for one in describe(program) if one.flag})
_VALUES: Final = (b"true", b"1m30s", b'"250ms"', b"64KiB", b"-1", b"1e400", b"nan", b"9223372036854775808", b"0.99,0.5")
_RULES: Final = b"""
[[rule]]
identity = "web"
secret = "s"
remote_ip = "10.0.0.0/8"
common_name = "cn"
tls = true
topics = ["^clicks$", ".*"]
channels = [".*"]
permissions = ["publish", "subscribe"]
ttl = 60
"""

TOML: Final = Target(
    toml,
    (
        b'max_rdy_count = 100\nmsg_timeout = "1m"\ntls_required = true\nnsqlookupd_tcp_addresses = ["h:4160"]\n',
        b'e2e_processing_latency_percentiles = [0.99, 1]\nhttp_address = "[::1]:4151"\n',
        b'max_registrations = 5\nsnapshot_path = "x"\n',
        b"[a.b]\nc = 1979-05-27T07:32:00Z\n",
        b"max_body_size = 0x10\nmax_msg_size = 1_000\nmem_queue_size = -0.0\n",
    ),
    (*(key.encode() + b" = " for key in _KEYS), *_VALUES, b"[[x]]\n", b"inf", b"'''", b"\\u0000"),
    is_cut=False,
)
FLAGS: Final = Target(
    flags,
    (
        b"--max-rdy-count=100\0-msg-timeout\x001m\0--tls-required\0--lookupd-tcp-address=h:1\0--",
        b"--version\0-h",
        b"--e2e-processing-latency-percentile=0.5,0.9\0--statsd-address=[::1]:8125\0--deflate=false",
        b"1h2m3.5s\x001.5KiB\0[::1]:80\0host:65536\0-0\0+9223372036854775807ns",
    ),
    (*(b"--" + flag.encode() for flag in _FLAGS), *_VALUES, b"=", b"\0", b"\xc2\xb5s", b"\xff"),
    is_cut=False,
)
RULES: Final = Target(
    rules,
    (_RULES, _RULES * 2, b"[[rule]]\n"),
    (b"[[rule]]\n", b'topics = ["', b'channels = ["', b"publish", b"ttl = ", b"(?i)", b"{1,1000}", b"\\\\d", b"::/0"),
    is_cut=False,
)
