"""Whole brokers under policies, one history per seed: what is gone was finished, dropped and counted, or dead-lettered.

A failure prints its seed and the last steps; `LimitedSimulation(<seed>).run(STEPS)` repeats it, and
`LimitedSimulation(<seed>, power_fails=True).run(POWER_STEPS)` one in which the power failed.
"""

import pytest

from millstream.testing.limited_simulation import LimitedSimulation

STEPS = 400
POWER_STEPS = 300
SEEDS_PER_TEST = 20


@pytest.mark.parametrize("first_seed", range(0, 320, SEEDS_PER_TEST))
def test_what_is_gone_was_finished_or_counted_or_is_a_dead_letter(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + SEEDS_PER_TEST):
        LimitedSimulation(seed).run(STEPS)


@pytest.mark.parametrize("first_seed", range(0, 200, SEEDS_PER_TEST))
def test_a_loss_of_power_leaves_a_message_or_its_letter(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + SEEDS_PER_TEST):
        LimitedSimulation(seed, power_fails=True).run(POWER_STEPS)


@pytest.mark.parametrize("seed", [1282])
def test_seeds_that_failed_once(seed: int) -> None:
    LimitedSimulation(seed).run(STEPS)


@pytest.mark.parametrize("seed", [2021, 2504, 2848])
def test_seeds_that_failed_once_by_a_loss_of_power(seed: int) -> None:
    LimitedSimulation(seed, power_fails=True).run(POWER_STEPS)
