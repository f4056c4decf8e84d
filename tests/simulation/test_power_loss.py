"""Whole brokers whose machine loses power: the disk keeps what was synced, and any part of the rest.

A failure prints its seed and the last steps; `Simulation(<seed>, power_fails=True).run(STEPS)` repeats it.
"""

import pytest

from millstream.testing.simulation import Simulation

STEPS = 300
SEEDS_PER_TEST = 20


@pytest.mark.parametrize("first_seed", range(0, 1_000, SEEDS_PER_TEST))
def test_what_was_synced_before_its_ok_survives_a_loss_of_power(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + SEEDS_PER_TEST):
        Simulation(seed, power_fails=True).run(STEPS)
