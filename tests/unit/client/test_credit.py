"""`client.credit`: RDY over connections, in sum never above the budget, whatever happens."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.client.credit import Credit, Flow, Rdy


def credit(max_in_flight: int, chance: float = 0.0) -> Credit[str]:
    return Credit(
        max_in_flight, low_rdy_idle_timeout_ms=10_000, low_rdy_timeout_ms=30_000, random_fraction=lambda: chance
    )


def test_a_single_connection_gets_all() -> None:
    assert credit(5).join("a", cap=2500, now_ms=0) == [Rdy("a", 5)]


def test_no_connection_gets_more_than_its_nsqd_allows() -> None:
    one = credit(5_000)

    assert one.join("a", cap=2500, now_ms=0) == [Rdy("a", 2500)]
    assert one.join("b", cap=2500, now_ms=0) == [Rdy("b", 2500)]


def test_what_one_may_not_take_goes_to_the_others() -> None:
    one = credit(100)
    one.join("a", cap=10, now_ms=0)
    one.join("b", cap=2500, now_ms=0)

    assert (one.rdy("a"), one.rdy("b")) == (10, 90)


def test_others_are_lowered_before_a_new_one_is_raised() -> None:
    one = credit(10)
    one.join("a", cap=2500, now_ms=0)

    assert one.join("b", cap=2500, now_ms=0) == [Rdy("a", 5), Rdy("b", 5)]


def test_what_a_lost_connection_had_goes_to_the_others() -> None:
    one = credit(10)
    one.join("a", cap=2500, now_ms=0)
    one.join("b", cap=2500, now_ms=0)

    assert one.leave("a", now_ms=0) == [Rdy("b", 10)]
    assert one.leave("a", now_ms=0) == []


def test_unchanged_values_are_not_sent_again() -> None:
    one = credit(10)
    one.join("a", cap=2500, now_ms=0)

    assert one.resize(10, now_ms=0) == []
    assert one.redistribute(now_ms=5_000) == []


def test_a_connection_that_delivers_more_gets_more() -> None:
    one = credit(100)
    one.join("a", cap=2500, now_ms=0)
    one.join("b", cap=2500, now_ms=0)
    one.note_delivery("a", 1_000, now_ms=1)
    changes = one.redistribute(now_ms=5_000)

    assert changes[0].key == "b"
    assert one.rdy("a") + one.rdy("b") == 100
    assert one.rdy("a") > 70
    assert one.rdy("b") > 20


def test_with_more_connections_than_budget_some_have_none() -> None:
    one = credit(2)
    for key in "abc":
        one.join(key, cap=2500, now_ms=0)

    assert sorted(one.rdy(key) for key in "abc") == [0, 1, 1]


def test_scarce_rdy_passes_from_an_idle_connection_to_another() -> None:
    one = credit(1)
    one.join("a", cap=2500, now_ms=0)
    one.join("b", cap=2500, now_ms=0)

    assert one.redistribute(now_ms=9_999) == []
    assert one.redistribute(now_ms=10_000) == [Rdy("a", 0), Rdy("b", 1)]


def test_scarce_rdy_passes_on_from_a_busy_connection_that_held_it_long() -> None:
    one = credit(1)
    one.join("a", cap=2500, now_ms=0)
    one.join("b", cap=2500, now_ms=0)
    one.note_delivery("a", 1, now_ms=29_000)

    assert one.redistribute(now_ms=29_999) == []
    assert one.redistribute(now_ms=30_000) == [Rdy("a", 0), Rdy("b", 1)]


def test_stopping_takes_everything_and_a_probe_gives_one() -> None:
    one = credit(10)
    one.join("a", cap=2500, now_ms=0)
    one.join("b", cap=2500, now_ms=0)

    assert one.set_flow(Flow.STOPPED, now_ms=0) == [Rdy("a", 0), Rdy("b", 0)]
    assert one.set_flow(Flow.PROBE, now_ms=0) == [Rdy("a", 1)]
    assert one.set_flow(Flow.FULL, now_ms=0) == [Rdy("a", 5), Rdy("b", 5)]


def test_a_probe_without_connections_goes_to_the_first_that_comes() -> None:
    one = credit(10)
    one.set_flow(Flow.PROBE, now_ms=0)

    assert one.join("a", cap=2500, now_ms=0) == [Rdy("a", 1)]
    assert one.join("b", cap=2500, now_ms=0) == []


def test_a_budget_of_zero_stops_delivery() -> None:
    one = credit(3)
    one.join("a", cap=2500, now_ms=0)

    assert one.resize(0, now_ms=0) == [Rdy("a", 0)]
    assert one.set_flow(Flow.PROBE, now_ms=0) == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), budget=st.integers(0, 40))
def test_the_sum_is_within_the_budget_after_every_single_command(seed: int, budget: int) -> None:
    rng = random.Random(seed)
    one: Credit[int] = Credit(
        budget, low_rdy_idle_timeout_ms=10_000, low_rdy_timeout_ms=30_000, random_fraction=rng.random
    )
    sent: dict[int, int] = {}
    now_ms = 0
    for step in range(60):
        now_ms += rng.randrange(8_000)
        key = rng.randrange(8)
        match rng.choice(["join", "leave", "flow", "deliver", "tick", "resize"]):
            case "join":
                changes = one.join(step, cap=rng.randrange(1, 30), now_ms=now_ms)
                sent[step] = 0
            case "leave" if sent:
                lost = rng.choice(list(sent))
                del sent[lost]
                changes = one.leave(lost, now_ms=now_ms)
            case "flow":
                changes = one.set_flow(rng.choice(list(Flow)), now_ms=now_ms)
            case "resize":
                budget = rng.randrange(40)
                changes = one.resize(budget, now_ms=now_ms)
                # Lowering the budget takes one command per connection; from the last on it holds.
                for change in [change for change in changes if change.count < sent[change.key]]:
                    sent[change.key] = change.count
            case "tick":
                changes = one.redistribute(now_ms=now_ms)
            case _:
                one.note_delivery(key, rng.randrange(100), now_ms=now_ms)
                changes = []
        for change in changes:
            sent[change.key] = change.count
            assert sum(sent.values()) <= budget, f"seed={seed}"
        assert {key: one.rdy(key) for key in sent} == sent
        if one.flow is Flow.FULL and budget >= len(sent):
            assert all(sent.values())
