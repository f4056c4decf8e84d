"""IDENTIFY: sizes, JSON as Go reads it, limits, the answer; heartbeats."""

from dataclasses import replace
from typing import Final

from peer_script import Close, Scenario, Send, Take, better, case, features, identify, on, pub, sized

HEARTBEATS: Final = ("-2", "-1", "0", "1", "100", "999", "1000", "30000", "60000", "60001", "9999999999999")
BUFFER_TIMEOUTS: Final = ("-2", "-1", "0", "1", "24", "25", "250", "30000", "30001")
BUFFER_SIZES: Final = ("-2", "-1", "0", "1", "63", "64", "16384", "65536", "65537")
RATES: Final = ("-1", "0", "1", "99", "100", "2147483648")
MSG_TIMEOUTS: Final = ("-1", "0", "1", "999", "1000", "900000", "900001")
BODIES: Final = [
    *("{}", "null", "[]", "1", "true", '"a"', "{", "}", "{}x", "{} ", " {}", "{}{}", "\n{}\n", "nul", "{'a':1}"),
    *('{"a":}', '{"a":1,}', '{"a":{"b":[1,{"c":null}]}}', '{"client_id":1}', '{"client_id":null}', '{"client_id":{}}'),
    *(
        '{"snappy":1}',
        '{"snappy":"true"}',
        '{"snappy":null}',
        '{"tls_v1":[]}',
        '{"sample_rate":"5"}',
        '{"hostname":[]}',
    ),
    *('{"heartbeat_interval":1000.0}', '{"heartbeat_interval":1e3}', '{"heartbeat_interval":"1000"}'),
    *('{"heartbeat_interval":true}', '{"heartbeat_interval":null}', '{"heartbeat_interval":01000}'),
    *('{"heartbeat_interval":-0}', '{"heartbeat_interval":9223372036854775808}', '{"sample_rate":-2147483649}'),
    *('{"HEARTBEAT_INTERVAL":5}', '{"Heartbeat_Interval":5}', '{"heartbeatinterval":5}', '{"heartbeat-interval":5}'),
    *('{"heartbeat_interval":5,"heartbeat_interval":5000}', '{"heartbeat_interval":5000,"heartbeat_interval":5}'),
    *('{"heartbeat_interval":5,"sample_rate":"x"}', '{"heartbeat_interval":5,"sample_rate":100}', '{"a":"\t"}'),
    *(
        '{"client_id":"\\u00e9\\ud83d\\ude00\\ud800"}',
        '{"client_id":"\\x"}',
        '{"long_id":1,"short_id":[2]}',
        "\ufeff{}",
    ),
    *('{"output_buffer_timeout":1,"output_buffer_size":1}', '{"output_buffer_size":1,"sample_rate":100}'),
    *('{"sample_rate":100,"msg_timeout":1}', '{"deflate_level":"6"}', "NaN", '{"a":1e999}'),
    *('{"sample_rate":NaN}', '{"a":Infinity}', '{"a":0x1}', '{"a":1.}', '{"a":-}', '{"a":"' + "x" * 3000 + '"}'),
]
BYTES: Final = [
    b'{"client_id":"\xff\xfe"}',
    b'{"client_id":"\x00"}',
    b"\x00",
    b'{"\xff":1}',
    b"[" * 9_000 + b"]" * 9_000,
    b'{"a":' * 12_000 + b"1" + b"}" * 12_000,
]


def _with_small_limits(*scenarios: Scenario) -> list[Scenario]:
    return on("small", *(replace(each, name=f"small limits: {each.name}") for each in scenarios))


def _each(field: str, values: tuple[str, ...]) -> list[Scenario]:
    return [case(f"{field} {value}", features(f'"{field}":{value}')) for value in values]


SCENARIOS: Final[list[Scenario]] = [
    *_each("heartbeat_interval", HEARTBEATS),
    *_each("output_buffer_timeout", BUFFER_TIMEOUTS),
    *_each("output_buffer_size", BUFFER_SIZES),
    *_each("sample_rate", RATES),
    *_each("msg_timeout", MSG_TIMEOUTS),
    *(case(f"the body {body[:60]}", identify(body)) for body in BODIES),
    *(case(f"the body {body[:20]!r} of {len(body)} bytes", identify(body)) for body in BYTES),
    case("without negotiation the answer is OK", identify('{"heartbeat_interval":5000,"snappy":true,"deflate":true}')),
    case("negotiation", features()),
    better(
        "NSQ after 1.3.0 says so too",
        case("all of the answer", features(), exact=True),
        '+ .topology_region = ""',
        '+ .topology_zone = ""',
    ),
    better(
        "NSQ after 1.3.0 knows the field too",
        case("a topology_zone that is no text", identify('{"topology_zone":1}')),
        "- a: b'OK'",
        "+ a: error b'E_BAD_BODY IDENTIFY failed to decode JSON body'",
    ),
    case("TLS is not to be had", features('"tls_v1":true')),
    case("twice", features('"msg_timeout":2000') + features('"sample_rate":5')),
    case("twice, the second wrong", features() + features('"sample_rate":500')),
    case("the size 0", b"IDENTIFY\n" + sized(b"", 0)),
    case("the size -1", b"IDENTIFY\n" + sized(b"", -1)),
    case("the smallest size", b"IDENTIFY\n" + sized(b"", -(1 << 31))),
    case("the largest size", b"IDENTIFY\n" + sized(b"", (1 << 31) - 1)),
    case("a size just too large", b"IDENTIFY\n" + sized(b"", 5242881)),
    case("a body that ends early", b"IDENTIFY\n" + sized(b"{}", 10)),
    case("a size that ends early", b"IDENTIFY\n\x00\x00"),
    case("no size at all", b"IDENTIFY\n"),
    case("no SUB with heartbeats disabled", identify('{"heartbeat_interval":-1}') + b"SUB $t c\n"),
    case("no SUB without a channel with heartbeats disabled", identify('{"heartbeat_interval":-1}') + b"SUB\n"),
    case("PUB with heartbeats disabled", identify('{"heartbeat_interval":-1}') + pub(b"x")),
    case("a heartbeat, and the end for who is silent", identify('{"heartbeat_interval":1000}'), 2, Close(waits=True)),
    case("an answered heartbeat", identify('{"heartbeat_interval":1000}'), 2, b"NOP\n", 1, b"NOP\n", 1),
    case("a PUB is an answer too", identify('{"heartbeat_interval":1000}'), 2, pub(b"a"), 2, pub(b"b"), 2),
    case(
        "heartbeats come to subscribers", identify('{"heartbeat_interval":1000}') + b"SUB $t c\nRDY 1\n", 3, b"NOP\n", 1
    ),
    case(
        "heartbeats end with the connection of a publisher",
        Send(identify('{"heartbeat_interval":1000}') + pub(b"a"), "p"),
        Take(3, "p"),
        Close("p", waits=True),
    ),
    *_with_small_limits(
        case("the limits in the answer", features()),
        *_each("heartbeat_interval", ("5000", "5001")),
        *_each("output_buffer_timeout", ("99", "100", "1000", "1001")),
        *_each("output_buffer_size", ("1024", "1025")),
        *_each("msg_timeout", ("3000", "3001")),
        case("a body at its limit", identify('{"a":"' + "x" * 292 + '"}')),
        case("a body above its limit", identify('{"a":"' + "x" * 293 + '"}')),
    ),
]
