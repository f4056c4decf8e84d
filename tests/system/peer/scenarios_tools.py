"""The original tools on both daemons: what they print, what they write, how they exit."""

from typing import Final

from peer_script import Ask, Scenario, Take, Tool, case, get, mpub, on, post, pub, stats

NSQD: Final = "--nsqd-tcp-address=$tcp"
SUB: Final = b"SUB $t c\nRDY 10\n"
DONE: Final = "/stats?format=json&include_mem=false&include_clients=false&topic=$t"
FILES: Final = ("--output-dir=$dir", "--filename-format=<TOPIC>.log", "--sync-interval=50ms")
GONE: Final = stats('"client_count":0')


def finished(count: int) -> Ask:
    """Until a client has finished so many: a depth of 0 with nothing in flight is seen before the delivery, too."""
    return get("/stats?format=json&include_mem=false&topic=$t", f'"finish_count":{count}')


def to_nsq(stdin: bytes, *flags: str) -> Tool:
    return Tool("to_nsq", ("--topic=$t", NSQD, *flags), stdin)


def tail(count: int, *flags: str) -> Tool:
    return Tool("nsq_tail", ("--topic=$t", "--channel=tail#ephemeral", NSQD, f"-n={count}", *flags))


def to_file(*flags: str, is_ours: bool = False) -> Tool:
    words = ("--topic=$t", "--channel=archive", NSQD, *FILES)
    return Tool("nsq_to_file", (*words, *flags), is_ours=is_ours, until=finished(3))


def to_nsq_again(*flags: str) -> Tool:
    """Of the original nsq_to_nsq: from a topic to the other one of the scenario."""
    words = ("--topic=$t", "--channel=copy", "--nsqd-tcp-address=$tcp", "--destination-nsqd-tcp-address=$tcp")
    return Tool("nsq_to_nsq", (*words, *flags), until=finished(3))


def to_http(*flags: str) -> Tool:
    return Tool("nsq_to_http", ("--topic=$t", "--channel=post", "--nsqd-tcp-address=$tcp", *flags), until=finished(3))


def stat(*flags: str) -> Tool:
    return Tool("nsq_stat", ("--topic=$t", "--channel=c", "--count=1", "--interval=100ms", *flags))


THREE: Final = (pub(b"one", b"two", b"three"), 3)
COPIED: Final = (b"SUB $u c\nRDY 10\n", Take(4, any_order=True))
JSON: Final = (pub(b'{"a":"1","b":"x"}', b'{"a":"2"}', b'{"a":"1"}'), 3)
LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "TLS": ("tls_v1,true", "tls_root_ca_file,$certs/ca.pem"),
    "snappy": ("snappy,true",),
    "deflate": ("deflate,true", "deflate_level,3"),
    "TLS and snappy": ("tls_v1,true", "tls_root_ca_file,$certs/ca.pem", "snappy,true"),
    "TLS and deflate": ("tls_v1,true", "tls_root_ca_file,$certs/ca.pem", "deflate,true"),
}
LOOKUP: Final = "--lookupd-http-address=$lookupd"
KNOWN: Final = get("/lookup?topic=$t", "remote_address", "nsqlookupd")


def _options(kind: str, *values: str) -> list[str]:
    return [f"--{kind}-opt={value}" for value in values]


