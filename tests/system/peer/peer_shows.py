"""Which rows of docs/compatibility.md the scenarios show: patterns of `theme: name`, in which `*` stands for anything.

A scenario that is better by intent says so in the page with its reason, and one that `peer_known` lists with what is
known of it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
from peer_script import Scenario

Patterns = tuple[str, ...]

TCP: Final[Mapping[str, Patterns]] = {
    "nsqd IDENTIFY": ("states: IDENTIFY*", "identify: negotiation"),
    "nsqd AUTH": ("states: AUTH in *",),
    "nsqd SUB": ("states: SUB in *", "commands: 'SUB*", "commands: parameters too many for SUB"),
    "nsqd RDY": ("states: RDY*", "delivery: RDY *", "commands: RDY without a number means one"),
    "nsqd FIN": ("states: FIN*", "delivery: FIN*", "commands: b'FIN' *"),
    "nsqd REQ": ("states: REQ*", "delivery: REQ*", "commands: b'REQ*"),
    "nsqd TOUCH": ("states: TOUCH*", "delivery: TOUCH*", "commands: b'TOUCH' *"),
    "nsqd CLS": ("states: CLS*", "states: RDY after CLS changes nothing"),
    "nsqd NOP": ("states: NOP in *",),
    "nsqd PUB": ("states: PUB in *", "publish: PUB *", "publish: a PUB *"),
    "nsqd MPUB": ("states: MPUB in *", "publish: MPUB *", "publish: an MPUB *"),
    "nsqd DPUB": ("states: DPUB in *", "publish: DPUB *", "publish: a DPUB *"),
    "nsqd: the magic, and what answers any other four bytes": ("commands: the magic *",),
    "nsqd: frames of size, type and data": (
        "publish: a PUB of every byte arrives",
        "commands: input that ends after *",
    ),
    "nsqd: a message: timestamp, attempts, id, body": ("publish: a PUB arrives", "delivery: REQ again and again"),
    "nsqd: lines: newline, carriage return, spaces, superfluous parameters": (
        "commands: *carriage return*",
        "commands: *space*",
        "commands: parameters too many *",
    ),
    "nsqd: lines of at most 16384 bytes": ("commands: a line *",),
    "nsqd: numbers": ("commands: RDY *", "commands: DPUB deferred by *", "commands: REQ deferred by *"),
    "nsqd: topic and channel names": ("commands: a topic named *", "commands: a channel named *"),
    "nsqd: unknown commands": ("commands: the unknown command *",),
    "nsqd: which command is legal in which state": ("states: * in *", "states: * of no number in *"),
    "nsqd: commands in pieces, and many at once": (
        "commands: every byte alone",
        "commands: many commands at once",
        "commands: SUB, RDY and PUB at once",
        "commands: * in pieces",
    ),
    "nsqd: replies come in the order of the commands": ("commands: replies come in order",),
    "nsqd: errors that are fatal, and those that are not": (
        "commands: commands behind a fatal one are not carried out",
        "commands: * of what is not in flight",
    ),
    "nsqd E_BAD_PROTOCOL": ("commands: the magic *",),
    "nsqd E_INVALID": ("commands: the unknown command *", "states: nothing known in *"),
    "nsqd E_BAD_BODY": ("identify: the size *", "publish: MPUB of * bytes"),
    "nsqd E_BAD_TOPIC": ("commands: a topic named *", "commands: *'PUB ' has an empty topic"),
    "nsqd E_BAD_CHANNEL": ("commands: a channel named *",),
    "nsqd E_BAD_MESSAGE": ("publish: PUB of * bytes", "publish: MPUB with a message of * bytes"),
    "nsqd E_SUB_FAILED": ("states: a channel has enough clients",),
    "nsqd E_AUTH_DISABLED": ("states: AUTH in Init*",),
    "nsqd E_FIN_FAILED": ("commands: b'FIN' of what is not in flight", "delivery: FIN twice"),
    "nsqd E_REQ_FAILED": ("commands: b'REQ' of what is not in flight", "delivery: REQ twice"),
    "nsqd E_TOUCH_FAILED": ("commands: b'TOUCH' of what is not in flight", "delivery: TOUCH after *"),
}

IDENTIFY: Final[Mapping[str, Patterns]] = {
    "nsqd IDENTIFY client_id": ("stats: a subscriber with a name, *", "stats: features in a client"),
    "nsqd IDENTIFY hostname": ("stats: a subscriber with a name, *",),
    "nsqd IDENTIFY user_agent": ("stats: a subscriber with a name, *", "stats: features in a client"),
    "nsqd IDENTIFY feature_negotiation": ("identify: negotiation", "identify: without negotiation the answer is OK"),
    "nsqd IDENTIFY heartbeat_interval": ("identify: *heartbeat_interval *",),
    "nsqd IDENTIFY output_buffer_timeout": ("identify: *output_buffer_timeout *",),
    "nsqd IDENTIFY output_buffer_size": ("identify: *output_buffer_size *",),
    "nsqd IDENTIFY sample_rate": ("identify: sample_rate *",),
    "nsqd IDENTIFY msg_timeout": ("identify: *msg_timeout *", "delivery: a timeout"),
    "nsqd IDENTIFY tls_v1": ("identify: TLS is not to be had",),
    "nsqd IDENTIFY topology_zone": ("identify: a topology_zone that is no text",),
    **{
        f"nsqd IDENTIFY answers {name}": ("identify: negotiation", "identify: small limits: the limits in the answer")
        for name in (
            *("max_rdy_count", "version", "max_msg_timeout", "msg_timeout", "deflate_level", "max_deflate_level"),
            *("sample_rate", "output_buffer_size", "output_buffer_timeout"),
        )
    },
    **{f"nsqd IDENTIFY answers topology_{name}": ("identify: all of the answer",) for name in ("region", "zone")},
    "nsqd: IDENTIFY: sizes of its body": ("identify: *size*", "identify: *body*limit", "identify: a body that ends *"),
    "nsqd: IDENTIFY: JSON as Go reads it": ("identify: the body *",),
    "nsqd: IDENTIFY: the first value out of bounds is the one refused": ("identify: the body *output_buffer_*",),
    "nsqd: IDENTIFY: a second one": ("identify: twice*",),
    "nsqd: IDENTIFY: without feature_negotiation the answer is OK": ("identify: without negotiation *",),
}

DELIVERY: Final[Mapping[str, Patterns]] = {
    "nsqd: RDY is a ceiling on what is in flight": ("delivery: RDY *",),
    "nsqd: what is published before RDY comes after it": ("delivery: nothing without RDY", "delivery: RDY again *"),
    "nsqd: every channel gets every message": (
        "delivery: each channel gets each message",
        "delivery: FIN on one channel leaves the other",
        "delivery: a second channel gets what comes later",
    ),
    "nsqd: consumers share a channel": ("delivery: two clients share a channel", "delivery: REQ 0 goes to *"),
    "nsqd: order of messages": ("delivery: a message of its own to each *", "publish: an MPUB arrives in order"),
    "nsqd: attempts": ("delivery: REQ again and again", "delivery: the daemon's timeout, three times"),
    "nsqd: sampling": ("stats: sampling, *",),
    "nsqd: a message that is not answered in time is delivered again": (
        "delivery: a timeout*",
        "delivery: the daemon's timeout*",
        "delivery: timeouts of many",
    ),
    "nsqd: TOUCH puts off the timeout, up to --max-msg-timeout": (
        "delivery: TOUCH puts off the timeout",
        "delivery: TOUCH does not help forever",
    ),
    "nsqd: REQ delivers again, at once or later": ("delivery: REQ 0 *", "delivery: REQ later *", "delivery: REQ is *"),
    "nsqd: a requeued message waits behind others": ("delivery: REQ puts a message behind the others",),
    "nsqd: FIN, REQ and TOUCH are for the client that holds the message": (
        "delivery: *of another's message",
        "delivery: a FIN of the delivery before",
    ),
    "nsqd: late answers leave the connection open": ("delivery: a late *", "delivery: FIN after REQ"),
    "nsqd: CLS ends deliveries, and answers still count": (
        "states: CLS ends deliveries",
        "states: what was in flight at CLS may be finished",
    ),
    "nsqd: a client that goes leaves what it held": (
        "stats: a subscriber that went with a message",
        "delivery: what a client leaves unread goes on",
    ),
    "nsqd: heartbeats, and the end for a client that is silent": (
        "identify: heartbeats *",
        "identify: a heartbeat, and the end for who is silent",
        "identify: an answered heartbeat",
        "identify: * with heartbeats disabled",
    ),
    "nsqd: when messages leave nsqd": ("delivery: unbuffered", "delivery: a timed flush", "delivery: no timed flush*"),
    "nsqd: deferred messages": ("delivery: DPUB*", "http: pub deferred*"),
}

NSQD_HTTP: Final[Mapping[str, Patterns]] = {
    "nsqd GET /ping": ("http: ping*", "http: * /ping"),
    "nsqd GET /info": ("http: info", "http: all of the info", "http: small limits: info"),
    "nsqd POST /pub": ("http: pub*",),
    "nsqd POST /mpub": ("http: mpub*", "http: binary mpub*"),
    "nsqd GET /stats": ("stats: *, as JSON", "stats: *, as text"),
    **{f"nsqd POST /topic/{name}": (f"topics: topic/{name}*",) for name in ("create", "delete", "empty")},
    **{f"nsqd POST /channel/{name}": (f"topics: channel/{name}*",) for name in ("create", "delete")},
    "nsqd POST /channel/empty": ("topics: channel/empty*", "delivery: an emptied channel*"),
    "nsqd POST /topic/pause": ("topics: topic/pause*", "delivery: a paused topic moves nothing"),
    "nsqd POST /topic/unpause": ("topics: topic/unpause*", "topics: topic/pause and unpause"),
    "nsqd POST /channel/pause": ("topics: channel/pause*", "delivery: a paused channel delivers nothing"),
    "nsqd POST /channel/unpause": ("topics: channel/unpause*", "topics: channel/pause and unpause"),
    "nsqd GET /config/:opt": ("config: config/*", "http: small limits: config/*"),
    "nsqd PUT /config/:opt": ("config: PUT *",),
    "nsqd POST /pub ?topic": ("http: pub to *", "http: pub with the query *"),
    "nsqd POST /pub ?defer": ("http: pub deferred*", "http: small limits: a deferral above the limit"),
    "nsqd POST /mpub ?topic": ("http: mpub to *", "http: mpub with the query *"),
    "nsqd POST /mpub ?binary": ("http: mpub that is binary=*", "http: mpub of lines that are binary=*"),
    "nsqd GET /stats ?format": ("stats: format=*",),
    "nsqd GET /stats ?topic": ("stats: the filter *topic=*",),
    "nsqd GET /stats ?channel": ("stats: the filter *channel=*",),
    "nsqd GET /stats ?include_clients": ("stats: include_clients=*",),
    "nsqd GET /stats ?include_mem": ("stats: include_mem=*",),
    "nsqd POST /topic/... ?topic": (
        "topics: topic/* of an * name",
        "topics: topic/* of nothing",
        "topics: topic/* with a bad query",
    ),
    "nsqd POST /channel/... ?topic": ("topics: channel/* with the query *", "topics: channel/* of an unknown topic"),
    "nsqd POST /channel/... ?channel": ("topics: channel/* with the query *", "topics: channel/create of '*"),
    "nsqd: HTTP: unknown paths, wrong methods, OPTIONS": (
        "http: GET of the unknown *",
        "http: POST to the unknown *",
        "http: OPTIONS /*",
        "http: DELETE /*",
        "http: an unknown method",
    ),
    "nsqd: HTTP: a path that is nearly right redirects": ("http: GET of /*", "http: POST to /*"),
    "nsqd: HTTP: malformed queries": ("http: *pub with the query *", "topics: *with a bad query"),
    "nsqd: HTTP: headers of answers": ("http: ping", "http: info", "http: an Accept header*"),
    "nsqd: HTTP: malformed requests": (
        "http: no Host",
        "http: no HTTP at all",
        "http: a request line of one word",
        "http: an unknown version",
        "http: a length that is no number",
        "http: a header without a colon",
    ),
    "nsqd: HTTP: bodies beyond the limits": ("http: small limits: *pub above *",),
    "nsqd: HTTP: chunked bodies, pipelined requests, HTTP/1.0": (
        "http: a chunked body",
        "http: two requests on one connection",
        "http: a request of HTTP/1.0",
    ),
    "nsqd: HTTP: Expect: 100-continue": ("http: expecting to continue",),
    "nsqd: HTTP: a topic that a refused publish leaves": (
        "http: pub with a bad deferral leaves its topic",
        "http: pub of nothing leaves no topic",
    ),
    "nsqd: HTTP: /config shows every option by its key": ("config: config/*",),
    "nsqd: HTTP: /config changes log_level and nsqlookupd_tcp_addresses": ("config: PUT *",),
    "nsqd: /stats as text, to its widths": ("stats: *, as text", "stats: long names"),
}

TOPIC_KEYS: Final = (
    *("topic.topic_name", "topic.channels", "topic.depth", "topic.backend_depth", "topic.message_count"),
    *("topic.message_bytes", "topic.paused", "topic.e2e_processing_latency"),
)
CHANNEL_KEYS: Final = (
    *("channel_name", "depth", "backend_depth", "in_flight_count", "deferred_count", "message_count"),
    *("requeue_count", "timeout_count", "client_count", "clients", "paused", "e2e_processing_latency"),
)
CLIENT_KEYS: Final = (
    *("client_id", "hostname", "version", "remote_address", "state", "ready_count", "in_flight_count"),
    *("message_count", "finish_count", "requeue_count", "connect_ts", "sample_rate", "deflate", "snappy"),
    *("user_agent", "tls", "tls_cipher_suite", "tls_version", "tls_negotiated_protocol"),
    "tls_negotiated_protocol_is_mutual",
)
STATS: Final[Mapping[str, Patterns]] = {
    **{
        f"nsqd /stats {key}": ("stats: nothing, as JSON", "stats: memory, as JSON")
        for key in ("version", "health", "start_time", "topics", "memory", "producers")
    },
    **{f"nsqd /stats {key}": ("stats: a* topic*, as JSON", "stats: *on disk") for key in TOPIC_KEYS},
    **{f"nsqd /stats channel.{key}": ("stats: a* channel*, as JSON", "stats: *on disk") for key in CHANNEL_KEYS},
    **{
        f"nsqd /stats latency.{key}": ("stats: latency *, as JSON",)
        for key in ("count", "percentiles", "quantile", "value")
    },
    **{
        f"nsqd /stats client.{key}": ("stats: *subscriber*, as JSON", "stats: sampling, as JSON") for key in CLIENT_KEYS
    },
    **{
        f"nsqd /stats {key}": ("stats: a publisher*",)
        for key in ("client.pub_counts", "pub_count.topic", "pub_count.count")
    },
    **{f"nsqd /stats client.topology_{name}": ("stats: all of a client",) for name in ("zone", "region")},
}

NSQD: Final[Mapping[str, Patterns]] = {
    "nsqd --e2e-processing-latency-percentile": ("stats: latency *",),
    "nsqd --lookupd-tcp-address": ("cluster: a topic is announced",),
    "nsqd --max-body-size": ("publish: a batch *its limit", "http: small limits: mpub *", "identify: *a body * limit"),
    "nsqd --max-bytes-per-file": ("config: config/max_bytes_per_file",),
    "nsqd --max-channel-consumers": ("states: a channel has enough clients", "states: another channel has room"),
    "nsqd --max-heartbeat-interval": ("identify: small limits: heartbeat_interval *",),
    "nsqd --max-msg-size": ("publish: a message *its limit", "http: small limits: pub *"),
    "nsqd --max-msg-timeout": ("identify: small limits: msg_timeout *", "delivery: TOUCH does not help forever"),
    "nsqd --max-output-buffer-size": ("identify: small limits: output_buffer_size *",),
    "nsqd --max-output-buffer-timeout": ("identify: small limits: output_buffer_timeout 100*",),
    "nsqd --max-rdy-count": ("commands: RDY at its limit", "commands: RDY above its limit"),
    "nsqd --max-req-timeout": ("commands: DPUB * its limit", "delivery: REQ is clamped"),
    "nsqd --mem-queue-size": ("stats: *into memory", "stats: *on disk"),
    "nsqd --min-output-buffer-timeout": (
        "identify: small limits: output_buffer_timeout 99",
        "identify: small limits: output_buffer_timeout 100",
    ),
    "nsqd --msg-timeout": ("delivery: the daemon's timeout*",),
    "nsqd --output-buffer-timeout": ("http: small limits: config/output_buffer_timeout",),
    "nsqd: topics and channels are created when they are named": ("publish: a PUB arrives", "topics: channel/create *"),
    "nsqd: a refused publish, and the topic that it names": (
        "publish: * leaves no topic",
        "publish: an MPUB without *",
    ),
    "nsqd: messages wait for the first channel": (
        "publish: messages wait for *",
        "topics: channel/create has what waited",
    ),
    "nsqd: a batch is published whole or not at all": ("publish: a batch with a mistake queues nothing",),
    "nsqd: deleting disconnects consumers, and frees the name": (
        "states: deleting *",
        "delivery: a deleted *",
        "topics: topic/delete and publish again",
    ),
    "nsqd: emptying forgets what waits, is in flight and is deferred": (
        "delivery: an emptied *",
        "topics: topic/empty *",
    ),
    "nsqd: pausing a topic or a channel, over a restart too": (
        "delivery: *paused*",
        "delivery: what is in flight may be finished while paused",
    ),
    "nsqd: ephemeral topics and channels": ("delivery: *ephemeral*",),
    "nsqd: --max-channel-consumers": ("states: a channel has enough clients", "states: who leaves makes room"),
    "nsqd: depth, and the part of it beyond --mem-queue-size": ("stats: *on disk", "stats: *into memory"),
    "nsqd: nsqlookupd: topics and channels are announced as they come and go": (
        "cluster: *announced",
        "cluster: *taken back",
        "cluster: a topic that nsqlookupd deleted comes back with a channel",
    ),
    "nsqd: nsqlookupd: channels that it knows are made with a topic": ("cluster: *channels that nsqlookupd knows *",),
    "nsqd: nsqlookupd: the list is changed over HTTP": ("config: PUT of *address*",),
}

LOOKUPD: Final[Mapping[str, Patterns]] = {
    "nsqlookupd PING": ("lookupd: PING*",),
    "nsqlookupd IDENTIFY": ("lookupd: IDENTIFY*",),
    "nsqlookupd REGISTER": ("lookupd: REGISTER *", "lookupd: a registered *", "lookupd: registered twice"),
    "nsqlookupd UNREGISTER": ("lookupd: UNREGISTER *", "lookupd: *unregister*"),
    "nsqlookupd: the magic, and what answers any other four bytes": ("lookupd: the magic *",),
    "nsqlookupd: lines: white space, spaces, superfluous words": ("lookupd: spaces in *",),
    "nsqlookupd: lines that are too long": ("lookupd: the longest line", "lookupd: a line too long"),
    "nsqlookupd: IDENTIFY: sizes of its body": ("lookupd: IDENTIFY whose *", "lookupd: IDENTIFY of no bytes"),
    "nsqlookupd: IDENTIFY: its fields": ("lookupd: IDENTIFY with*",),
    "nsqlookupd: IDENTIFY: its answer": ("lookupd: IDENTIFY",),
    "nsqlookupd: topic and channel names": ("lookupd: *REGISTER of the *",),
    "nsqlookupd: unknown commands, and those before IDENTIFY": (
        "lookupd: the unknown command *",
        "lookupd: * before IDENTIFY",
    ),
    "nsqlookupd: replies come in the order of the commands": ("lookupd: every byte alone", "lookupd: PING often"),
    "nsqlookupd: a registered topic or channel is found": (
        "lookupd: a registered *",
        "lookupd: two *",
        "lookupd: all of a producer",
    ),
    "nsqlookupd: an nsqd that unregisters, or goes": ("lookupd: an unregistered *", "lookupd: a producer that *"),
    "nsqlookupd: ephemeral topics and channels": ("lookupd: *ephemeral *",),
    "nsqlookupd: an nsqd that does not ping": ("lookupd: a silent producer",),
    "nsqlookupd: tombstones": ("lookupd: a tombstone*",),
    "nsqlookupd: * as a topic": (
        "lookupd: the topic [*] *",
        "lookupd: a tombstone on [*]",
        "lookupd: the channel [*] *",
    ),
    "nsqlookupd: original and own daemons in one cluster": ("cluster: *",),
    "nsqlookupd GET /ping": ("lookupd: ping", "lookupd: * /ping"),
    "nsqlookupd GET /info": ("lookupd: info", "cluster: what nsqlookupd says of itself"),
    "nsqlookupd GET /lookup": ("lookupd: /lookup *", "lookupd: a registered *"),
    "nsqlookupd GET /topics": ("lookupd: /topics *",),
    "nsqlookupd GET /channels": ("lookupd: /channels *",),
    "nsqlookupd GET /nodes": ("lookupd: /nodes *",),
    "nsqlookupd GET /debug": ("lookupd: /debug *",),
    "nsqlookupd POST /topic/create": ("lookupd: topic/create *", "lookupd: a topic created over HTTP"),
    "nsqlookupd POST /topic/delete": ("lookupd: topic/delete *", "lookupd: a topic deleted *"),
    "nsqlookupd POST /topic/tombstone": ("lookupd: topic/tombstone *", "lookupd: a tombstone*"),
    "nsqlookupd POST /channel/create": ("lookupd: channel/create *", "lookupd: a channel created over HTTP"),
    "nsqlookupd POST /channel/delete": ("lookupd: channel/delete *", "lookupd: a channel deleted *"),
    "nsqlookupd: HTTP: unknown paths, wrong methods, redirects, malformed queries": (
        "lookupd: GET of /*",
        "lookupd: DELETE /*",
        "lookupd: OPTIONS /*",
        "lookupd: * with a bad query",
    ),
    "nsqlookupd: HTTP: headers of answers": ("lookupd: ping", "lookupd: info"),
    "nsqlookupd --inactive-producer-timeout": ("lookupd: a silent producer",),
    "nsqlookupd --tombstone-lifetime": ("lookupd: a tombstone's end",),
}

TOOLS: Final[Mapping[str, Patterns]] = {
    "program nsq_to_file": ("tools: *nsq_to_file*",),
    "nsq_to_file: a record is the body and a newline": ("tools: our nsq_to_file",),
}

LAYERS: Final[Mapping[str, Patterns]] = {
    "nsqd: nsqlookupd: IDENTIFY, then everything that exists": (
        "announced: all that it says of itself",
        "announced: a * that it has",
    ),
    "nsqd: snappy, then its OK": ("stacks: snappy: *",),
    "nsqd: a second upgrade of a connection": ("stacks: * in a second IDENTIFY",),
    "nsqd: HTTP: HTTPS beside HTTP": ("tls: HTTP on the port of HTTPS",),
}

SHOWS: Final[Mapping[str, Patterns]] = LAYERS | TCP | IDENTIFY | DELIVERY | NSQD_HTTP | STATS | NSQD | LOOKUPD | TOOLS


def matches(pattern: str, name: str) -> bool:
    """Whether a scenario is meant; `[*]` stands for a star."""
    parts = pattern.replace("[*]", "\0").split("*")
    return re.fullmatch(".*".join(re.escape(part) for part in parts).replace("\0", r"\*"), name, re.DOTALL) is not None


def patterns_of(theme: str, name: str) -> Iterator[tuple[str, str]]:
    """The rows that a scenario shows, each with the pattern that says so, without its theme."""
    for row, patterns in SHOWS.items():
        for pattern in patterns:
            pattern_theme, _, wanted = pattern.partition(": ")
            if pattern_theme == theme and matches(wanted, name):
                yield row, wanted


def rows_shown(theme: str, scenario: Scenario) -> list[pytest.MarkDecorator]:
    """The rows that a scenario shows, as marks of its test."""
    return [
        pytest.mark.shows(row, better=scenario.reason, at=f"tests/system/peer/scenarios_{theme}.py::{pattern}")
        for row, pattern in patterns_of(theme, scenario.name)
    ]
