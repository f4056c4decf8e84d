from typing import Any

import pytest

from millstream.nsqauthd.explain import Explanation, explain
from millstream.nsqauthd.rules import Identity, parse_rules
from millstream.nsqd.auth import parse_authorizations

RULES = """
[[rule]]
secret = "s"
identity = "web"
ttl = 60
topics = ["^clicks$", "^views$"]
channels = ["^archive$"]
permissions = ["publish", "subscribe"]

[[rule]]
remote_ip = "10.0.0.0/8"
topics = ["^clicks$"]
permissions = ["subscribe"]
"""


def explained(topic: str = "", channel: str = "", rules: str = RULES, **identity: Any) -> Explanation:
    return explain(
        parse_rules(rules, parse_authorizations), Identity.of(**identity), topic, channel, parse_authorizations
    )


@pytest.mark.shows("nsqauthd --common-name", "nsqauthd --remote-ip", "nsqauthd --tls")
def test_an_unknown_identity_is_told_what_each_rule_lacks() -> None:
    found = explained(secret="x")

    assert not found.is_allowed
    assert found.lines == (
        "rule 1 does not hold: secret",
        "rule 2 does not hold: remote_ip",
        "no rule holds: 403, AUTH fails",
    )


def test_only_the_first_of_many_rules_that_do_not_hold_are_told() -> None:
    found = explained(rules=RULES * 15)

    assert len(found.lines) == 22
    assert "10 after these" in found.lines[-2]


def test_what_the_rules_that_hold_grant_is_listed() -> None:
    found = explained(secret="s", remote_ip="10.0.0.1")

    assert found.is_allowed
    assert found.lines == (
        'rule 1 holds as "web", for 60 s',
        '  publish to topics with "^clicks$" or "^views$"',
        '  subscribe to topics with "^clicks$" or "^views$", channels with "^archive$"',
        "rule 2 holds, for 3600 s",
        '  subscribe to topics with "^clicks$", channels with ".*"',
    )


@pytest.mark.parametrize(
    ("topic", "channel", "is_allowed", "verdict"),
    [
        ("clicks", "", True, 'publish to "clicks": yes, by rule 1'),
        ("other", "", False, 'publish to "other": no'),
        ("clicks", "archive", True, 'subscribe to "clicks" "archive": yes, by rule 1, 2'),
        ("clicks", "x", True, 'subscribe to "clicks" "x": yes, by rule 2'),
        ("views", "x", False, 'subscribe to "views" "x": no'),
    ],
)
def test_what_was_asked_is_answered_with_the_rules_that_say_so(
    topic: str,
    channel: str,
    is_allowed: bool,
    verdict: str,
) -> None:
    found = explained(topic, channel, secret="s", remote_ip="10.0.0.1")

    assert found.lines[-1] == verdict
    assert found.is_allowed is is_allowed
