"""A click as the spam service reads it: decoded with care, because anybody may publish to `clicks`.

The bytes come from the topic; a click with a `problem` is rejected by `queuereader_spam.validate_message`, but known by
its event id all the same.
"""

import json
from dataclasses import dataclass
from typing import Any

from millstream.demo.event_id import EVENT_ID_CHARACTERS_MAX, event_id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """One visit of a shortened link."""

    event_id: str
    link: str = ""
    login: str = ""
    url: str = ""
    agent: str = ""
    time_s: int = 0
    problem: str = ""

    @classmethod
    def decode(cls, body: bytes) -> "Click":
        """Decodes one message; never raises."""
        event_id = event_id_of(body)[:EVENT_ID_CHARACTERS_MAX]
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            return cls(event_id=event_id, problem="not JSON")
        if not isinstance(fields, dict):
            return cls(event_id=event_id, problem="no JSON object")
        if "_heartbeat_" in fields:
            return cls(event_id=event_id, problem="a heartbeat")
        return cls._checked(event_id, fields)

    @classmethod
    def _checked(cls, event_id: str, fields: dict[str, Any]) -> "Click":
        for key in ("id", "h", "l", "u"):
            if not isinstance(fields.get(key), str) or not 0 < len(fields[key]) <= 2048:
                return cls(event_id=event_id, problem=f"{key} is no text of use")
        if type(fields.get("t")) is not int:
            return cls(event_id=event_id, problem="t is no time")
        agent = fields.get("a")
        return cls(
            event_id=event_id,
            link=fields["h"],
            login=fields["l"],
            url=fields["u"],
            agent=agent if isinstance(agent, str) else "",
            time_s=fields["t"],
        )
