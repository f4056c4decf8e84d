"""The rules: from the text of the file to values, and from an identity to what nsqd is answered; pure.

`nsqauthd.source` hands in the file, `nsqauthd.http` what an nsqd knows of a client. A rule holds when all its
conditions do; the grants of all rules that hold add up. What a grant means is not known here: a `Judge` reads answers
as nsqd does.
"""

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final, Protocol, Self

import msgspec

from millstream.base.errors import MillstreamError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PUBLISH: Final = "publish"
SUBSCRIBE: Final = "subscribe"
RULES_MAX: Final = 10_000
ENTRIES_MAX: Final = 1_000
TTL_DEFAULT_S: Final = 3_600
TTL_MAX_S: Final = 365 * 86_400

_EVERYTHING: Final = ".*"
_TEXT_LENGTH_MAX: Final = 4_096
_LIST_LENGTH_MAX: Final = 100
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_CONDITIONS: Final = ("secret", "secret_sha256", "common_name", "remote_ip", "tls")
_KEYS: Final = (*_CONDITIONS, "identity", "identity_url", "ttl", "topics", "channels", "permissions")


class BadRules(MillstreamError):
    """The rules cannot be used; the text says which rule, and why."""


class TooManyEntries(MillstreamError):
    """So many rules hold for one identity that no nsqd would take the answer."""


class Permits(Protocol):
    """An answer as nsqd reads it."""

    def may_publish(self, topic: str) -> bool:
        """Whether PUB, MPUB and DPUB are allowed."""
        ...

    def may_subscribe(self, topic: str, channel: str) -> bool:
        """Whether SUB is allowed."""
        ...


