import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from millstream.nsqlookupd.records import NEVER_NS, Producer, RegistryStats, lookup_version
from millstream.nsqlookupd.registry import Registry, RegistryFull
from millstream.protocol.lookup import Identity

MS = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def wall_ns(self) -> int:
        return self.now_ns + 5

    def monotonic_ns(self) -> int:
        return self.now_ns

    def advance(self, ms: int) -> None:
        self.now_ns += ms * MS


def producer(number: int) -> Producer:
    identity = Identity(broadcast_address=f"host{number}", tcp_port=4150, http_port=4151, version="1.3.0")
    return Producer(connection_id=number, remote_address=f"10.0.0.{number}:5000", identity=identity)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Registry:
    registry = Registry(clock, inactive_after_ms=300_000, tombstone_lifetime_ms=45_000)
    for number in (1, 2):
        registry.identify(producer(number))
    return registry


def found(registry: Registry, topic: str) -> list[int]:
    lookup = registry.lookup(topic)
    assert lookup is not None
    return [one.connection_id for one in lookup.producers]


def test_an_unknown_topic_is_not_found(registry: Registry) -> None:
    assert registry.lookup("t") is None
    assert registry.channels("t") == []


def test_registering_a_channel_registers_its_topic(registry: Registry) -> None:
    registry.register(1, "t", "c")

    lookup = registry.lookup("t")
    assert lookup is not None
    assert (lookup.channels, [one.connection_id for one in lookup.producers]) == (["c"], [1])
    assert registry.topics() == ["t"]


def test_registering_twice_changes_nothing(registry: Registry) -> None:
    registry.register(1, "t", "c")
    entries = registry.entries

    registry.register(1, "t", "c")
    registry.register(1, "t")

    assert registry.entries == entries
    assert found(registry, "t") == [1]


def test_a_peer_that_has_not_identified_registers_nothing(registry: Registry) -> None:
    registry.register(9, "t", "c")
    registry.ping(9)

    assert registry.topics() == []


def test_a_topic_stays_known_after_its_last_nsqd_has_gone(registry: Registry) -> None:
    registry.register(1, "t", "c")
    registry.register(1, "e#ephemeral", "x#ephemeral")

    registry.disconnect(1)

    assert found(registry, "t") == []
    assert registry.channels("t") == ["c"]
    assert registry.topics() == ["t", "e#ephemeral"]
    assert registry.channels("e#ephemeral") == ["x#ephemeral"]


def test_unregistering_a_channel_leaves_the_topic(registry: Registry) -> None:
    registry.register(1, "t", "c")

    registry.unregister(1, "t", "c")

    assert found(registry, "t") == [1]
    assert registry.channels("t") == ["c"]


def test_an_ephemeral_channel_goes_with_its_last_nsqd(registry: Registry) -> None:
    registry.register(1, "t", "c#ephemeral")
    registry.register(2, "t", "c#ephemeral")

    registry.unregister(1, "t", "c#ephemeral")
    assert registry.channels("t") == ["c#ephemeral"]

    registry.unregister(2, "t", "c#ephemeral")
    assert registry.channels("t") == []


def test_unregistering_a_topic_takes_the_nsqd_off_its_channels(registry: Registry) -> None:
    registry.register(1, "t", "c")

    registry.unregister(1, "t")

    assert found(registry, "t") == []
    assert registry.channels("t") == ["c"]
    assert [one.key for one in registry.registrations()] == ["client::", "client::"]


def test_an_ephemeral_topic_goes_with_its_last_nsqd(registry: Registry) -> None:
    registry.register(1, "t#ephemeral", "c")

    registry.unregister(1, "t#ephemeral")

    assert registry.topics() == []


def test_unregistering_what_nobody_has_is_no_error(registry: Registry) -> None:
    registry.register(1, "t", "c")

    registry.unregister(2, "t", "c")
    registry.unregister(2, "t", "other")
    registry.unregister(2, "t")
    registry.unregister(2, "other")

    assert found(registry, "t") == [1]


