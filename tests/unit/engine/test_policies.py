"""Entries of policies, and what several of them say of one name."""

import pytest

from millstream.base.errors import OptionError
from millstream.base.options import from_mapping, to_table
from millstream.engine.policies import NO_POLICY, Overflow, Policy, PolicyBook, PolicyEntry, dead_letter_name
from millstream.protocol.names import is_valid_name


def test_an_entry_is_read_as_people_write_it_and_written_back() -> None:
    values: dict[str, object] = {
        "topic": "clicks*",
        "channel": "archive",
        "max_depth": 1_000,
        "max_bytes": "10MiB",
        "max_age": "1h30m",
        "overflow": "dead_letter",
        "max_attempts": 5,
        "dead_letter_topic": "graveyard",
    }

    entry = from_mapping(PolicyEntry, values)

    assert (entry.max_bytes, entry.max_age_ms, entry.place) == (10 << 20, 5_400_000, ("clicks*", "archive"))
    assert to_table(entry) == values | {"max_bytes": 10 << 20, "max_age": "1h30m0s"}
    assert from_mapping(PolicyEntry, to_table(entry)) == entry


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_depth": 1}, "topic is missing"),
        ({"topic": "a b", "max_depth": 1}, 'topic "a b" matches no name'),
        ({"topic": "t" * 129, "max_depth": 1}, "matches no name"),
        ({"topic": "t", "channel": "", "max_depth": 1}, "channel is missing"),
        ({"topic": "t"}, "sets nothing: give one of max_depth, max_bytes, max_age, overflow"),
        ({"topic": "t", "max_depth": -1}, "max_depth is -1, out of bounds: use at least 0"),
        ({"topic": "t", "max_attempts": 65_535}, "max_attempts is 65535, out of bounds"),
        ({"topic": "t", "overflow": "panic"}, "use one of reject, drop_oldest, dead_letter"),
        ({"topic": "t", "channel": "c", "retain_age": "1h"}, "retain_age and retain_bytes are of a topic"),
        ({"topic": "t", "dead_letter_topic": "no name"}, "is no name of a topic that lasts"),
        ({"topic": "t", "dead_letter_topic": "d#ephemeral"}, "is no name of a topic that lasts"),
        ({"topic": "t", "max_dept": 1}, "unknown key max_dept: did you mean max_depth?"),
    ],
)
def test_an_entry_that_cannot_work_is_refused_with_the_fix(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        from_mapping(PolicyEntry, values)

    assert message in str(caught.value)


def test_without_entries_nothing_holds() -> None:
    book = PolicyBook()

    assert book.is_empty
    assert book.of_topic("t") == book.of_channel("t", "c") == NO_POLICY
    assert NO_POLICY.is_nothing


def test_later_entries_win_key_by_key_and_those_over_http_come_last() -> None:
    config = [
        PolicyEntry(topic="*", max_depth=100, max_attempts=5, max_age_ms=1_000),
        PolicyEntry(topic="clicks*", channel="arch*", max_depth=200),
        PolicyEntry(topic="clicks.eu", max_attempts=0),
    ]
    book = PolicyBook(config, [PolicyEntry(topic="clicks.eu", channel="archive", max_age_ms=0)])

    archive = book.of_channel("clicks.eu", "archive")

    assert (archive.max_depth, archive.max_attempts, archive.max_age_ns) == (200, 0, 0)
    assert book.of_channel("clicks.eu", "other").max_depth == 100
    assert book.of_channel("clicks", "archive").max_attempts == 5
    assert book.of_channel("spam", "archive") == Policy(
        max_depth=100, max_attempts=5, max_age_ns=10**9, dead_letter_topic="spam.archive.dead", is_given=True
    )


def test_a_topic_has_what_is_said_without_a_channel() -> None:
    entries = [
        PolicyEntry(topic="t", max_bytes=500, retain_age_ms=2_000, retain_bytes=7, max_attempts=3),
        PolicyEntry(topic="t", channel="*", max_depth=9),
    ]
    book = PolicyBook(entries)

    assert book.of_topic("t") == Policy(max_bytes=500, retain_age_ns=2 * 10**9, retain_bytes=7, is_given=True)
    assert not book.of_channel("t", "c").retains
    assert book.of_topic("other") == NO_POLICY


def test_a_topic_that_only_has_attempts_set_has_no_policy_of_its_own() -> None:
    book = PolicyBook([PolicyEntry(topic="*", max_attempts=3)])

    assert book.of_topic("t").is_nothing
    assert not book.of_topic("t").is_given
    assert book.of_channel("t", "c").is_given


def test_dead_letters_have_a_topic_named_after_their_channel_or_a_chosen_one() -> None:
    entries = [
        PolicyEntry(topic="*", max_attempts=3),
        PolicyEntry(topic="b", overflow="dead_letter"),
        PolicyEntry(topic="c", channel="x", dead_letter_topic="graveyard"),
    ]
    book = PolicyBook(entries)

    assert book.of_channel("a", "x").dead_letter_topic == book.dead_letter_topic("a", "x") == "a.x.dead"
    assert book.of_topic("b").dead_letter_topic == book.dead_letter_topic("b", "") == "b.dead"
    assert book.of_channel("c", "x").dead_letter_topic == book.dead_letter_topic("c", "x") == "graveyard"
    assert book.dead_letter_topic("unheard-of", "x") == "unheard-of.x.dead"
    assert book.dead_letter_topic("c", "") == "c.dead"


@pytest.mark.parametrize(("topic", "channel"), [("t#ephemeral", "c"), ("t", "c#ephemeral")])
def test_what_is_ephemeral_drops_its_oldest_and_has_no_dead_letters(topic: str, channel: str) -> None:
    book = PolicyBook([PolicyEntry(topic="*", max_depth=5, max_attempts=3, overflow="dead_letter")])

    policy = book.of_channel(topic, channel)

    assert (policy.max_attempts, policy.overflow, policy.dead_letter_topic) == (0, Overflow.DROP_OLDEST, "")


@pytest.mark.parametrize("topic", ["clicks.archive.dead", "graveyard"])
def test_dead_letters_are_not_buried_again(topic: str) -> None:
    entries = [
        PolicyEntry(topic="*", max_depth=5, max_attempts=3, overflow="dead_letter"),
        PolicyEntry(topic="spam", dead_letter_topic="graveyard"),
    ]
    policy = PolicyBook(entries).of_channel(topic, "dead")

    assert (policy.max_attempts, policy.overflow, policy.dead_letter_topic) == (0, Overflow.REJECT, "")
    assert policy.max_depth == 5


def test_a_derived_name_is_always_a_name() -> None:
    names = {dead_letter_name("t" * size, "c" * other) for size in range(1, 65) for other in range(65)}

    assert all(is_valid_name(name) and name.endswith(".dead") for name in names)
    assert dead_letter_name("t", "c") == "t.c.dead"
    assert dead_letter_name("t" * 60, "a") != dead_letter_name("t" * 60, "b")
