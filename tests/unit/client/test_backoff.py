"""`client.backoff`: the counter, the pauses, and what is ignored."""

from millstream.client.backoff import Backoff, Leave, Pause, Result, Strategy


def backoff(
    *, duration_max_ms: int = 120_000, strategy: Strategy = Strategy.EXPONENTIAL, chance: float = 0.5
) -> Backoff:
    return Backoff(
        multiplier_ms=1_000, duration_max_ms=duration_max_ms, strategy=strategy, random_fraction=lambda: chance
    )


def test_successes_without_failures_change_nothing() -> None:
    one = backoff()

    assert one.take(Result.SUCCESS) is None
    assert one.take(Result.NEUTRAL) is None
    assert not one.is_active


def test_each_failure_doubles_the_pause_until_the_next_would_exceed_the_maximum() -> None:
    one = backoff()
    pauses = []
    for _ in range(8):
        action = one.take(Result.FAILURE)
        assert isinstance(action, Pause)
        pauses.append(action.duration_ms)
        one.resume()

    assert pauses == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000, 64_000]


def test_results_during_a_pause_do_not_count() -> None:
    one = backoff()
    one.take(Result.FAILURE)

    assert one.take(Result.FAILURE) is None
    assert one.take(Result.SUCCESS) is None
    assert one.counter == 1


def test_a_success_after_one_failure_leaves_backoff() -> None:
    one = backoff()
    one.take(Result.FAILURE)
    one.resume()

    assert one.take(Result.SUCCESS) == Leave()
    assert not one.is_active


def test_a_success_after_two_failures_pauses_for_the_shorter_time() -> None:
    one = backoff()
    for _ in range(2):
        one.take(Result.FAILURE)
        one.resume()

    assert one.take(Result.SUCCESS) == Pause(2_000)


def test_a_requeue_without_backoff_repeats_the_pause() -> None:
    one = backoff()
    one.take(Result.FAILURE)
    one.resume()

    assert one.take(Result.NEUTRAL) == Pause(2_000)
    assert one.counter == 1


def test_a_maximum_of_zero_switches_backoff_off() -> None:
    one = backoff(duration_max_ms=0)

    assert one.take(Result.FAILURE) is None
    assert not one.is_active


def test_full_jitter_pauses_for_a_part_of_the_exponential_time() -> None:
    one = backoff(strategy=Strategy.FULL_JITTER, chance=0.25)

    assert one.take(Result.FAILURE) == Pause(500)


def test_a_failure_that_would_pause_too_long_at_once_keeps_the_counter_at_zero() -> None:
    one = backoff(duration_max_ms=1_000)

    assert one.take(Result.FAILURE) is None
    assert not one.is_active
