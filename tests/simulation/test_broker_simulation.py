"""Whole brokers on a fake clock and a failing disk, one history per seed: nothing acknowledged is lost.

A failure prints its seed and the last steps; `Simulation(<seed>).run(STEPS)` repeats it.
"""

import pytest

from millstream.testing.simulation import Simulation

STEPS = 400
SEEDS_PER_TEST = 20


@pytest.mark.parametrize("first_seed", range(0, 400, SEEDS_PER_TEST))
def test_nothing_acknowledged_is_lost_and_the_books_agree_after_each_step(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + SEEDS_PER_TEST):
        Simulation(seed).run(STEPS)
