"""Decides whether a click is spam: pure, from the click and the blocklists of the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from millstream.demo.spam.click import Click


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about one click; its id is made of the click's, so that deciding twice decides once."""

    click_id: str
    decision_id: str
    spam: bool
    login: str
    blocklist: str
    time_s: int

    def event(self) -> dict[str, Any]:
        """The `spam_api` event: `o` is + for spam and - for none, `l` the login, `bl` the blocklist that said so."""
        return {
            "id": self.decision_id,
            "o": "+" if self.spam else "-",
            "l": self.login,
            "bl": self.blocklist,
            "t": self.time_s,
        }


def decide(click: Click, blocklists: Mapping[str, Sequence[str]]) -> Decision:
    """The first blocklist with a word in the host's name makes it spam."""
    try:
        host = (urlsplit(click.url).hostname or "").lower()
    except ValueError:
        host = ""
    blocklist = next((name for name, words in blocklists.items() if any(word in host for word in words)), "")
    return Decision(
        click_id=click.event_id,
        decision_id=f"{click.event_id}.spam"[:80],
        spam=bool(blocklist),
        login=click.login,
        blocklist=blocklist,
        time_s=click.time_s,
    )
