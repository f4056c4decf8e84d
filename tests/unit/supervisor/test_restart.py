from millstream.supervisor.restart import RestartCounter, RestartPolicy

POLICY = RestartPolicy(first_ms=100, factor=2, max_ms=1_000, stable_ms=5_000)


def test_the_delay_grows_up_to_its_limit() -> None:
    counter = RestartCounter(POLICY)

    assert [counter.exited(0) for _ in range(6)] == [100, 200, 400, 800, 1_000, 1_000]
    assert counter.total == 6


def test_the_delay_starts_over_after_a_stable_life() -> None:
    counter = RestartCounter(POLICY)
    counter.exited(0)
    counter.exited(0)

    assert counter.exited(5_000) == 100
    assert counter.exited(4_999) == 200


def test_a_process_that_fails_for_days_costs_no_huge_numbers() -> None:
    assert POLICY.delay_ms(10**9) == 1_000
