"""What `--check` tells: which rules hold for an identity, what they grant, and why; pure.

`nsqauthd.service` writes the lines and ends with the verdict. Every yes and no is the judge's, who reads an answer as
nsqd does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from millstream.base.units import quoted
from millstream.nsqauthd.rules import PUBLISH, SUBSCRIBE, Identity, Judge, Rule, Rules, answer

_MISSES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Explanation:
    """Lines for a terminal, and whether the answer to what was asked is yes."""

    lines: tuple[str, ...]
    is_allowed: bool


def explain(rules: Rules, identity: Identity, topic: str, channel: str, judge: Judge) -> Explanation:
    """What the identity may do, and by which rule. Raises TooManyEntries.

    Asked is, with a topic, whether it may publish there; with a channel too, whether it may subscribe; with neither,
    whether any rule holds.
    """
    holding = rules.holding(identity)
    if not holding:
        return Explanation((*_misses(rules, identity), "no rule holds: 403, AUTH fails"), is_allowed=False)
    judge(answer(holding))
    lines = [line for rule in holding for line in _grants(rule)]
    is_allowed = True
    if topic:
        by = [rule for rule in holding if judge(answer([rule])).may_publish(topic)]
        lines.append(_verdict(f"publish to {quoted(topic)}", by))
        is_allowed = bool(by)
    if channel:
        by = [rule for rule in holding if judge(answer([rule])).may_subscribe(topic, channel)]
        lines.append(_verdict(f"subscribe to {quoted(topic)} {quoted(channel)}", by))
        is_allowed = bool(by)
    return Explanation(tuple(lines), is_allowed)


def _verdict(what: str, by: Sequence[Rule]) -> str:
    if not by:
        return f"{what}: no"
    return f"{what}: yes, by rule {', '.join(str(rule.number) for rule in by)}"


def _grants(rule: Rule) -> list[str]:
    named = f" as {quoted(rule.identity)}" if rule.identity else ""
    lines = [f"rule {rule.number} holds{named}, for {rule.ttl_s} s"]
    if PUBLISH in rule.permissions:
        lines.append(f"  publish to topics with {_patterns(rule.topics)}")
    if SUBSCRIBE in rule.permissions:
        lines.append(f"  subscribe to topics with {_patterns(rule.topics)}, channels with {_patterns(rule.channels)}")
    return lines


def _patterns(patterns: Sequence[str]) -> str:
    return " or ".join(map(quoted, patterns))


def _misses(rules: Rules, identity: Identity) -> list[str]:
    lines = [
        f"rule {rule.number} does not hold: {', '.join(rule.misses(identity))}" for rule in rules.rules[:_MISSES_MAX]
    ]
    if len(rules.rules) > _MISSES_MAX:
        lines.append(f"nor do the {len(rules.rules) - _MISSES_MAX} after these")
    return lines
