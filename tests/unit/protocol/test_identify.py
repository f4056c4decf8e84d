"""IDENTIFY: what is asked for, what is granted, and what is refused in which words."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.errors import BadBody, CommandError, IdentifyFailed
from millstream.protocol.identify import (
    BadIdentifyReply,
    IdentifyRequest,
    Negotiated,
    NegotiatedReply,
    ServerFeatures,
    encode_request,
    negotiate,
    parse_request,
    parse_response,
)

ALL = ServerFeatures(tls=True, deflate=True, snappy=True)

texts = st.text(max_size=10)
integers = st.integers(-(2**63), 2**63 - 1)
requests = st.builds(
    IdentifyRequest,
    client_id=texts,
    hostname=texts,
    user_agent=texts,
    feature_negotiation=st.booleans(),
    heartbeat_interval_ms=integers,
    output_buffer_timeout_ms=integers,
    output_buffer_bytes=integers,
    sample_rate=st.integers(-(2**31), 2**31 - 1),
    msg_timeout_ms=integers,
    tls_v1=st.booleans(),
    snappy=st.booleans(),
    deflate=st.booleans(),
    deflate_level=integers,
    topology_region=texts,
    topology_zone=texts,
)
plausible = st.builds(
    IdentifyRequest,
    feature_negotiation=st.booleans(),
    heartbeat_interval_ms=st.sampled_from([-1, 0, 1000, 60_000]),
    output_buffer_timeout_ms=st.sampled_from([-1, 0, 25, 30_000]),
    output_buffer_bytes=st.sampled_from([-1, 0, 64, 65_536]),
    sample_rate=st.integers(0, 99),
    msg_timeout_ms=st.sampled_from([0, 1000, 900_000]),
    tls_v1=st.booleans(),
    deflate=st.booleans(),
    deflate_level=st.integers(-2, 12),
)


@given(requests)
def test_an_encoded_request_is_parsed_to_the_same(request: IdentifyRequest) -> None:
    assert parse_request(encode_request(request)) == request


@given(plausible)
def test_an_encoded_reply_tells_the_client_what_holds(request: IdentifyRequest) -> None:
    held = negotiate(request, ALL)
    reply = parse_response(held.encode())

    if request.feature_negotiation:
        shared = NegotiatedReply.__dataclass_fields__.keys() & Negotiated.__dataclass_fields__.keys()
        for name in shared - {"topology_region", "topology_zone"}:
            assert getattr(reply, name) == getattr(held, name)
    else:
        assert reply == NegotiatedReply()


@given(requests)
def test_any_request_is_granted_or_refused_with_an_error_of_nsq(request: IdentifyRequest) -> None:
    try:
        held = negotiate(request, ALL)
    except (BadBody, IdentifyFailed):
        return
    assert held.client_id == request.client_id


@given(st.binary(max_size=60))
def test_any_bytes_are_a_request_or_a_bad_body(body: bytes) -> None:
    try:
        request = parse_request(body)
    except BadBody:
        return
    assert parse_request(encode_request(request)) == request


def test_keys_are_found_in_any_case_and_unknown_ones_ignored() -> None:
    body = (
        b'{"CLIENT_ID":"a","Heartbeat_Interval":1000,"output_buffer_size":64,"short_id":{"x":[1]},"msg_timeout_ms":7}'
    )

    assert parse_request(body) == IdentifyRequest(client_id="a", heartbeat_interval_ms=1000, output_buffer_bytes=64)


def test_null_leaves_what_was_there() -> None:
    assert parse_request(b"null") == IdentifyRequest()
    assert parse_request(b'{"sample_rate":5,"sample_rate":null,"tls_v1":null}') == IdentifyRequest(sample_rate=5)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}x",
        b'{"msg_timeout":1000.0}',
        b'{"msg_timeout":1e3}',
        b'{"msg_timeout":9223372036854775808}',
        b'{"sample_rate":2147483648}',
        b'{"tls_v1":1}',
        b'{"client_id":5}',
        b'{"client_id":5,"client_id":"x"}',
        b'{"x":' + b"[" * 50_000,
    ],
)
def test_what_does_not_fit_the_fields_is_a_bad_body(body: bytes) -> None:
    with pytest.raises(BadBody) as caught:
        parse_request(body)

    assert caught.value.encode() == b"E_BAD_BODY IDENTIFY failed to decode JSON body"


def test_who_asks_for_nothing_gets_the_defaults() -> None:
    held = negotiate(IdentifyRequest(), ServerFeatures(msg_timeout_ms=5000, output_buffer_timeout_ms=100))

    assert (held.heartbeat_interval_ms, held.output_buffer_bytes, held.sample_rate) == (30_000, 16_384, 0)
    assert (held.msg_timeout_ms, held.output_buffer_timeout_ms) == (5000, 100)
    assert held.encode() == b"OK"


def test_without_feature_negotiation_numbers_hold_and_features_do_not() -> None:
    request = IdentifyRequest(msg_timeout_ms=1000, tls_v1=True, deflate=True, snappy=True, deflate_level=1)

    held = negotiate(request, ALL)

    assert held.msg_timeout_ms == 1000
    assert (held.tls_v1, held.deflate, held.snappy) == (False, False, False)
    assert held.encode() == b"OK"


def test_the_reply_has_the_fields_of_nsq_in_their_order() -> None:
    features = ServerFeatures(auth_required=True, topology_region="<eu>", topology_zone="a&b")
    request = IdentifyRequest(feature_negotiation=True, sample_rate=7, topology_region="mine")

    assert negotiate(request, features).encode() == (
        b'{"max_rdy_count":2500,"version":"1.3.0","max_msg_timeout":900000,"msg_timeout":60000,"tls_v1":false,'
        b'"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":7,"auth_required":true,'
        b'"output_buffer_size":16384,"output_buffer_timeout":250,"topology_region":"\\u003ceu\\u003e",'
        b'"topology_zone":"a\\u0026b"}'
    )


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (IdentifyRequest(heartbeat_interval_ms=100), "heartbeat interval (100)"),
        (IdentifyRequest(heartbeat_interval_ms=-2), "heartbeat interval (-2)"),
        (IdentifyRequest(heartbeat_interval_ms=60_001), "heartbeat interval (60001)"),
        (IdentifyRequest(output_buffer_timeout_ms=24), "output buffer timeout (24)"),
        (IdentifyRequest(output_buffer_timeout_ms=30_001), "output buffer timeout (30001)"),
        (IdentifyRequest(output_buffer_bytes=63), "output buffer size (63)"),
        (IdentifyRequest(output_buffer_bytes=65_537), "output buffer size (65537)"),
        (IdentifyRequest(sample_rate=100), "sample rate (100)"),
        (IdentifyRequest(sample_rate=-1), "sample rate (-1)"),
        (IdentifyRequest(msg_timeout_ms=999), "msg timeout (999)"),
        (IdentifyRequest(msg_timeout_ms=-1), "msg timeout (-1)"),
        (IdentifyRequest(msg_timeout_ms=900_001), "msg timeout (900001)"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(request_: IdentifyRequest, text: str) -> None:
    with pytest.raises(BadBody) as caught:
        negotiate(request_, ALL)

    assert caught.value.encode() == f"E_BAD_BODY IDENTIFY {text} is invalid".encode()


def test_the_first_value_in_the_order_of_nsq_is_the_one_refused() -> None:
    request = IdentifyRequest(
        feature_negotiation=True,
        heartbeat_interval_ms=1,
        output_buffer_timeout_ms=1,
        output_buffer_bytes=1,
        sample_rate=100,
        msg_timeout_ms=1,
        deflate=True,
        snappy=True,
    )
    repairs: list[Callable[[IdentifyRequest], IdentifyRequest]] = [
        lambda asked: replace(asked, heartbeat_interval_ms=0),
        lambda asked: replace(asked, output_buffer_timeout_ms=0),
        lambda asked: replace(asked, output_buffer_bytes=0),
        lambda asked: replace(asked, sample_rate=0),
        lambda asked: replace(asked, msg_timeout_ms=0),
        lambda asked: replace(asked, snappy=False),
    ]
    refused = []
    for repair in repairs:
        with pytest.raises(CommandError) as caught:
            negotiate(request, ALL)
        refused.append(str(caught.value).removeprefix("E_BAD_BODY IDENTIFY ").split(" (")[0])
        request = repair(request)

    assert refused == [
        "heartbeat interval",
        "output buffer timeout",
        "output buffer size",
        "sample rate",
        "msg timeout",
        "E_IDENTIFY_FAILED cannot enable both deflate and snappy compression",
    ]
    assert negotiate(request, ALL).deflate


def test_minus_one_turns_a_thing_off() -> None:
    assert negotiate(IdentifyRequest(heartbeat_interval_ms=-1), ALL).heartbeat_interval_ms == 0
    assert negotiate(IdentifyRequest(output_buffer_timeout_ms=-1), ALL).output_buffer_timeout_ms == 0

    unbuffered = negotiate(IdentifyRequest(output_buffer_bytes=-1, output_buffer_timeout_ms=300), ALL)
    assert (unbuffered.output_buffer_bytes, unbuffered.output_buffer_timeout_ms) == (1, 0)


def test_a_feature_needs_both_sides() -> None:
    request = IdentifyRequest(feature_negotiation=True, tls_v1=True, snappy=True, deflate=True)

    for features, granted in [
        (ServerFeatures(), (False, False, False)),
        (ServerFeatures(tls=True, snappy=True), (True, True, False)),
        (ServerFeatures(deflate=True), (False, False, True)),
    ]:
        held = negotiate(request, features)
        assert (held.tls_v1, held.snappy, held.deflate) == granted


def test_two_compressions_at_once_are_refused() -> None:
    with pytest.raises(IdentifyFailed) as caught:
        negotiate(IdentifyRequest(feature_negotiation=True, snappy=True, deflate=True), ALL)

    assert caught.value.encode() == b"E_IDENTIFY_FAILED cannot enable both deflate and snappy compression"


@pytest.mark.parametrize(
    ("wanted", "limit", "level"), [(0, 6, 6), (-3, 6, 6), (2, 6, 2), (9, 6, 6), (9, 9, 9), (0, 3, 3)]
)
def test_the_deflate_level_is_capped_and_never_refused(wanted: int, limit: int, level: int) -> None:
    request = IdentifyRequest(feature_negotiation=True, deflate=True, deflate_level=wanted)

    assert negotiate(request, replace(ALL, max_deflate_level=limit)).deflate_level == level


def test_a_level_without_deflate_is_the_default() -> None:
    request = IdentifyRequest(feature_negotiation=True, snappy=True, deflate_level=2)

    assert negotiate(request, ALL).deflate_level == 6


def test_a_second_identify_keeps_what_it_does_not_name() -> None:
    first = negotiate(
        IdentifyRequest(
            client_id="a", heartbeat_interval_ms=-1, msg_timeout_ms=2000, output_buffer_bytes=64, sample_rate=9
        ),
        ALL,
    )

    second = negotiate(IdentifyRequest(client_id="b"), ALL, first)

    assert (second.heartbeat_interval_ms, second.msg_timeout_ms, second.output_buffer_bytes) == (0, 2000, 64)
    assert (second.client_id, second.sample_rate) == ("b", 0)


def test_a_connection_without_identify_has_the_servers_defaults() -> None:
    held = Negotiated.before_identify(ServerFeatures(msg_timeout_ms=7000))

    assert (held.heartbeat_interval_ms, held.output_buffer_bytes) == (30_000, 16_384)
    assert (held.msg_timeout_ms, held.output_buffer_timeout_ms) == (7000, 250)


def test_a_plain_ok_is_a_reply_too() -> None:
    assert parse_response(b"OK") == NegotiatedReply()


def test_a_reply_of_another_server_is_read_as_far_as_it_goes() -> None:
    body = (
        b'{"max_rdy_count":"x","msg_timeout":-5,"tls_v1":1,"version":"9","new":{},"snappy":true,"deflate_level":null}'
    )

    assert parse_response(body) == NegotiatedReply(version="9", snappy=True)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_reply_or_a_documented_error(body: bytes) -> None:
    try:
        parse_response(body)
    except BadIdentifyReply:
        pass