SCENARIOS: Final[list[Scenario]] = [
    case("to_nsq", to_nsq(b"one\ntwo\nthree\n"), SUB, 4),
    case("to_nsq skips empty lines", to_nsq(b"\none\n\n\ntwo\n"), SUB, 3, stats()),
    case("to_nsq with another delimiter", to_nsq(b"one,two,", "--delimiter=,"), SUB, 3),
    case("to_nsq with a rate", to_nsq(b"one\ntwo\n", "--rate=20"), SUB, 3),
    case("to_nsq to an invalid topic", Tool("to_nsq", ("--topic=a b", NSQD), b"one\n")),
    case("to_nsq of what is too big", to_nsq(b"x" * 1048577 + b"\n")),
    case("to_nsq with a name", to_nsq(b"one\n", "--producer-opt=user_agent,me"), SUB, 2),
    case("nsq_tail", pub(b"one", b"two", b"three"), 3, tail(3)),
    case("nsq_tail prints the topic", mpub(b"one", b"two"), 1, tail(2, "--print-topic=true")),
    case("nsq_tail of one", pub(b"one", b"two"), 2, tail(1)),
    case("nsq_tail of many", mpub(*[b"%d" % number for number in range(100)]), 1, tail(100)),
    case("nsq_tail unbuffered", pub(b"one"), 1, tail(1, "--consumer-opt=output_buffer_size,-1")),
    case("nsq_tail with a message timeout", pub(b"one"), 1, tail(1, "--consumer-opt=msg_timeout,2s")),
    case("nsq_tail with heartbeats of a second", pub(b"one"), 1, tail(1, "--consumer-opt=heartbeat_interval,1s")),
    case("nsq_tail sampling everything", pub(b"one"), 1, tail(1, "--consumer-opt=sample_rate,99")),
    case(
        "nsq_tail is ended", Tool("nsq_tail", ("--topic=$t", "--channel=c", NSQD), until=get(DONE, '"client_count":1'))
    ),
    case(
        "nsq_stat",
        post("/topic/create?topic=$t"),
        post("/channel/create?topic=$t&channel=c"),
        pub(b"a", b"b"),
        2,
        stats('"channel_name":"c","depth":2'),
        Tool("nsq_stat", ("--topic=$t", "--channel=c", "--nsqd-http-address=$http", "--count=2", "--interval=100ms")),
    ),
    case(
        "nsq_stat of what is in flight",
        SUB + pub(b"a"),
        3,
        b"FIN $m1\n" + pub(b"b"),
        2,
        stats('"in_flight_count":1'),
        stat("--nsqd-http-address=$http"),
    ),
    case(
        "nsq_stat of an unknown channel",
        post("/topic/create?topic=$t"),
        stat("--nsqd-http-address=$http"),
    ),
    *(
        case(f"{name} nsq_to_file", pub(b"one", b"two", b"three"), 3, to_file(is_ours=name == "our"), GONE)
        for name in ("the original", "our")
    ),
    case("nsq_to_file of a batch", mpub(b"one", b"two", b"three"), 1, to_file("--max-in-flight=2"), GONE),
    case("nsq_to_nsq", *THREE, to_nsq_again("--destination-topic=$u"), GONE, *COPIED),
    case("nsq_to_nsq in turn", *THREE, to_nsq_again("--destination-topic=$u", "--mode=round-robin"), GONE, *COPIED),
    case(
        "nsq_to_nsq of what has a field",
        *JSON,
        to_nsq_again("--destination-topic=$u", "--require-json-field=a", "--require-json-value=1"),
        GONE,
        b"SUB $u c\nRDY 10\n",
        Take(3, any_order=True),
    ),
    case(
        "nsq_to_nsq of some fields", *JSON, to_nsq_again("--destination-topic=$u", "--whitelist-json-field=b"), *COPIED
    ),
    case("nsq_to_http posts", *THREE, to_http("--post=http://$http/pub?topic=$u", "--n=1"), GONE, *COPIED),
    case(
        "nsq_to_http posts three at a time",
        *THREE,
        to_http("--post=http://$http/pub?topic=$u", "--n=3"),
        GONE,
        stats(topic="$u"),
    ),
    case("nsq_to_http gets", *THREE, to_http("--get=http://$http/ping?body=%s"), GONE),
    case(
        "nsq_to_http posts to a header of its own",
        *THREE,
        to_http("--post=http://$http/pub?topic=$u", "--header=X-A: b", "--n=1"),
        GONE,
        *COPIED,
    ),
    *on(
        "tls",
        *(
            case(f"to_nsq over {layers}", to_nsq(b"one\ntwo\n", *_options("producer", *values)), SUB, 3)
            for layers, values in LAYERS.items()
        ),
        *(
            case(f"nsq_tail over {layers}", *THREE, tail(3, *_options("consumer", *values)))
            for layers, values in LAYERS.items()
        ),
        case("to_nsq that does not trust the server", to_nsq(b"one\n", "--producer-opt=tls_v1,true")),
        case(
            "nsq_to_file over TLS and snappy", *THREE, to_file(*_options("consumer", *LAYERS["TLS and snappy"])), GONE
        ),
    ),
    *on(
        "a good certificate",
        *(
            case(
                f"to_nsq with {name}",
                to_nsq(
                    b"one\ntwo\n",
                    *_options("producer", *LAYERS["TLS"], f"tls_cert,$certs/{file}.pem", f"tls_key,$certs/{file}.key"),
                ),
                post("/topic/create?topic=$t"),
                stats(),
            )
            for name, file in (("a good certificate", "client"), ("a bad certificate", "stranger"))
        ),
    ),
    *on(
        "auth",
        *(
            case(f"to_nsq with {name}", to_nsq(b"one\ntwo\n", f"--producer-opt=auth_secret,{secret}"), stats())
            for name, secret in (
                ("a secret", "publisher"),
                ("a secret for another topic", "other"),
                ("a wrong secret", "x"),
            )
        ),
        case("to_nsq without a secret", to_nsq(b"one\n"), stats()),
        case(
            "nsq_tail with a secret",
            post("/pub?topic=$t", b"one"),
            tail(1, "--consumer-opt=auth_secret,all"),
        ),
        case(
            "nsq_to_file with a secret",
            post("/mpub?topic=$t", b"one\ntwo\nthree"),
            to_file("--consumer-opt=auth_secret,all"),
            GONE,
        ),
    ),
    *on(
        "cluster",
        *(
            case(
                f"{name} nsq_to_file finds its topic",
                *THREE,
                KNOWN,
                Tool(
                    "nsq_to_file",
                    ("--topic=$t", "--channel=archive", LOOKUP, *FILES),
                    is_ours=name == "our",
                    until=finished(3),
                ),
                GONE,
            )
            for name in ("the original", "our")
        ),
        case(
            "nsq_tail finds its topic",
            *THREE,
            KNOWN,
            Tool("nsq_tail", ("--topic=$t", "--channel=tail", LOOKUP, "-n=3")),
        ),
        case(
            "nsq_stat finds its topic",
            post("/topic/create?topic=$t"),
            post("/channel/create?topic=$t&channel=c"),
            *THREE,
            stats('"channel_name":"c","depth":3'),
            KNOWN,
            stat(LOOKUP),
        ),
        case("nsq_stat does not find a topic", stat(LOOKUP)),
        case(
            "nsq_to_nsq finds its topic",
            *THREE,
            KNOWN,
            Tool(
                "nsq_to_nsq",
                (
                    "--topic=$t",
                    "--channel=copy",
                    LOOKUP,
                    "--destination-nsqd-tcp-address=$tcp",
                    "--destination-topic=$u",
                ),
                until=finished(3),
            ),
            *COPIED,
            get("/lookup?topic=$u", '["c"]', "nsqlookupd"),
        ),
        case(
            "nsq_to_http finds its topic",
            *THREE,
            KNOWN,
            Tool(
                "nsq_to_http",
                ("--topic=$t", "--channel=post", LOOKUP, "--post=http://$http/pub?topic=$u", "--n=1"),
                until=finished(3),
            ),
            *COPIED,
        ),
    ),
]
