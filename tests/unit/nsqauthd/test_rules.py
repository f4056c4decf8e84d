import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.nsqauthd.rules import ENTRIES_MAX, BadRules, Identity, Rules, TooManyEntries, answer, parse_rules
from millstream.nsqd.auth import Authorizations, parse_authorizations

GRANT = 'topics = ["^clicks$"]\npermissions = ["publish", "subscribe"]\n'


def rules(*conditions: str, grant: str = GRANT) -> Rules:
    """One rule for each text of conditions."""
    return parse_rules("".join(f"[[rule]]\n{one}\n{grant}" for one in conditions), parse_authorizations)


def numbers(found: Rules, **identity: Any) -> list[int]:
    return [rule.number for rule in found.holding(Identity.of(**identity))]


def granted(text: str, **identity: Any) -> Authorizations:
    found = parse_rules(text, parse_authorizations)
    return parse_authorizations(answer(found.holding(Identity.of(**identity))))


# ----------------------------------------------------------------------------------------------------------- conditions


def test_a_secret_holds_as_text_and_as_its_sha256() -> None:
    digest = sha256(b"s3cret").hexdigest()
    found = rules('secret = "s3cret"', f'secret_sha256 = "{digest}"', f'secret_sha256 = "{digest.upper()}"')

    assert numbers(found, secret="s3cret") == [1, 2, 3]
    assert numbers(found, secret="s3cre") == []
    assert numbers(found, secret="") == []
    assert numbers(found, secret=digest) == []


def test_a_common_name_is_compared_whole() -> None:
    found = rules('common_name = "web.example"')

    assert numbers(found, common_name="web.example") == [1]
    assert numbers(found, common_name="web.example.org") == []
    assert numbers(found) == []


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.1.2.3", "11.0.0.1"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "::1"),
        ("fd00::/8", "fd00::1", "10.1.2.3"),
        ("0.0.0.0/0", "1.2.3.4", ""),
        ("::/0", "::1", "not an address"),
    ],
)
def test_an_address_is_within_a_network_or_not(network: str, inside: str, outside: str) -> None:
    found = rules(f'remote_ip = "{network}"')

    assert numbers(found, remote_ip=inside) == [1]
    assert numbers(found, remote_ip=outside) == []


def test_tls_may_be_asked_for_or_ruled_out() -> None:
    found = rules("tls = true", "tls = false")

    assert numbers(found, tls=True) == [1]
    assert numbers(found, tls=False) == [2]


def test_all_conditions_of_a_rule_have_to_hold() -> None:
    found = rules('secret = "s"\ncommon_name = "c"\nremote_ip = "10.0.0.0/8"\ntls = true')
    whole: dict[str, Any] = {"secret": "s", "common_name": "c", "remote_ip": "10.0.0.1", "tls": True}

    assert numbers(found, **whole) == [1]
    for key, wrong in {"secret": "x", "common_name": "x", "remote_ip": "1.1.1.1", "tls": False}.items():
        identity = Identity.of(**(whole | {key: wrong}))
        assert found.holding(identity) == []
        assert found.rules[0].misses(identity) == [key]


@given(st.text(), st.text(), st.text(), st.booleans())
def test_any_identity_is_compared_without_an_error(secret: str, common_name: str, remote_ip: str, tls: bool) -> None:
    found = rules('secret = "s\u00e9"', 'remote_ip = "0.0.0.0/0"')

    assert 1 not in numbers(found, secret=f"{secret}x", common_name=common_name, remote_ip=remote_ip, tls=tls)


# -------------------------------------------------------------------------------------------------------------- answers


def test_the_answer_is_what_nsqd_expects() -> None:
    found = rules('secret = "s"\nidentity = "web"\nidentity_url = "https://x"\nttl = 60')

    assert json.loads(answer(found.holding(Identity.of(secret="s")))) == {
        "ttl": 60,
        "identity": "web",
        "identity_url": "https://x",
        "authorizations": [{"permissions": ["publish", "subscribe"], "topic": "^clicks$", "channels": [".*"]}],
    }


def test_all_rules_that_hold_add_up_and_the_shortest_ttl_is_in_force() -> None:
    may = granted(
        """
        [[rule]]
        remote_ip = "10.0.0.0/8"
        topics = ["^a$", "^b$"]
        permissions = ["subscribe"]

        [[rule]]
        secret = "s"
        identity = "first"
        ttl = 90
        topics = ["^c$"]
        permissions = ["publish"]

        [[rule]]
        secret = "s"
        identity = "second"
        ttl = 100
        topics = ["^d$"]
        permissions = ["publish"]

        [[rule]]
        secret = "other"
        topics = ["^e$"]
        permissions = ["publish"]
        """,
        secret="s",
        remote_ip="10.0.0.1",
    )

    assert (may.identity, may.ttl_s, may.permission_count) == ("first", 90, 4)
    assert [may.may_publish(topic) for topic in "abcde"] == [False, False, True, True, False]
    assert [may.may_subscribe(topic, "x") for topic in "abcde"] == [True, True, False, False, False]


