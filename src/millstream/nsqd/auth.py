"""Asks an auth server what a client may do, and decides by its answer.

`nsqd.session` hands in what it knows of a client that says AUTH, over `net.http_client` the question goes out, and the
answer comes back as `Authorizations`, which then decides about every SUB, PUB, MPUB and DPUB until it expires. Patterns
are Python's regular expressions where NSQ has RE2's: what means something else in the two is refused, and so is a
pattern that backtracking could take long over, because one thread serves every client.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from millstream.base.clock import Clock
from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger
from millstream.base.system import random_fraction
from millstream.net.http import json
from millstream.net.http_client import ClientResponse, HttpClient, HttpFailed
from millstream.net.listener import join_host_port
from millstream.protocol import go_json
from millstream.protocol.names import NAME_LENGTH_MAX

log = get_logger(__name__)

PUBLISH: Final = "publish"
SUBSCRIBE: Final = "subscribe"
REPLY_BYTES_MAX: Final = 1 << 20
PATTERNS_MAX: Final = 4_096
PATTERN_LENGTH_MAX: Final = 1_024

_DECISIONS_MAX: Final = 1_024
_REPEATS_MAX: Final = 1_000
# Ways in which backtracking may have to try a pattern on a name: a repetition stands for 16, the place where the match
# begins for another 16, alternatives add up. Four repetitions in a row then take some 0.2 s at worst, once per name.
_WAYS_MAX: Final = 1 << 20
_WAYS_PER_REPETITION: Final = 16

_TOKEN: Final = re.compile(
    r"""(?P<escape>\\.)
      | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
      | (?P<flags>\(\?[ims]+\))
      | (?P<open>\((?!\?)|\(\?P<\w+>|\(\?[ims]*(?:-[ims]+)?:)
      | (?P<repeat>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??)
      | (?P<foreign>\{,[0-9]*\})
      | (?P<bar>\|)
      | (?P<close>\))
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_BOUNDS: Final = re.compile(r"\{([0-9]+)(,?)([0-9]*)\}")
_PYTHON_ONLY: Final = re.compile(r"\\[ZuUN1-9]")


class AuthQueryFailed(MillstreamError):
    """No auth server gave an answer that can be used. The text is for the log: it never holds the secret."""


class BadPattern(AuthQueryFailed):
    """A regular expression that is none, means something else in RE2, or could take long to match."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One entry of an answer: permissions on the topics and channels in whose names the patterns are found."""

    permissions: frozenset[str]
    topic: re.Pattern[str]
    channels: tuple[re.Pattern[str], ...]

    def allows(self, permission: str, topic: str, channel: str) -> bool:
        """NSQ's rule. To publish is to use the channel with the empty name."""
        return (
            permission in self.permissions
            and self.topic.search(topic) is not None
            and any(pattern.search(channel) for pattern in self.channels)
        )


class Authorizations:
    """What one client may do until `expires_ns` on the monotonic clock.

    The two questions are answered from memory after the first time, within a bound.
    """

    __slots__ = ("_publish", "_subscribe", "entries", "expires_ns", "identity", "identity_url", "ttl_s")

    def __init__(
        self, entries: Sequence[Authorization], *, ttl_s: int, now_ns: int, identity: str = "", identity_url: str = ""
    ) -> None:
        self.entries = tuple(entries)
        self.ttl_s = ttl_s
        self.expires_ns = now_ns + ttl_s * 1_000_000_000
        self.identity = identity
        self.identity_url = identity_url
        self._publish: dict[str, bool] = {}
        self._subscribe: dict[tuple[str, str], bool] = {}

    @property
    def permission_count(self) -> int:
        """How many entries there are; without any, AUTH fails with E_UNAUTHORIZED."""
        return len(self.entries)

    def is_expired(self, now_ns: int) -> bool:
        """True when the auth server has to be asked again before the next decision."""
        return now_ns > self.expires_ns

    def may_publish(self, topic: str) -> bool:
        """PUB, MPUB and DPUB: needs an entry with a channel pattern that is found in the empty text."""
        known = self._publish.get(topic)
        if known is None:
            known = self._decide(PUBLISH, topic, "")
            if len(self._publish) >= _DECISIONS_MAX:
                self._publish.clear()
            self._publish[topic] = known
        return known

    def may_subscribe(self, topic: str, channel: str) -> bool:
        """SUB."""
        known = self._subscribe.get((topic, channel))
        if known is None:
            known = self._decide(SUBSCRIBE, topic, channel)
            if len(self._subscribe) >= _DECISIONS_MAX:
                self._subscribe.clear()
            self._subscribe[topic, channel] = known
        return known

    def _decide(self, permission: str, topic: str, channel: str) -> bool:
        # The bound on the ways to try a pattern holds for names only; nothing longer is one.
        if len(topic) > NAME_LENGTH_MAX or len(channel) > NAME_LENGTH_MAX:
            return False
        return any(entry.allows(permission, topic, channel) for entry in self.entries)

    def encode(self) -> bytes:
        """The response to AUTH."""
        return go_json.encode(
            {
                "identity": self.identity,
                "identity_url": self.identity_url,
                "permission_count": self.permission_count,
            }
        )


def parse_authorizations(reply: bytes, now_ns: int = 0) -> Authorizations:
    """Read the body of an auth server's answer that came at `now_ns`. Raises AuthQueryFailed, BadPattern included.

    Keys and types are taken as Go's decoder takes them: any case, unknown ones ignored, null for what is not there.
    """
    if len(reply) > REPLY_BYTES_MAX:
        raise AuthQueryFailed(f"the answer has more than {REPLY_BYTES_MAX} bytes")
    try:
        values = {go_json.folded(key): value for key, value in go_json.members(reply) if value is not None}
        ttl_s = int(go_json.typed(values.get("ttl", b"0"), int))
        identity = str(go_json.typed(values.get("identity", ""), str))
        identity_url = str(go_json.typed(values.get("identity_url", ""), str))
        entries = _entries(_listed(values.get("authorizations")))
    except go_json.NotDecodable as error:
        raise AuthQueryFailed(f"the answer cannot be decoded: {error}") from error
    if ttl_s <= 0:
        raise AuthQueryFailed(f"the answer has the ttl {ttl_s}")
    return Authorizations(entries, ttl_s=ttl_s, now_ns=now_ns, identity=identity, identity_url=identity_url)


def _entries(listed: list[Any]) -> list[Authorization]:
    entries: list[Authorization] = []
    patterns = 0
    for one in listed:
        if one is not None and not isinstance(one, dict):
            raise go_json.NotDecodable("an authorization is an object")
        fields = {go_json.folded(key): value for key, value in (one or {}).items() if value is not None}
        permissions = frozenset(map(_text, _listed(fields.get("permissions"))))
        if unknown := sorted(permissions - {PUBLISH, SUBSCRIBE}):
            raise AuthQueryFailed(f"the answer has the unknown permission {unknown[0][:80]!r}")
        topic, channels = _text(fields.get("topic")), [_text(one) for one in _listed(fields.get("channels"))]
        patterns += 1 + len(channels)
        if patterns > PATTERNS_MAX:
            raise AuthQueryFailed(f"the answer has more than {PATTERNS_MAX} patterns")
        entries.append(Authorization(permissions, compile_pattern(topic), tuple(map(compile_pattern, channels))))
    return entries


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise go_json.NotDecodable("a list is due")
    return value


def _text(value: object) -> str:
    return "" if value is None else str(go_json.typed(value, str))


# ------------------------------------------------------------------------------------------------------------ patterns


@lru_cache(maxsize=PATTERNS_MAX)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""An unanchored pattern on names. Raises BadPattern.

    Taken is what RE2 and Python read alike, and RE2's `\z`. Refused are look-around, back references, possessive and
    atomic groups, which RE2 does not have; `\pL`, `[[:alpha:]]`, `\Q` and flags within, which Python does not; and
    patterns whose repetitions hold others or alternatives, or that have more than four repetitions in a row.
    """
    if len(pattern) > PATTERN_LENGTH_MAX:
        raise BadPattern(f"the pattern {pattern[:40]!r}... is longer than {PATTERN_LENGTH_MAX} characters")
    try:
        tokens = [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(pattern)]
        compiled = re.compile("".join(_as_python(kind, text) for kind, text in tokens), re.ASCII)
        ways = _ways(tokens) * _WAYS_PER_REPETITION
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise BadPattern(f"the pattern {pattern[:80]!r} cannot be used: {error}") from error
    if ways > _WAYS_MAX:
        raise BadPattern(f"the pattern {pattern[:80]!r} cannot be used: it can match in too many ways")
    return compiled


def _as_python(kind: str, text: str) -> str:
    if kind == "escape":
        if _PYTHON_ONLY.match(text):
            raise ValueError(f"{text} is not known to RE2")
        return r"\Z" if text == r"\z" else text
    if kind == "set":
        if "[:" in text or "--" in text or any(map(_PYTHON_ONLY.match, re.findall(r"\\.", text))):
            raise ValueError(f"the set {text[:40]} means something else in RE2")
        # These begin what Python may once read as operations on sets, and warns of.
        return text[0] + re.sub(r"(\\.)|([\[&~|])", lambda found: found[1] or "\\" + found[2], text[1:])
    if kind == "foreign":
        raise ValueError(f"{text} is no repetition in RE2: write {{0{text[1:]}")
    if kind == "other" and text in "([":
        raise ValueError("a group or a set that RE2 does not have, or without an end")
    return text


def _ways(tokens: list[tuple[str, str]]) -> int:
    """How many ways backtracking has at most, the place of the match aside. Raises ValueError."""
    outer: list[tuple[int, int]] = []
    finished, branch, last = 0, 1, 1
    before = ""
    for kind, text in tokens:
        if kind == "repeat":
            if before == "repeat":
                raise ValueError("a repetition of a repetition")
            last = _repeated(last, text)
        elif kind == "bar":
            finished, branch, last = finished + branch * last, 1, 1
        elif kind == "open":
            outer.append((finished, branch * last))
            finished, branch, last = 0, 1, 1
        elif kind == "close":
            inner = finished + branch * last
            finished, branch = outer.pop()
            last = inner
        else:
            branch, last = branch * last, 1
        branch, before = min(branch, _WAYS_MAX + 1), kind
    return finished + branch * last


def _repeated(inner: int, text: str) -> int:
    text = text if text == "?" else text.removesuffix("?")
    bounds = _BOUNDS.fullmatch(text)
    ends: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    low, high = ends.get(text, (0, None))
    if bounds:
        low = int(bounds[1])
        high = low if not bounds[2] else int(bounds[3]) if bounds[3] else None
    if max(low, high or 0) > _REPEATS_MAX:
        raise ValueError(f"{text} repeats more than {_REPEATS_MAX} times")
    if inner > 1 and high is None:
        raise ValueError(f"{text} repeats what holds a repetition or alternatives itself")
    counts = _WAYS_PER_REPETITION if high is None else min(high - low + 1, _WAYS_PER_REPETITION)
    return counts if inner == 1 else min(counts * int(inner ** (high or 1)), _WAYS_MAX + 1)


# ----------------------------------------------------------------------------------------------------------- the query


class AuthClient:
    """Asks auth servers, one after the other from a random one on. `http` is the caller's, who closes it.

    Time-outs and TLS are those of `http`. The secret goes out and is kept nowhere, the log included.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        http: HttpClient,
        *,
        clock: Clock,
        method: str = "get",
        chance: Callable[[], float] = random_fraction,
    ) -> None:
        self._urls = [one if "://" in one else f"http://{one}/auth" for one in addresses]
        self._http = http
        self._clock = clock
        self._posts = method.lower() == "post"
        self._chance = chance

    async def query(self, remote_ip: str, tls: bool, common_name: str, secret: bytes) -> Authorizations:  # noqa: FBT001
        """What the client with this address (empty: a unix socket), certificate and secret may do.

        Raises AuthQueryFailed, with the reasons of every address, when none of them knows.
        """
        values: dict[str, str | bytes] = {
            "common_name": common_name,
            "remote_ip": remote_ip,
            "secret": secret,
            "tls": "true" if tls else "false",
        }
        start = int(self._chance() * len(self._urls))
        failed: list[str] = []
        for url in self._urls[start:] + self._urls[:start]:
            try:
                return await self._query(url, values)
            except (HttpFailed, AuthQueryFailed) as error:
                # HttpFailed would tell the whole URL, and with it the secret.
                reason = error.reason if isinstance(error, HttpFailed) else str(error)
                failed.append(f"{url.partition('?')[0]}: {reason}")
                log.warning("auth.query_failed", server=url.partition("?")[0], reason=reason)
        raise AuthQueryFailed("; ".join(failed) or "there is no auth server to ask")

    async def _query(self, url: str, values: Mapping[str, str | bytes]) -> Authorizations:
        response = await self._ask(url, values)
        if response.status == 403 and not url.startswith("https:") and (port := _https_port(response.body)):
            parts = urlsplit(url)
            host = join_host_port(parts.hostname or "", port)
            response = await self._ask(parts._replace(scheme="https", netloc=host).geturl(), values)
        if response.status != 200:
            raise AuthQueryFailed(f"status {response.status}")
        return parse_authorizations(response.body, self._clock.monotonic_ns())

    async def _ask(self, url: str, values: Mapping[str, str | bytes]) -> ClientResponse:
        headers = {"Accept": "application/vnd.nsq; version=1.0"}
        if not self._posts:
            return await self._http.get(f"{url}?{urlencode(values)}", headers=headers)
        lists = {
            name: [one if isinstance(one, str) else one.decode("utf-8", "replace")] for name, one in values.items()
        }
        return await self._http.post(url, json(lists).body, headers=headers | {"Content-Type": "application/json"})


class _TlsRequired(msgspec.Struct):
    https_port: int = 0


def _https_port(body: bytes) -> int:
    """Where a server that only answers over TLS does so; 0 when it is no such server."""
    try:
        port = msgspec.json.decode(body, type=_TlsRequired).https_port
    except (msgspec.DecodeError, UnicodeError):
        return 0
    return port if 0 < port <= 65_535 else 0
