"""The simulation under policies finds what it is there for: a message that is neither here nor there."""

import pytest

from millstream.engine.topic import Topic
from millstream.testing.expectation import Contradiction
from millstream.testing.limited_simulation import LimitedSimulation

SEEDS = range(20)


def test_a_seed_always_tells_the_same_story() -> None:
    first, second = LimitedSimulation(7), LimitedSimulation(7)

    first.run(60)
    second.run(60)

    assert list(first.journal) == list(second.journal)
    assert first.book.config == second.book.config


class WithoutLetters(LimitedSimulation):
    """Its broker finishes what is doomed, and writes nothing."""

    def _settle(self) -> None:
        for topic in self.broker.topics.values():
            for channel in topic.channels.values():
                for sequence in list(channel.doomed):
                    del channel.doomed[sequence]
                    channel.window.drop(sequence)
                    channel.window.advance()
        super()._settle()


class Hasty(LimitedSimulation):
    """Its broker takes letters for durable as soon as they are appended."""

    def _settle(self) -> None:
        for batch in self.broker.dead_letters._batches:  # noqa: SLF001 - breaks it on purpose
            batch.until = 0
        super()._settle()


class Secretive(LimitedSimulation):
    """Its broker does not count what it drops."""

    def _settle(self) -> None:
        for topic in self.broker.topics.values():
            for channel in topic.channels.values():
                channel.dropped_count = 0
        super()._settle()


class Forgetful(LimitedSimulation):
    """Its broker loses what was put back, whenever it is to be saved."""

    def save(self) -> None:
        for topic in self.broker.topics.values():
            forget_what_was_put_back(topic)
        super().save()


def forget_what_was_put_back(topic: Topic) -> None:
    for channel in topic.channels.values():
        for sequence in [found for found in channel.redriven if found in channel.redelivery]:
            line = [found for found in channel.redelivery if found != sequence]
            channel.redelivery.clear()
            channel.redelivery.extend(line)
            channel.stragglers.finish(sequence)


def run_all(broken: type[LimitedSimulation]) -> None:
    for seed in SEEDS:
        broken(seed).run(300)


@pytest.mark.parametrize("broken", [WithoutLetters, Hasty, Secretive, Forgetful])
def test_a_broker_that_loses_a_message_is_found_out(broken: type[LimitedSimulation]) -> None:
    with pytest.raises(Contradiction, match=r"seed \d+ \(\w+\): .*; after:"):
        run_all(broken)
