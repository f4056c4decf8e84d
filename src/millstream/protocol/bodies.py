"""A message's body inside JSON: as text where it is UTF-8, else in base64 under another key. Both directions.

nsqd shows bodies this way in its answers, and the tools read them back.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from millstream.base.errors import MillstreamError

TEXT: Final = "body"
BASE64: Final = "body_base64"


class NoBody(MillstreamError):
    """The object carries no body in one of the two forms."""


def body_field(body: bytes) -> dict[str, str]:
    """The key and value that carry a body."""
    try:
        return {TEXT: body.decode()}
    except UnicodeDecodeError:
        return {BASE64: base64.b64encode(body).decode()}


def body_of(found: Mapping[str, Any]) -> bytes:
    """The body that such an object carries. Raises `NoBody`."""
    text = found.get(TEXT)
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    encoded = found.get(BASE64)
    if not isinstance(encoded, str):
        raise NoBody(f"the object has neither {TEXT} nor {BASE64}")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoBody(f"{BASE64} is no base64: {error}") from error
