"""IDENTIFY: what a client asks for, what the server has, and what both agree on.

The body of the command comes from `protocol.server`, and goes through `parse_request` and `negotiate` to the reply. The
client goes the other way: `encode_request`, and `parse_response` for what comes back.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from millstream.base.errors import MillstreamError
from millstream.base.version import NSQ_VERSION
from millstream.protocol import go_json
from millstream.protocol.errors import BadBody, IdentifyFailed

HEARTBEAT_INTERVAL_MS_DEFAULT: Final = 30_000
HEARTBEAT_INTERVAL_MS_MIN: Final = 1_000
MSG_TIMEOUT_MS_MIN: Final = 1_000
OUTPUT_BUFFER_BYTES_DEFAULT: Final = 16_384
OUTPUT_BUFFER_BYTES_MIN: Final = 64
SAMPLE_RATE_MAX: Final = 99
DEFLATE_LEVEL_DEFAULT: Final = 6

# What the JSON names otherwise than we do: units are part of our names.
_KEYS: Final = {
    "heartbeat_interval_ms": "heartbeat_interval",
    "output_buffer_timeout_ms": "output_buffer_timeout",
    "output_buffer_bytes": "output_buffer_size",
    "msg_timeout_ms": "msg_timeout",
    "max_msg_timeout_ms": "max_msg_timeout",
}
# Go's `int` has 64 bits; this one field is an int32 there.
_BITS: Final = {"sample_rate": 32}


class BadIdentifyReply(MillstreamError):
    """The server's answer to IDENTIFY is neither OK nor a JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyRequest:
    """What a client says of itself and asks for. Zero, or an empty text, asks for nothing; -1 turns the thing off."""

    client_id: str = ""
    hostname: str = ""
    user_agent: str = ""
    feature_negotiation: bool = False
    heartbeat_interval_ms: int = 0
    output_buffer_timeout_ms: int = 0
    output_buffer_bytes: int = 0
    sample_rate: int = 0
    msg_timeout_ms: int = 0
    tls_v1: bool = False
    snappy: bool = False
    deflate: bool = False
    deflate_level: int = 0
    topology_region: str = ""
    topology_zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFeatures:
    """The limits and switches of a server, as far as IDENTIFY is concerned."""

    max_rdy_count: int = 2_500
    version: str = NSQ_VERSION
    max_msg_timeout_ms: int = 900_000
    msg_timeout_ms: int = 60_000
    tls: bool = False
    deflate: bool = False
    max_deflate_level: int = 6
    snappy: bool = False
    auth_required: bool = False
    max_body_bytes: int = 5_242_880
    max_heartbeat_interval_ms: int = 60_000
    min_output_buffer_timeout_ms: int = 25
    max_output_buffer_timeout_ms: int = 30_000
    max_output_buffer_bytes: int = 65_536
    output_buffer_timeout_ms: int = 250
    topology_region: str = ""
    topology_zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """What holds for one connection of a server with `features`: every effective value, and the reply that says so.

    `heartbeat_interval_ms` 0 means no heartbeats, `output_buffer_timeout_ms` 0 no timed flush. The topology is the
    client's; the reply names the server's.
    """

    features: ServerFeatures
    client_id: str = ""
    hostname: str = ""
    user_agent: str = ""
    feature_negotiation: bool = False
    heartbeat_interval_ms: int = HEARTBEAT_INTERVAL_MS_DEFAULT
    output_buffer_timeout_ms: int
    output_buffer_bytes: int = OUTPUT_BUFFER_BYTES_DEFAULT
    sample_rate: int = 0
    msg_timeout_ms: int
    tls_v1: bool = False
    snappy: bool = False
    deflate: bool = False
    deflate_level: int = DEFLATE_LEVEL_DEFAULT
    topology_region: str = ""
    topology_zone: str = ""

    @classmethod
    def before_identify(cls, features: ServerFeatures) -> "Negotiated":
        """What holds for a connection that never sent IDENTIFY."""
        return cls(
            features=features,
            output_buffer_timeout_ms=features.output_buffer_timeout_ms,
            msg_timeout_ms=features.msg_timeout_ms,
        )

    def encode(self) -> bytes:
        """The data of the response frame: JSON for a client that negotiates, else OK."""
        if not self.feature_negotiation:
            return b"OK"
        reply: dict[str, str | int | bool] = {
            "max_rdy_count": self.features.max_rdy_count,
            "version": self.features.version,
            "max_msg_timeout": self.features.max_msg_timeout_ms,
            "msg_timeout": self.msg_timeout_ms,
            "tls_v1": self.tls_v1,
            "deflate": self.deflate,
            "deflate_level": self.deflate_level,
            "max_deflate_level": self.features.max_deflate_level,
            "snappy": self.snappy,
            "sample_rate": self.sample_rate,
            "auth_required": self.features.auth_required,
            "output_buffer_size": self.output_buffer_bytes,
            "output_buffer_timeout": self.output_buffer_timeout_ms,
            "topology_region": self.features.topology_region,
            "topology_zone": self.features.topology_zone,
        }
        return go_json.encode(reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiatedReply:
    """What the server answered, as the client sees it. The defaults hold for a plain OK."""

    max_rdy_count: int = 2_500
    version: str = ""
    max_msg_timeout_ms: int = 900_000
    msg_timeout_ms: int = 60_000
    tls_v1: bool = False
    deflate: bool = False
    deflate_level: int = DEFLATE_LEVEL_DEFAULT
    max_deflate_level: int = 6
    snappy: bool = False
    sample_rate: int = 0
    auth_required: bool = False
    output_buffer_bytes: int = OUTPUT_BUFFER_BYTES_DEFAULT
    output_buffer_timeout_ms: int = 250
    topology_region: str = ""
    topology_zone: str = ""


# Key in the JSON -> our name of the field, and its type.
_REQUEST_FIELDS: Final = {
    _KEYS.get(field.name, field.name): (field.name, type(field.default)) for field in fields(IdentifyRequest)
}
_REPLY_FIELDS: Final = {
    _KEYS.get(field.name, field.name): (field.name, type(field.default)) for field in fields(NegotiatedReply)
}


def parse_request(body: bytes) -> IdentifyRequest:
    """Read the body of IDENTIFY; BadBody when Go would not decode it into the request's fields."""
    values: dict[str, Any] = {}
    try:
        for key, value in go_json.members(body):
            name, wanted = _REQUEST_FIELDS.get(go_json.folded(key), ("", str))
            if name and value is not None:
                values[name] = go_json.typed(value, wanted, _BITS.get(name, 64))
    except go_json.NotDecodable as error:
        raise BadBody("IDENTIFY failed to decode JSON body") from error
    return IdentifyRequest(**values)


def negotiate(request: IdentifyRequest, features: ServerFeatures, previous: Negotiated | None = None) -> Negotiated:
    """What holds after `request`; `previous` is what held before, when the client sends IDENTIFY again.

    BadBody names the first value out of bounds, IdentifyFailed refuses two compressions at once. Nothing is clamped but
    the deflate level.
    """
    held = previous or Negotiated.before_identify(features)
    heartbeat_interval_ms = _negotiated_heartbeat(request, features, held)
    output_buffer_bytes, output_buffer_timeout_ms = _negotiated_output_buffer(request, features, held)
    if not 0 <= request.sample_rate <= SAMPLE_RATE_MAX:
        raise BadBody(f"IDENTIFY sample rate ({request.sample_rate}) is invalid")
    msg_timeout_ms = request.msg_timeout_ms or held.msg_timeout_ms
    if request.msg_timeout_ms and not MSG_TIMEOUT_MS_MIN <= msg_timeout_ms <= features.max_msg_timeout_ms:
        raise BadBody(f"IDENTIFY msg timeout ({msg_timeout_ms}) is invalid")

    deflate = request.feature_negotiation and request.deflate and features.deflate
    snappy = request.feature_negotiation and request.snappy and features.snappy
    if deflate and snappy:
        raise IdentifyFailed("cannot enable both deflate and snappy compression")
    level = request.deflate_level if deflate and request.deflate_level > 0 else DEFLATE_LEVEL_DEFAULT
    return replace(
        held,
        features=features,
        client_id=request.client_id,
        hostname=request.hostname,
        user_agent=request.user_agent,
        feature_negotiation=request.feature_negotiation,
        heartbeat_interval_ms=heartbeat_interval_ms,
        output_buffer_timeout_ms=output_buffer_timeout_ms,
        output_buffer_bytes=output_buffer_bytes,
        sample_rate=request.sample_rate,
        msg_timeout_ms=msg_timeout_ms,
        tls_v1=request.feature_negotiation and request.tls_v1 and features.tls,
        snappy=snappy,
        deflate=deflate,
        deflate_level=min(level, features.max_deflate_level),
        topology_region=request.topology_region,
        topology_zone=request.topology_zone,
    )


def encode_request(request: IdentifyRequest) -> bytes:
    """The body of IDENTIFY that asks for `request`."""
    return go_json.encode({key: getattr(request, name) for key, (name, _) in _REQUEST_FIELDS.items()})


def parse_response(body: bytes) -> NegotiatedReply:
    """Read the answer to IDENTIFY: OK, or JSON of any server of NSQ's family.

    A key that is missing, of the wrong type or negative counts as not given; BadIdentifyReply when there is no object.
    """
    if body.strip() == b"OK":
        return NegotiatedReply()
    values: dict[str, Any] = {}
    try:
        for key, value in go_json.members(body):
            name, wanted = _REPLY_FIELDS.get(go_json.folded(key), ("", str))
            try:
                known = go_json.typed(value, wanted)
            except go_json.NotDecodable:
                continue
            if name and (isinstance(known, str) or known >= 0):
                values[name] = known
    except go_json.NotDecodable as error:
        raise BadIdentifyReply("the answer to IDENTIFY is neither OK nor a JSON object") from error
    return NegotiatedReply(**values)


def _negotiated_heartbeat(request: IdentifyRequest, features: ServerFeatures, held: Negotiated) -> int:
    wanted_ms = request.heartbeat_interval_ms
    if wanted_ms == 0:
        return held.heartbeat_interval_ms
    if wanted_ms == -1:
        return 0
    if not HEARTBEAT_INTERVAL_MS_MIN <= wanted_ms <= features.max_heartbeat_interval_ms:
        raise BadBody(f"IDENTIFY heartbeat interval ({wanted_ms}) is invalid")
    return wanted_ms


def _negotiated_output_buffer(request: IdentifyRequest, features: ServerFeatures, held: Negotiated) -> tuple[int, int]:
    """Size in bytes and timeout in ms: together, because an unbuffered connection has no timed flush either."""
    timeout_ms = request.output_buffer_timeout_ms or held.output_buffer_timeout_ms
    if request.output_buffer_timeout_ms == -1:
        timeout_ms = 0
    elif request.output_buffer_timeout_ms and not (
        features.min_output_buffer_timeout_ms <= timeout_ms <= features.max_output_buffer_timeout_ms
    ):
        raise BadBody(f"IDENTIFY output buffer timeout ({timeout_ms}) is invalid")

    wanted_bytes = request.output_buffer_bytes
    if wanted_bytes == 0:
        return held.output_buffer_bytes, timeout_ms
    if wanted_bytes == -1:
        return 1, 0
    if not OUTPUT_BUFFER_BYTES_MIN <= wanted_bytes <= features.max_output_buffer_bytes:
        raise BadBody(f"IDENTIFY output buffer size ({wanted_bytes}) is invalid")
    return wanted_bytes, timeout_ms
