"""What the shortener says: one flat JSON object an event, named after what happened.

Built from a request and a link by `shortener_api`, published to the nsqd beside it.  The field names are those of the
public feed of clicks on shortened .gov links.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from millstream.demo.shortener.links import Link

_GEO_HEADER_CHARACTERS_MAX: Final = 1024
_GEO_TEXTS: Final = ("c", "tz", "gr", "cy")
_HEADER_CHARACTERS_MAX: Final = 1024


def new_event_id() -> str:
    """An id that makes an event recognisable when it is delivered twice."""
    return uuid.uuid4().hex


def click(event_id: str, link: Link, headers: Mapping[str, str], *, short_host: str, now_s: int) -> dict[str, Any]:
    """A visitor followed a link. `X-Geo` is what the proxy in front knows about the visitor's place, as JSON."""
    return {
        "id": event_id,
        "a": headers.get("user-agent", "")[:_HEADER_CHARACTERS_MAX],
        "al": headers.get("accept-language", "")[:_HEADER_CHARACTERS_MAX],
        "r": headers.get("referer", "direct")[:_HEADER_CHARACTERS_MAX],
        "nk": int("known=1" in headers.get("cookie", "")),
        "h": link.code,
        "g": link.code,
        "l": link.login,
        "hh": short_host,
        "u": link.url,
        "hc": link.created_s,
        "t": now_s,
        **_geo(headers.get("x-geo", "")),
    }


def spam_decision(event_id: str, *, spam: bool, link: str, source: str, now_s: int) -> dict[str, Any]:
    """Somebody decided that a link or login is spam (`+`) or is not (`-`)."""
    return {"id": event_id, "o": "+" if spam else "-", "l": link, "bl": source, "t": now_s}


def encode(event: Mapping[str, Any]) -> bytes:
    """One line of JSON."""
    return json.dumps(event, separators=(",", ":")).encode()


def _geo(text: str) -> dict[str, Any]:
    if not text or len(text) > _GEO_HEADER_CHARACTERS_MAX:
        return {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    found: dict[str, Any] = {key: values[key] for key in _GEO_TEXTS if isinstance(values.get(key), str)}
    place = values.get("ll")
    if isinstance(place, list) and len(place) == 2 and all(type(part) in (int, float) for part in place):
        found["ll"] = place
    return found
