"""Bytes to events and back: what a handler's annotation makes of a message's body, and of the event it returns.

`queuereader.reader` asks for a decoder once, `queuereader.handling` calls it for each message. Structs and dataclasses
are decoded and validated by msgspec straight from the bytes, pydantic models by themselves, all else is a JSON object.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from millstream.base.errors import MillstreamError, UsageError

# What the decoders raise for a body of no use: not JSON, not UTF-8, nested too deep, not of the type.
_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_OBJECTS: Final = (dict, Mapping, Any, object, None)

Decoder = Callable[[bytes], Any]


class Undecodable(MillstreamError):
    """The body is not what this handler reads."""


def decoder_for(annotation: Any) -> Decoder:
    """Return what decodes a body to `annotation`, raising Undecodable; UsageError when nothing can."""
    from_pydantic = getattr(annotation, "model_validate_json", None)
    if from_pydantic is not None:
        return _guarded(from_pydantic)
    wanted = dict if annotation in _OBJECTS else annotation
    try:
        if isinstance(msgspec.inspect.type_info(wanted), msgspec.inspect.CustomType):
            # A plain class: msgspec would take it, and then refuse every message.
            raise UsageError(f"a message cannot be decoded to {annotation!r}: use a msgspec.Struct or a dataclass")
        return _guarded(msgspec.json.Decoder(wanted).decode)
    except TypeError as error:
        raise UsageError(f"a message cannot be decoded to {annotation!r}: {error}") from error


def encode_events(result: object) -> list[bytes]:
    """Encode what a handler returned: one event, or a list or tuple of them. Bytes stay as they are.

    Raises UsageError for what has no JSON form.
    """
    events = result if isinstance(result, list | tuple) else (result,)
    return [_encode(event) for event in events]


def _guarded(decode: Decoder) -> Decoder:
    def decode_or_refuse(body: bytes) -> Any:
        try:
            return decode(body)
        except _UNDECODABLE as error:
            raise Undecodable(str(error)) from error

    return decode_or_refuse


def _encode(event: object) -> bytes:
    if isinstance(event, bytes):
        if not event:
            raise UsageError("a handler returned b'', and an empty message cannot be published")
        return event
    to_json = getattr(event, "model_dump_json", None)
    try:
        return str(to_json()).encode() if to_json is not None else msgspec.json.encode(event)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"a handler returned {type(event).__name__}, which cannot be published: {error}") from error
