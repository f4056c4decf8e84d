import pytest

from millstream.engine.channel import Channel
from millstream.engine.topic import Topic
from millstream.testing.expectation import Contradiction
from millstream.testing.simulation import Simulation


def test_a_seed_always_tells_the_same_story() -> None:
    first, second = Simulation(7), Simulation(7)

    first.run(60)
    second.run(60)

    assert list(first.journal) == list(second.journal)
    assert first.clock.monotonic_ns() == second.clock.monotonic_ns()


def test_seeds_differ_in_durability_and_steps() -> None:
    simulations = [Simulation(seed) for seed in range(12)]

    for simulation in simulations:
        simulation.run(20)

    assert {simulation.durability for simulation in simulations} == {"log", "fsync", "memory"}
    assert len({tuple(simulation.journal) for simulation in simulations}) == len(simulations)


class Forgetful(Simulation):
    """Its broker loses what waits for a delivery, whenever it is to be saved."""

    def save(self) -> None:
        super().save()
        for topic in self.broker.topics.values():
            forget_what_is_queued(topic)


def forget_what_is_queued(topic: Topic) -> None:
    for channel in topic.channels.values():
        assert isinstance(channel, Channel)
        channel.redelivery.clear()


def test_a_broker_that_forgets_is_found_out_and_the_seed_is_named() -> None:
    with pytest.raises(Contradiction, match=r"seed 0 \(\w+\): .*; after:"):
        Forgetful(0).run(400)
