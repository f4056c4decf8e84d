"""What a topic and its channels may hold, what is kept of it, and what becomes of the rest: entries, and what they say.

Entries come from `[[policy]]` in nsqd's configuration file and from its HTTP API (`nsqd.policies`); a `PolicyBook`
merges those whose patterns match a name, key by key, the later one first. `engine.enforcement` carries the result out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Final

from millstream.base.declare import NS_PER_MS, check, option
from millstream.base.errors import OptionError
from millstream.base.units import quoted
from millstream.protocol.names import NAME_LENGTH_MAX, is_ephemeral, is_valid_name

ENTRIES_MAX: Final = 1_000
DEAD: Final = "dead"
DEAD_SUFFIX: Final = ".dead"
ATTEMPTS_MAX: Final = 65_534
_PATTERN_LENGTH_MAX: Final = 128
_HASH_BYTES: Final = 5

_PATTERN: Final = re.compile(r"[.a-zA-Z0-9_\-#*?!\[\]]+")


class Overflow(StrEnum):
    """What happens to what is beyond a limit."""

    REJECT = "reject"
    DROP_OLDEST = "drop_oldest"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEntry:
    """One entry as its author wrote it; what is None is left to other entries. Raises `OptionError`."""

    topic: str = option("", "names of topics; * stands for any characters, ? for one, [ab] for one of these")
    channel: str | None = option(
        None, "names of channels, in the same form; without it the entry holds for the topics and all their channels"
    )
    max_depth: int | None = option(None, "messages that wait; 0: no limit", low=0)
    max_bytes: int | None = option(
        None, "bytes that wait; of a topic what its log takes; 0: no limit", unit="bytes", key="max_bytes", low=0
    )
    max_age_ms: int | None = option(None, "age of what waits; 0: no limit", unit="ms", low=0)
    overflow: str | None = option(
        None,
        "beyond a limit: reject (publishers are refused), drop_oldest or dead_letter (the oldest go)",
        choices=tuple(Overflow),
    )
    retain_age_ms: int | None = option(
        None, "how long finished messages stay in a topic's log; 0: with retain_bytes any time", unit="ms", low=0
    )
    retain_bytes: int | None = option(
        None, "bytes of finished messages that stay in a topic's log", unit="bytes", key="retain_bytes", low=0
    )
    max_attempts: int | None = option(
        None,
        "deliveries of a message by a channel, before it goes to the dead-letter topic; 0: any number",
        low=0,
        high=ATTEMPTS_MAX,
    )
    dead_letter_topic: str | None = option(
        None, "where dead letters go; empty: <topic>.<channel>.dead, shortened to fit"
    )

    def __post_init__(self) -> None:
        check(self)
        _check_pattern("topic", self.topic)
        if self.channel is not None:
            _check_pattern("channel", self.channel)
            if self.retain_age_ms is not None or self.retain_bytes is not None:
                raise OptionError("retain_age and retain_bytes are of a topic: leave out channel")
        name = self.dead_letter_topic
        if name and (not is_valid_name(name) or is_ephemeral(name)):
            raise OptionError(f"dead_letter_topic {quoted(name)} is no name of a topic that lasts")
        if all(getattr(self, name) is None for name in _SETTINGS):
            raise OptionError(f"sets nothing: give one of {', '.join(name.removesuffix('_ms') for name in _SETTINGS)}")

    @property
    def place(self) -> tuple[str, str | None]:
        """What an entry is known by."""
        return self.topic, self.channel


_SETTINGS: Final = tuple(found.name for found in fields(PolicyEntry) if found.name not in {"topic", "channel"})


def _check_pattern(what: str, pattern: str) -> None:
    if not pattern:
        raise OptionError(f"{what} is missing: name one, or write a pattern such as clicks*, or *")
    if len(pattern) > _PATTERN_LENGTH_MAX or _PATTERN.fullmatch(pattern) is None:
        raise OptionError(f"{what} {quoted(pattern)} matches no name: use a name's characters and * ? [ab] [!ab]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for one topic, or one channel. 0 is off; `dead_letter_topic` is empty when nothing goes there.

    `is_given` says that entries set something of it.
    """

    max_depth: int = 0
    max_bytes: int = 0
    max_age_ns: int = 0
    overflow: Overflow = Overflow.REJECT
    retain_age_ns: int = 0
    retain_bytes: int = 0
    max_attempts: int = 0
    dead_letter_topic: str = ""
    is_given: bool = False

    @property
    def has_limit(self) -> bool:
        """Whether something bounds what waits."""
        return bool(self.max_depth or self.max_bytes or self.max_age_ns)

    @property
    def retains(self) -> bool:
        """Whether finished messages are kept."""
        return bool(self.retain_age_ns or self.retain_bytes)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is set."""
        return not (self.has_limit or self.retains or self.max_attempts)


NO_POLICY: Final = Policy()


class PolicyBook:
    """Entries of the configuration file, and those of the HTTP API, which come after them. It never changes."""

    def __init__(self, config: Iterable[PolicyEntry] = (), http: Iterable[PolicyEntry] = ()) -> None:
        self.config = tuple(config)
        self.http = tuple(http)
        self._entries = self.config + self.http
        self.is_empty = not self._entries
        self._dead_letter_topics = {entry.dead_letter_topic for entry in self._entries if entry.dead_letter_topic}

    def is_dead_letter_topic(self, topic: str) -> bool:
        """Whether dead letters go there: what is there goes nowhere else."""
        return topic.endswith(DEAD_SUFFIX) or topic in self._dead_letter_topics

    def of_topic(self, topic: str) -> Policy:
        """What holds for the topic itself: its backlog, and its log."""
        if self.is_empty:
            return NO_POLICY
        merged = self._merged(entry for entry in self._entries if entry.channel is None and _fits(entry.topic, topic))
        merged = replace(merged, max_attempts=0)
        return self._with_target(merged, topic, "", is_lasting=not is_ephemeral(topic))

    def of_channel(self, topic: str, channel: str) -> Policy:
        """What holds for one channel."""
        if self.is_empty:
            return NO_POLICY
        merged = self._merged(
            entry
            for entry in self._entries
            if _fits(entry.topic, topic) and (entry.channel is None or _fits(entry.channel, channel))
        )
        merged = replace(merged, retain_age_ns=0, retain_bytes=0)
        is_lasting = not is_ephemeral(topic) and not is_ephemeral(channel)
        return self._with_target(merged, topic, channel, is_lasting=is_lasting)

    def dead_letter_topic(self, topic: str, channel: str) -> str:
        """Where dead letters of a channel would go, whether it has some or not. An empty channel: of the topic."""
        chosen = ""
        for entry in self._entries:
            matches = entry.channel is None or (channel and _fits(entry.channel, channel))
            if entry.dead_letter_topic is not None and matches and _fits(entry.topic, topic):
                chosen = entry.dead_letter_topic
        return chosen or dead_letter_name(topic, channel)

    def _merged(self, entries: Iterable[PolicyEntry]) -> Policy:
        chosen: dict[str, object] = {}
        for entry in entries:
            for name in _SETTINGS:
                value = getattr(entry, name)
                if value is not None:
                    chosen[name] = value
        if not chosen:
            return NO_POLICY
        for name in [name for name in chosen if name.endswith("_ms")]:
            value = chosen.pop(name)
            chosen[name.removesuffix("_ms") + "_ns"] = value * NS_PER_MS if isinstance(value, int) else 0
        chosen["overflow"] = Overflow(str(chosen.get("overflow", Overflow.REJECT)))
        return Policy(**chosen)  # type: ignore[arg-type]  # by name, and checked by the entry

    def _with_target(self, policy: Policy, topic: str, channel: str, *, is_lasting: bool) -> Policy:
        """With the dead-letter topic, or without dead letters where there can be none."""
        if not is_lasting or self.is_dead_letter_topic(topic):
            overflow = policy.overflow
            if overflow is Overflow.DEAD_LETTER:
                overflow = Overflow.REJECT
            if not is_lasting:
                # Whoever looks on must not hold up publishers.
                overflow = Overflow.DROP_OLDEST
            policy = replace(policy, max_attempts=0, dead_letter_topic="", overflow=overflow)
            return replace(policy, is_given=not policy.is_nothing)
        is_used = policy.max_attempts or policy.overflow is Overflow.DEAD_LETTER
        target = (policy.dead_letter_topic or dead_letter_name(topic, channel)) if is_used else ""
        return replace(policy, dead_letter_topic=target, is_given=not policy.is_nothing)


def _fits(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern)


def dead_letter_name(topic: str, channel: str) -> str:
    """`<topic>.<channel>.dead`, or `<topic>.dead` for what no channel was given; shortened with a hash to fit."""
    stem = f"{topic}.{channel}" if channel else topic
    name = stem + DEAD_SUFFIX
    if len(name) <= NAME_LENGTH_MAX:
        return name
    digest = blake2b(stem.encode(), digest_size=_HASH_BYTES).hexdigest()
    kept = NAME_LENGTH_MAX - len(DEAD_SUFFIX) - len(digest) - 1
    return f"{stem[:kept]}.{digest}{DEAD_SUFFIX}"