def test_channels_restrict_subscribing_and_leave_publishing_alone() -> None:
    may = granted(f'[[rule]]\nsecret = "s"\nchannels = ["^archive$"]\n{GRANT}', secret="s")

    assert may.may_publish("clicks")
    assert may.may_subscribe("clicks", "archive")
    assert not may.may_subscribe("clicks", "other")


def test_a_permission_that_is_not_given_is_not_granted() -> None:
    text = '[[rule]]\nsecret = "s"\ntopics = ["."]\npermissions = ["{}"]\n'
    publisher, subscriber = (granted(text.format(one), secret="s") for one in ("publish", "subscribe"))

    assert (publisher.may_publish("t"), publisher.may_subscribe("t", "c")) == (True, False)
    assert (subscriber.may_publish("t"), subscriber.may_subscribe("t", "c")) == (False, True)


def test_more_entries_than_an_nsqd_should_be_told_are_refused() -> None:
    topics = json.dumps([f"^t{number}$" for number in range(100)])
    found = rules(*['secret = "s"'] * 11, grant=f'topics = {topics}\npermissions = ["publish"]\n')

    assert parse_authorizations(answer(found.rules[:10])).permission_count == ENTRIES_MAX
    with pytest.raises(TooManyEntries, match="11 rules"):
        answer(found.rules)


# ------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no rule"),
        ("rule = 5", "tables"),
        ("rule = [5]", "tables"),
        ("[[rule]", "TOML"),
        ("a = " + "[" * 100_000, "TOML"),
        ("[[rules]]", "did you mean rule"),
        (f"[[rule]]\n{GRANT}", "rule 1 has no condition"),
        (f'[[rule]]\nsecert = "s"\n{GRANT}', "did you mean secret"),
        (f'[[rule]]\nsecret = ""\n{GRANT}', "secret is a text"),
        (f"[[rule]]\nsecret = 5\n{GRANT}", "secret is a text"),
        (f'[[rule]]\nsecret = "s"\nsecret_sha256 = "{"0" * 64}"\n{GRANT}', "both"),
        (f'[[rule]]\nsecret_sha256 = "abc"\n{GRANT}', "64 hexadecimal"),
        (f'[[rule]]\nremote_ip = "10.0.0.1/8"\n{GRANT}', "host bits"),
        (f'[[rule]]\nremote_ip = "localhost"\n{GRANT}', "no address or network"),
        (f"[[rule]]\ntls = 1\n{GRANT}", "tls is true or false"),
        (f"[[rule]]\ntls = true\nttl = 0\n{GRANT}", "ttl is"),
        (f"[[rule]]\ntls = true\nttl = true\n{GRANT}", "ttl is"),
        (f"[[rule]]\ntls = true\nttl = 1.5\n{GRANT}", "ttl is"),
        ('[[rule]]\ntls = true\npermissions = ["publish"]', "topics is a list"),
        ('[[rule]]\ntls = true\ntopics = []\npermissions = ["publish"]', "topics is a list"),
        ('[[rule]]\ntls = true\ntopics = ["a"]', "permissions is a list"),
        ('[[rule]]\ntls = true\ntopics = ["a"]\npermissions = ["pub"]', "'pub' is unknown"),
        ('[[rule]]\ntls = true\ntopics = ["a"]\nchannels = ["b"]\npermissions = ["publish"]', "without the permission"),
        ('[[rule]]\ntls = true\ntopics = ["("]\npermissions = ["publish"]', "rule 1: nsqd would refuse it"),
        ('[[rule]]\ntls = true\ntopics = ["(a+)+"]\npermissions = ["publish"]', "rule 1: nsqd would refuse it"),
    ],
    ids=lambda text: text[:40],
)
def test_a_mistake_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(BadRules) as refused:
        parse_rules(text, parse_authorizations)

    assert reason in str(refused.value)


def test_the_rule_that_is_wrong_is_named() -> None:
    with pytest.raises(BadRules, match="rule 2: ttl"):
        rules("tls = true", "tls = true\nttl = 0")


def test_an_error_does_not_tell_a_secret() -> None:
    with pytest.raises(BadRules) as refused:
        rules('secret = "hunter2"\nttl = 0')

    assert "hunter2" not in str(refused.value)