def test_an_nsqd_that_does_not_ping_is_left_out_until_it_does(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t")
    clock.advance(300_000)
    assert found(registry, "t") == [1]

    clock.advance(1)
    assert found(registry, "t") == []
    assert registry.nodes() == []

    registry.ping(1)
    assert found(registry, "t") == [1]
    assert [node.producer.connection_id for node in registry.nodes()] == [1]


def test_a_tombstone_hides_an_nsqd_from_one_topic_for_its_lifetime(registry: Registry, clock: Clock) -> None:
    for topic in ("t", "other"):
        registry.register(1, topic)
        registry.register(2, topic)

    registry.tombstone("t", "host1:4151")

    assert found(registry, "t") == [2]
    assert found(registry, "other") == [1, 2]
    assert [node.tombstones for node in registry.nodes()] == [[True, False], [False, False]]

    clock.advance(45_000)
    assert found(registry, "t") == [1, 2]
    assert [one.is_tombstoned for one in registry.registrations() if one.key == "topic:t:"] == [True, False]


def test_a_tombstone_for_an_unknown_node_or_topic_hides_nobody(registry: Registry) -> None:
    registry.register(1, "t")

    registry.tombstone("t", "host1:4150")
    registry.tombstone("unknown", "host1:4151")

    assert found(registry, "t") == [1]


def test_registering_again_does_not_lift_a_tombstone_but_reconnecting_does(registry: Registry) -> None:
    registry.register(1, "t")
    registry.tombstone("t", "host1:4151")

    registry.register(1, "t", "c")
    assert found(registry, "t") == []

    registry.disconnect(1)
    registry.identify(producer(3))
    registry.register(3, "t")
    assert found(registry, "t") == [3]


def test_what_is_created_by_hand_has_no_producers(registry: Registry) -> None:
    registry.create_channel("t", "c")
    registry.create_topic("u")

    assert found(registry, "t") == []
    assert registry.channels("t") == ["c"]
    assert registry.topics() == ["t", "u"]


def test_deleting_a_topic_forgets_its_channels_and_nothing_else(registry: Registry) -> None:
    registry.register(1, "t", "c")
    registry.register(1, "u", "c")

    registry.delete_topic("t")

    assert registry.lookup("t") is None
    assert registry.topics() == ["u"]
    assert [node.topics for node in registry.nodes()] == [["u"], []]


def test_a_star_is_no_wildcard(registry: Registry) -> None:
    registry.register(1, "t", "c")

    registry.delete_topic("*")
    registry.tombstone("*", "host1:4151")

    assert registry.lookup("*") is None
    assert registry.channels("*") == []
    assert not registry.delete_channel("t", "*")
    assert found(registry, "t") == [1]


def test_deleting_a_channel_says_whether_there_was_one(registry: Registry) -> None:
    registry.register(1, "t", "c")

    assert registry.delete_channel("t", "c")
    assert not registry.delete_channel("t", "c")
    assert not registry.delete_channel("u", "c")
    assert found(registry, "t") == [1]


def test_registrations_show_both_instants(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t")
    registry.tombstone("t", "host1:4151")

    by_key = {one.key: one for one in registry.registrations() if one.producer.connection_id == 1}

    assert by_key["topic:t:"].last_update_ns == clock.wall_ns()
    assert by_key["topic:t:"].tombstoned_ns == clock.wall_ns()
    assert by_key["client::"].tombstoned_ns == NEVER_NS


def test_a_full_registry_refuses_and_keeps_what_it_has(clock: Clock) -> None:
    registry = Registry(clock, inactive_after_ms=1000, tombstone_lifetime_ms=1000, entries_max=8)
    registry.identify(producer(1))
    registry.register(1, "t", "c")
    registry.register(1, "u", "c")

    with pytest.raises(RegistryFull):
        registry.register(1, "v")
    with pytest.raises(RegistryFull):
        registry.create_topic("v")
    with pytest.raises(RegistryFull):
        registry.create_channel("t", "d")

    assert registry.topics() == ["t", "u"]
    registry.delete_topic("t")
    registry.register(1, "v")
    assert registry.topics() == ["u", "v"]


@pytest.mark.parametrize("seed", range(20))
def test_entries_add_up_after_any_history(seed: int, clock: Clock) -> None:
    registry = Registry(clock, inactive_after_ms=1000, tombstone_lifetime_ms=1000)
    rng = random.Random(seed)

    for _ in range(300):
        peer = rng.randrange(4)
        topic, channel = rng.choice(["t", "u", "e#ephemeral"]), rng.choice(["", "c", "x#ephemeral"])
        match rng.randrange(11):
            case 9:
                if rng.random() < 0.1:
                    kept = registry.keep()
                    registry = Registry(clock, inactive_after_ms=1000, tombstone_lifetime_ms=1000)
                    registry.restore(kept)
            case 10:
                registry.ping(peer)
                clock.advance(rng.randrange(300))
                registry.forget_restored()
            case 0:
                if peer not in {one.producer.connection_id for one in registry.registrations()}:
                    registry.identify(producer(peer))
            case 1:
                registry.disconnect(peer)
            case 2 | 3 | 4:
                registry.register(peer, topic, channel)
            case 5 | 6:
                registry.unregister(peer, topic, channel)
            case 7:
                registry.delete_topic(topic)
            case _:
                registry.delete_channel(topic, channel)
        keys = len(registry.topics()) + sum(len(registry.channels(name)) for name in registry.topics())
        held = sum(one.key != "client::" for one in registry.registrations())
        assert registry.entries == keys + held, f"seed={seed}"
        for node in registry.nodes():
            assert all(node.producer.connection_id in found(registry, name) for name in node.topics), f"seed={seed}"


def reopened(registry: Registry, clock: Clock) -> Registry:
    """The registry after a restart."""
    again = Registry(clock, inactive_after_ms=300_000, tombstone_lifetime_ms=45_000)
    again.restore(registry.keep())
    return again


def back(number: int, connection_id: int) -> Producer:
    return replace(producer(number), connection_id=connection_id, remote_address="10.0.0.9:6000")


def test_what_is_restored_is_found_at_once(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t", "c")
    registry.create_channel("u", "d")

    again = reopened(registry, clock)

    lookup = again.lookup("t")
    assert lookup is not None
    assert lookup.channels == ["c"]
    assert [one.identity for one in lookup.producers] == [producer(1).identity]
    assert (again.topics(), again.channels("u")) == (["t", "u"], ["d"])
    assert again.entries == registry.entries
    assert again.stats().restored_producers == 2


def test_an_nsqd_that_returns_takes_its_topics_over_one_by_one(registry: Registry, clock: Clock) -> None:
    for topic in ("t", "u", "gone"):
        registry.register(1, topic, "c")
    again = reopened(registry, clock)
    versions = [lookup_version(again.lookup(topic)) for topic in ("t", "u")]

    again.identify(back(1, 7))
    assert [node.producer.connection_id for node in again.nodes()] == [-2, 7]
    again.register(7, "t", "c")
    assert (found(again, "t"), found(again, "u")) == ([7], [-1])
    again.register(7, "u", "c")
    again.ping(7)

    assert (found(again, "t"), found(again, "u"), found(again, "gone")) == ([7], [7], [])
    assert [lookup_version(again.lookup(topic)) for topic in ("t", "u")] == versions
    assert again.stats().restored_producers == 1


def test_an_nsqd_that_breaks_off_while_it_returns_is_still_known(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t")
    registry.register(1, "u")
    again = reopened(registry, clock)
    again.identify(back(1, 7))
    again.register(7, "t")

    again.disconnect(7)

    assert (found(again, "t"), found(again, "u")) == ([], [-1])
    again.identify(back(1, 8))
    again.register(8, "u")
    again.ping(8)
    assert found(again, "u") == [8]
    assert again.stats().producers == 2


def test_restored_producers_that_do_not_return_become_inactive(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t", "c#ephemeral")
    registry.register(1, "e#ephemeral")
    registry.register(2, "t")
    clock.advance(1_000)
    registry.ping(2)
    again = reopened(registry, clock)

    clock.advance(299_500)
    assert found(again, "t") == [-2]
    assert again.forget_restored() == 1
    clock.advance(501)
    assert found(again, "t") == []
    assert again.forget_restored() == 1

    assert (again.topics(), again.channels("t"), again.entries) == (["t"], [], 1)
    assert again.keep().producers == ()


def test_a_tombstone_outlives_a_restart_and_the_return_of_its_nsqd(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t")
    registry.tombstone("t", "host1:4151")
    clock.advance(40_000)
    again = reopened(registry, clock)
    assert found(again, "t") == []

    again.identify(back(1, 7))
    again.register(7, "t")
    assert found(again, "t") == []

    clock.advance(5_000)
    assert found(again, "t") == [7]


def test_ephemeral_names_that_nobody_has_are_not_kept(registry: Registry) -> None:
    registry.create_topic("e#ephemeral")
    registry.create_channel("t", "c#ephemeral")

    assert registry.keep().topics == {"t": ()}


def test_time_changes_a_lookup_when_it_says_so(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t")
    assert registry.next_change_ns("unknown") is None
    registry.tombstone("t", "host1:4151")
    for change in (45_000 * MS, 255_000 * MS + 1):
        before = found(registry, "t")
        assert registry.next_change_ns("t") == change
        clock.now_ns += change - 1
        assert found(registry, "t") == before
        clock.now_ns += 1
        assert found(registry, "t") != before

    assert registry.next_change_ns("t") is None


def test_listeners_hear_of_each_change(registry: Registry, clock: Clock) -> None:
    heard: list[str] = []
    registry.watch(heard.append)

    def after(change: Callable[[], object]) -> set[str]:
        heard.clear()
        change()
        return set(heard)

    assert after(lambda: registry.register(1, "t", "c")) == {"t"}
    assert after(lambda: registry.ping(1)) == set()
    clock.advance(300_001)
    assert after(lambda: registry.ping(1)) == {"t"}
    assert after(lambda: registry.tombstone("t", "host1:4151")) == {"t"}
    assert after(lambda: registry.unregister(1, "t", "c")) == {"t"}
    assert after(lambda: registry.delete_channel("t", "c")) == {"t"}
    assert after(lambda: registry.create_topic("u")) == {"u"}
    assert after(lambda: registry.create_channel("u", "d")) == {"u"}
    assert after(lambda: registry.disconnect(1)) == {"t"}
    assert after(lambda: registry.delete_topic("t")) == {"t"}


def test_the_figures_tell_the_dead_and_the_hidden_apart(registry: Registry, clock: Clock) -> None:
    registry.register(1, "t", "c")
    registry.register(2, "t")
    clock.advance(300_000)
    registry.ping(1)
    clock.advance(1)
    registry.tombstone("t", "host1:4151")

    assert registry.stats() == RegistryStats(
        topics=1, channels=1, producers=2, active_producers=1, restored_producers=0, tombstones=1, entries=5
    )
