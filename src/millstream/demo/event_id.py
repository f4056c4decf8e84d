"""How an event is recognised when it is delivered twice: by the id in its text.

In the text, not in the decoded object: an event that is no JSON was published, counted and archived too.
"""

import re
from typing import Final

EVENT_ID_CHARACTERS_MAX: Final = 80

_EVENT_ID: Final = re.compile(rb'"id"\s*:\s*"([^"\\]{1,80})"')


def event_id_of(body: bytes) -> str:
    """The id that an event's text carries; the text itself when it has none."""
    found = _EVENT_ID.search(body)
    return (found.group(1) if found else body).decode("utf-8", "replace")
