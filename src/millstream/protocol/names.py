"""The rules for topic and channel names, for every daemon and client.

A name is 1 to 64 characters of `.a-zA-Z0-9_-`, with an optional literal suffix `#ephemeral` that counts towards the
length; a bare suffix is no name.
"""

import re
from typing import Final

NAME_LENGTH_MAX: Final = 64
EPHEMERAL: Final = "#ephemeral"

_NAME = re.compile(r"[.a-zA-Z0-9_-]+(#ephemeral)?")


def is_valid_name(name: str) -> bool:
    """True when `name` may name a topic or a channel."""
    return 1 <= len(name) <= NAME_LENGTH_MAX and _NAME.fullmatch(name) is not None


def is_ephemeral(name: str) -> bool:
    """True when a topic or channel of this name lives in memory only and goes with its last user."""
    return name.endswith(EPHEMERAL)