Judge = Callable[[bytes], Permits]
"""Reads the body of an answer. Raises MillstreamError when nsqd would refuse it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an nsqd knows of a client; `address` is None for a unix socket. The secret itself is not kept."""

    secret_digest: bytes
    common_name: str
    address: Address | None
    tls: bool

    @classmethod
    def of(cls, *, secret: str = "", common_name: str = "", remote_ip: str = "", tls: bool = False) -> Self:
        """The identity behind the values of a question; an IPv4 address is one in the guise of IPv6 too."""
        try:
            address: Address | None = ipaddress.ip_address(remote_ip)
        except ValueError:
            address = None
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return cls(secret_digest=_digest(secret), common_name=common_name, address=address, tls=tls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Conditions, None where there is none, and what is granted to whom they hold for. `number` counts from 1."""

    number: int
    topics: tuple[str, ...]
    permissions: tuple[str, ...]
    channels: tuple[str, ...] = (_EVERYTHING,)
    secret_digest: bytes | None = None
    common_name: str | None = None
    network: Network | None = None
    tls: bool | None = None
    identity: str = ""
    identity_url: str = ""
    ttl_s: int = TTL_DEFAULT_S

    def misses(self, identity: Identity) -> list[str]:
        """The conditions that do not hold. The time it takes does not depend on how much of a secret is right."""
        missed = []
        if self.secret_digest is not None and not compare_digest(self.secret_digest, identity.secret_digest):
            missed.append("secret")
        if self.common_name is not None and self.common_name != identity.common_name:
            missed.append("common_name")
        if self.network is not None and (identity.address is None or identity.address not in self.network):
            missed.append("remote_ip")
        if self.tls is not None and self.tls is not identity.tls:
            missed.append("tls")
        return missed

    def entries(self) -> list[dict[str, object]]:
        """The authorizations of the answer, one or two for each topic.

        By an entry, nsqd lets publish only if one of its channel patterns is found in the empty text. `channels` is
        meant for subscribing, so that publishing gets an entry of its own.
        """
        grants = [(self.permissions, self.channels)]
        if PUBLISH in self.permissions and self.channels != (_EVERYTHING,):
            grants = [((PUBLISH,), (_EVERYTHING,))]
            if SUBSCRIBE in self.permissions:
                grants.append(((SUBSCRIBE,), self.channels))
        return [
            {"permissions": permissions, "topic": topic, "channels": channels}
            for topic in self.topics
            for permissions, channels in grants
        ]


class Rules:
    """All rules, in the order of the file."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    def holding(self, identity: Identity) -> list[Rule]:
        """Those whose conditions all hold."""
        return [rule for rule in self.rules if not rule.misses(identity)]


def answer(holding: Sequence[Rule]) -> bytes:
    """What nsqd is told when these rules hold, at least one. Raises TooManyEntries.

    The shortest ttl is in force. The first rule that names an identity gives name and URL.
    """
    entries = [entry for rule in holding for entry in rule.entries()]
    if len(entries) > ENTRIES_MAX:
        raise TooManyEntries(f"{len(holding)} rules hold and give {len(entries)} entries, at most {ENTRIES_MAX} can be")
    named = next((rule for rule in holding if rule.identity), holding[0])
    return msgspec.json.encode(
        {
            "ttl": min(rule.ttl_s for rule in holding),
            "identity": named.identity,
            "identity_url": named.identity_url,
            "authorizations": entries,
        }
    )


def parse_rules(text: str, judge: Judge) -> Rules:
    """Read the text of a file with the rules. Raises BadRules for the first that is wrong, unknown keys included."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRules(f"it is no TOML: {error}") from error
    _known("the file", table, ("rule",))
    listed = table.get("rule", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadRules("rules are tables: write [[rule]] above each")
    if not listed:
        raise BadRules("it has no rule: a file that is being written looks like this, too")
    if len(listed) > RULES_MAX:
        raise BadRules(f"it has {len(listed)} rules, at most {RULES_MAX} can be")
    return Rules([_rule(number, one, judge) for number, one in enumerate(listed, 1)])


def _rule(number: int, table: Mapping[str, Any], judge: Judge) -> Rule:
    where = f"rule {number}"
    _known(where, table, _KEYS)
    if not any(key in table for key in _CONDITIONS):
        raise BadRules(
            f'{where} has no condition: give one of {", ".join(_CONDITIONS)}; remote_ip = "0.0.0.0/0" is everybody'
        )
    permissions = _texts(where, table, "permissions")
    if unknown := sorted({*permissions} - {PUBLISH, SUBSCRIBE}):
        raise BadRules(f"{where}: permission {unknown[0]!r} is unknown: use publish, subscribe")
    if "channels" in table and SUBSCRIBE not in permissions:
        raise BadRules(f"{where}: channels without the permission subscribe grant nothing")
    tls = table.get("tls")
    if tls is not None and not isinstance(tls, bool):
        raise BadRules(f"{where}: tls is true or false")
    rule = Rule(
        number=number,
        topics=_texts(where, table, "topics"),
        permissions=tuple(dict.fromkeys(permissions)),
        channels=_texts(where, table, "channels") if "channels" in table else (_EVERYTHING,),
        secret_digest=_secret(where, table),
        common_name=_text(where, table, "common_name"),
        network=_network(where, table),
        tls=tls,
        identity=_text(where, table, "identity") or "",
        identity_url=_text(where, table, "identity_url") or "",
        ttl_s=_ttl(where, table),
    )
    try:
        judge(answer([rule]))
    except MillstreamError as error:
        raise BadRules(f"{where}: nsqd would refuse it: {error}") from error
    return rule


def _known(where: str, table: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in table:
        if key not in keys:
            likely = get_close_matches(key[:80], keys, n=1)
            raise BadRules(
                f"{where} has the unknown key {key[:80]!r}" + (f": did you mean {likely[0]}?" if likely else "")
            )


def _text(where: str, table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= _TEXT_LENGTH_MAX):
        raise BadRules(f"{where}: {key} is a text of 1 to {_TEXT_LENGTH_MAX} characters")
    return value


def _texts(where: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key)
    if (
        not isinstance(value, list)
        or not 0 < len(value) <= _LIST_LENGTH_MAX
        or not all(isinstance(one, str) for one in value)
    ):
        raise BadRules(f"{where}: {key} is a list of 1 to {_LIST_LENGTH_MAX} texts")
    return tuple(value)


def _secret(where: str, table: Mapping[str, Any]) -> bytes | None:
    secret, digest = _text(where, table, "secret"), _text(where, table, "secret_sha256")
    if secret is not None and digest is not None:
        raise BadRules(f"{where} has both secret and secret_sha256: give one")
    if digest is None:
        return None if secret is None else _digest(secret)
    if _DIGEST.fullmatch(digest) is None:
        raise BadRules(f"{where}: secret_sha256 is 64 hexadecimal digits")
    return bytes.fromhex(digest)


def _network(where: str, table: Mapping[str, Any]) -> Network | None:
    text = _text(where, table, "remote_ip")
    try:
        return None if text is None else ipaddress.ip_network(text)
    except ValueError as error:
        raise BadRules(f"{where}: remote_ip {text!r} is no address or network such as 10.0.0.0/8: {error}") from error


def _ttl(where: str, table: Mapping[str, Any]) -> int:
    value = table.get("ttl", TTL_DEFAULT_S)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= TTL_MAX_S:
        raise BadRules(f"{where}: ttl is a number of seconds from 1 to {TTL_MAX_S}")
    return value


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
