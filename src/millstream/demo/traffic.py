"""Decides what visitors do: which links they follow, in what proportion, and what goes wrong among it.

Pure: chance is handed in.  Without recorded clicks, links are as popular as in life (a few get most of the visits);
with them, lines are replayed in order, heartbeats and all.  `demo.visitors` carries the actions out over HTTP.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, TypeAlias

LINKS: Final = 200
ZIPF_EXPONENT: Final = 1.1
RECORDED_MAX: Final = 100_000

# Shares of all actions; the rest follow links.
HEARTBEAT_SHARE: Final = 0.03
MALFORMED_SHARE: Final = 0.03
DECISION_SHARE: Final = 0.05

_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/535.11 (KHTML, like Gecko) Chrome/17.0.963.78 Safari/535.11",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 5_1 like Mac OS X) AppleWebKit/534.46 (KHTML, like Gecko) Mobile/9B176",
    "Mozilla/5.0 (X11; Linux x86_64; rv:10.0) Gecko/20100101 Firefox/10.0",
    "LinkChecker-Bot/2.1 (+http://checker.example/bot)",
)
_REFERRERS: Final = ("direct", "http://t.example/abc", "http://news.example/front", "http://mail.example/inbox")
_PLACES: Final[tuple[Mapping[str, Any], ...]] = (
    {"c": "US", "tz": "America/New_York", "gr": "MA", "cy": "Danvers", "ll": [42.576698, -70.954903]},
    {"c": "DE", "tz": "Europe/Berlin", "gr": "16", "cy": "Berlin", "ll": [52.516701, 13.4]},
    {"c": "JP", "tz": "Asia/Tokyo"},
    {"c": "BR", "tz": "America/Sao_Paulo", "gr": "27", "cy": "Braz", "ll": [-23.549999, -46.616699]},
)
_HOSTS: Final = ("www.example.org", "news.example.com", "cheap-pills.example", "shop.example.net", "win-prize.example")


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """Follow the link that `key` stands for; who goes there first has it shortened."""

    key: str
    url: str
    login: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Hand the web app an event as another front end made it; `event_id` stands in the body."""

    event_id: str
    body: bytes
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """An editor says whether a link is spam."""

    link: str
    spam: bool


Action: TypeAlias = Follow | Relay | Decide


@dataclass(slots=True)
class Traffic:
    """An endless sequence of actions."""

    chance: random.Random
    recorded: Sequence[Mapping[str, Any]] = ()
    _position: int = 0
    _links: list[Follow] = field(default_factory=list)
    _weights: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Makes up the links and their popularity."""
        self._links = [self._made_up_link(number) for number in range(LINKS)]
        self._weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, LINKS + 1)))

    def next(self) -> Action:
        """What the next visitor does."""
        dice = self.chance.random()
        if dice < MALFORMED_SHARE:
            return self._malformed()
        if dice < MALFORMED_SHARE + DECISION_SHARE:
            return Decide(link=self._popular_link().key, spam=self.chance.random() < 0.5)
        if self.recorded:
            return self._replayed()
        if dice < MALFORMED_SHARE + DECISION_SHARE + HEARTBEAT_SHARE:
            return self._heartbeat({"_heartbeat_": 1_331_923_261})
        return self._visit(self._popular_link())

    def _popular_link(self) -> Follow:
        return self.chance.choices(self._links, cum_weights=self._weights)[0]

    def _made_up_link(self, number: int) -> Follow:
        host = _HOSTS[number % len(_HOSTS)]
        return Follow(
            key=f"made-up-{number}", url=f"http://{host}/page/{number}", login=f"user{number % 20}", headers={}
        )

    def _visit(self, link: Follow) -> Follow:
        headers = {
            "User-Agent": self.chance.choice(_AGENTS),
            "Referer": self.chance.choice(_REFERRERS),
            "X-Geo": json.dumps(self.chance.choice(_PLACES)),
        }
        return Follow(key=link.key, url=link.url, login=link.login, headers=headers)

    def _replayed(self) -> Action:
        line = self.recorded[self._position % len(self.recorded)]
        self._position += 1
        return self._heartbeat(line) if "_heartbeat_" in line else follow_of(line)

    def _heartbeat(self, line: Mapping[str, Any]) -> Relay:
        event_id = self._new_id()
        return Relay(event_id=event_id, body=json.dumps({**line, "id": event_id}).encode(), kind="heartbeat")

    def _malformed(self) -> Relay:
        event_id = self._new_id()
        whole: dict[str, Any] = {
            "id": event_id,
            "a": "relay/1.0",
            "h": "x",
            "l": "relay",
            "t": 1,
            "u": "http://a.example/",
        }
        match self.chance.randrange(3):
            case 0:
                body, kind = json.dumps(whole)[:-12], "not JSON"
            case 1:
                body, kind = json.dumps({**whole, "u": 7}), "wrong type"
            case _:
                body, kind = json.dumps({key: whole[key] for key in ("id", "a", "t")}), "fields missing"
        return Relay(event_id=event_id, body=body.encode(), kind=kind)

    def _new_id(self) -> str:
        return f"{self.chance.getrandbits(128):032x}"


def follow_of(line: Mapping[str, Any]) -> Follow:
    """The visit that a recorded click stands for."""
    place = {key: line[key] for key in ("c", "tz", "gr", "cy", "ll") if line.get(key)}
    headers = {
        "User-Agent": _header(line.get("a")),
        "Referer": _header(line.get("r")) or "direct",
        "Accept-Language": _header(line.get("al")),
        "X-Geo": json.dumps(place),
    }
    if line.get("nk"):
        headers["Cookie"] = "known=1"
    return Follow(key=str(line.get("h")), url=str(line.get("u")), login=str(line.get("l"))[:64] or "x", headers=headers)


def read_recorded(lines: Iterable[bytes]) -> list[Mapping[str, Any]]:
    """The recorded lines that are JSON objects, up to a limit."""
    recorded: list[Mapping[str, Any]] = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            recorded.append(value)
        if len(recorded) >= RECORDED_MAX:
            break
    return recorded


def _header(value: object) -> str:
    # A header is one line of latin-1, whatever was recorded.
    text = value if isinstance(value, str) else ""
    return "".join(character for character in text if " " <= character <= "~")[:1000]
