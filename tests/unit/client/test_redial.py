"""`client.redial`: delays that grow, spread, and start anew."""

from millstream.client.redial import Redial


def redial(chance: float = 0.0) -> Redial:
    return Redial(delay_min_ms=100, delay_max_ms=500, random_fraction=lambda: chance)


def test_the_delay_doubles_up_to_the_maximum() -> None:
    one = redial()

    assert [one.next_delay_ms() for _ in range(5)] == [100, 200, 400, 500, 500]


def test_a_connection_that_held_out_starts_the_row_anew() -> None:
    one = redial()
    for _ in range(3):
        one.next_delay_ms()

    assert one.next_delay_ms(connected_ms=501) == 100


def test_a_connection_that_was_lost_soon_does_not() -> None:
    one = redial()
    one.next_delay_ms()

    assert one.next_delay_ms(connected_ms=50) == 200


def test_chance_shortens_the_delay_by_less_than_a_third() -> None:
    assert redial(chance=0.99).next_delay_ms() == 70
    assert redial(chance=0.5).next_delay_ms() == 85


def test_reset_starts_the_row_anew() -> None:
    one = redial()
    one.next_delay_ms()
    one.reset()

    assert one.next_delay_ms() == 100
