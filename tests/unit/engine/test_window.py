import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.engine.window import FINISHED, IN_FLIGHT, NEVER, QUEUED, SLOTS_MIN, Window

OWNER, OTHER = 7, 8


def window(count: int = 0, *, start: int = 100, slots_max: int = 1 << 20) -> Window:
    found = Window(start, slots_max)
    found.room(count)
    found.hold(count, OWNER, 5, 50)
    return found


def fins(*sequences: int) -> bytearray:
    return bytearray(b"".join(b"FIN %016x\n" % sequence for sequence in sequences))


def test_held_sequences_are_in_flight_with_attempts_1() -> None:
    held = window(3)

    assert [held.state_of(sequence) for sequence in (99, 100, 102, 103)] == [FINISHED, IN_FLIGHT, IN_FLIGHT, FINISHED]
    assert (held.owner_of(101), held.attempts_of(101), held.deadline_of(101), held.since_of(101)) == (OWNER, 1, 50, 5)
    assert (held.floor, held.cursor, held.in_flight, held.unfinished, held.next_deadline) == (100, 103, 3, 3, 50)


def test_the_floor_follows_only_what_is_finished_from_the_front() -> None:
    held = window(4)

    assert held.finish(101, OWNER)
    held.advance()
    blocked = held.floor
    assert held.finish(100, OWNER)
    held.advance()

    assert (blocked, held.floor, held.unfinished, held.late) == (100, 102, 2, 0)


def test_nobody_finishes_what_somebody_else_holds_or_nobody() -> None:
    held = window(2)

    assert not held.finish(100, OTHER)
    assert not held.finish(99, OWNER)
    assert not held.finish(102, OWNER)
    assert held.finish(100, OWNER)
    assert not held.finish(100, OWNER)


def test_a_run_of_fins_stops_at_the_first_that_fails() -> None:
    held = window(5)
    data = fins(100, 101, 500, 102)

    assert held.finish_run(data, 0, len(data), OWNER) == 42
    assert held.counted == 2
    assert held.finish_run(data, 42, len(data), OWNER) == 42
    assert held.counted == 0
    assert held.finish_run(data, 63, len(data), OTHER) == 63
    assert held.finish_run(data, 63, len(data), OWNER) == 84


def test_ids_that_are_none_stop_a_run() -> None:
    held = window(1, start=0)

    for line in (b"FIN 000000000000000G\n", b"FIN 000000000000000A\n", b"FIN ffffffffffffffff\n"):
        assert held.finish_run(bytearray(line), 0, 21, OWNER) == 0


def test_a_queued_sequence_is_held_again_with_one_more_attempt() -> None:
    held = window(1)

    assert held.hold_again(100, OTHER, 6, 60) == 0
    assert held.queue(100, OWNER)
    assert not held.queue(100, OWNER)
    assert held.state_of(100) == QUEUED
    assert (held.in_flight, held.unfinished) == (0, 1)
    assert held.hold_again(100, OTHER, 6, 60) == 2
    assert held.owner_of(100) == OTHER


@pytest.mark.shows("nsqd: attempts", better="they stop at 65535; NSQ begins again at 0")
def test_attempts_stop_counting_where_the_wire_has_no_more_room() -> None:
    held = window(1)
    held.queue(100, OWNER)
    held.restore(100, 65_534)

    assert held.hold_again(100, OWNER, 6, 60) == 65_535
    held.queue(100, OWNER)
    assert held.hold_again(100, OWNER, 6, 60) == 65_535


def test_expiry_takes_what_is_past_and_keeps_a_bound_for_the_rest() -> None:
    held = window(2)
    held.room(1)
    held.hold(1, OTHER, 5, 90)

    assert held.expire(49) == []
    assert held.next_deadline == 50
    assert held.expire(50) == [(100, OWNER), (101, OWNER)]
    assert held.next_deadline == 90
    assert held.expire(90) == [(102, OTHER)]
    assert held.next_deadline == NEVER


def test_a_touch_is_bounded_by_the_delivery() -> None:
    held = window(1)

    assert not held.touch(100, OTHER, 70, 1000)
    assert held.touch(100, OWNER, 70, 1000)
    assert held.deadline_of(100) == 70
    assert held.touch(100, OWNER, 70, 40)
    assert (held.deadline_of(100), held.next_deadline) == (45, 45)


def test_what_a_lost_owner_held_is_queued() -> None:
    held = window(2)
    held.room(1)
    held.hold(1, OTHER, 5, 50)

    assert held.abandon(OWNER) == [100, 101]
    assert (held.in_flight, held.unfinished) == (1, 3)
    assert held.abandon(OWNER) == []


def test_the_window_grows_to_its_cap_and_no_further() -> None:
    held = window(0, slots_max=256)

    assert held.room(10_000) == 256
    held.hold(256, OWNER, 5, 50)
    assert held.room(1) == 0
    held.finish(100, OWNER)
    held.advance()
    assert held.room(5) == 1


def test_growing_moves_every_column() -> None:
    held = window(SLOTS_MIN)
    held.queue(101, OWNER)
    held.touch(102, OWNER, 77, 1000)

    held.room(1000)

    assert held.state_of(101) == QUEUED
    assert (held.deadline_of(102), held.owner_of(102), held.attempts_of(102)) == (77, OWNER, 1)


def test_a_large_empty_window_gives_its_memory_back() -> None:
    held = window(65 * SLOTS_MIN)
    for sequence in range(100, held.cursor):
        held.finish(sequence, OWNER)
    held.advance()

    held.shrink()

    assert held.mask == SLOTS_MIN - 1


def test_passed_over_and_dropped_sequences_count_as_finished() -> None:
    held = window(2)
    held.room(2)
    held.pass_over(2)

    held.drop(100)
    held.drop(100)
    held.drop(99)
    held.advance()

    assert (held.floor, held.unfinished, held.in_flight, held.late) == (101, 1, 1, 2)
    assert held.unfinished_between(0, 1000, 10) == [101]


def test_finished_runs_are_told_once_or_all_over() -> None:
    held = window(6)
    for sequence in (101, 102, 104):
        held.finish(sequence, OWNER)
    held.advance()

    assert held.take_finished(everything=False) == [(101, 103), (104, 105)]
    assert held.take_finished(everything=False) == []
    held.finish(105, OWNER)
    assert held.take_finished(everything=False) == [(105, 106)]
    assert held.take_finished(everything=True) == [(101, 103), (104, 106)]


def test_a_restored_window_queues_what_is_unfinished() -> None:
    held = Window(100, 1 << 20)
    held.room(3)
    held.cursor = 103
    held.restore(101, 4)
    held.restore_finished(102)
    held.advance()

    assert (held.floor, held.unfinished, held.attempts_of(101)) == (101, 1, 4)
    assert held.state_of(102) == FINISHED


def test_a_cleared_window_owes_nothing() -> None:
    held = window(5)

    held.clear()
    held.jump(500)

    assert (held.floor, held.cursor, held.in_flight, held.unfinished, held.late) == (500, 500, 0, 0, 0)
    assert held.next_deadline == NEVER


operations = st.lists(
    st.tuples(
        st.sampled_from(["hold", "finish", "queue", "again", "drop", "pass", "expire", "abandon"]), st.integers(0, 90)
    ),
    max_size=120,
)


@given(operations)
def test_a_window_agrees_with_a_plain_dictionary(steps: list[tuple[str, int]]) -> None:
    held = Window(0, 128)
    states: dict[int, int] = {}
    for now, (name, number) in enumerate(steps):
        if name in {"hold", "pass"}:
            count = held.room(number % 9)
            states.update(
                dict.fromkeys(range(held.cursor, held.cursor + count), IN_FLIGHT if name == "hold" else FINISHED)
            )
            (held.hold(count, OWNER, now, now + 10) if name == "hold" else held.pass_over(count))
        elif name == "finish":
            assert held.finish(number, OWNER) is (states.get(number) == IN_FLIGHT)
            states[number] = FINISHED if states.get(number) == IN_FLIGHT else states.get(number, FINISHED)
        elif name == "queue":
            assert held.queue(number, OWNER) is (states.get(number) == IN_FLIGHT)
            states[number] = QUEUED if states.get(number) == IN_FLIGHT else states.get(number, FINISHED)
        elif name == "again":
            assert bool(held.hold_again(number, OWNER, now, now + 10)) is (states.get(number) == QUEUED)
            states[number] = IN_FLIGHT if states.get(number) == QUEUED else states.get(number, FINISHED)
        elif name == "drop":
            held.drop(number)
            states[number] = FINISHED
        else:
            taken = held.abandon(OWNER) if name == "abandon" else [sequence for sequence, _ in held.expire(now)]
            assert all(states[sequence] == IN_FLIGHT for sequence in taken)
            states.update(dict.fromkeys(taken, QUEUED))
        held.advance()
        states = {sequence: state for sequence, state in states.items() if sequence < held.cursor}
        unfinished = [sequence for sequence, state in states.items() if state != FINISHED]
        assert held.unfinished == len(unfinished)
        assert held.in_flight == sum(state == IN_FLIGHT for state in states.values())
        assert held.floor == min(unfinished, default=held.cursor)
        assert all(held.state_of(sequence) == state for sequence, state in states.items())


def test_what_is_set_aside_is_queued_and_was_never_delivered() -> None:
    held = window(2)
    held.room(3)

    held.set_aside(3)

    assert [held.state_of(sequence) for sequence in range(102, 105)] == [QUEUED] * 3
    assert [held.attempts_of(sequence) for sequence in range(102, 105)] == [0] * 3
    assert (held.cursor, held.in_flight, held.unfinished) == (105, 2, 5)
    assert held.hold_again(103, OWNER, 6, 60) == 1
    held.drop(102)
    assert held.unfinished == 4


@given(st.lists(st.integers(0, 100), max_size=20))
def test_columns_that_wrap_around_hold_what_was_put_into_them(counts: list[int]) -> None:
    held = window(start=SLOTS_MIN - 3, slots_max=4 * SLOTS_MIN)
    cursor = held.cursor

    for number, count in enumerate(counts):
        taken = held.room(count)
        held.hold(taken, number, 100 + number, 200 + number)
        for sequence in range(cursor, cursor + taken):
            assert held.state_of(sequence) == IN_FLIGHT
            assert (held.owner_of(sequence), held.attempts_of(sequence)) == (number, 1)
            assert (held.since_of(sequence), held.deadline_of(sequence)) == (100 + number, 200 + number)
        cursor += taken
        data = fins(*range(held.floor, held.floor + taken // 2))
        if taken and held.owner_of(held.floor) == number:
            held.finish_run(data, 0, len(data), number)
            held.advance()


@pytest.mark.parametrize("at", range(16))
def test_an_id_is_16_lower_case_hexadecimal_digits_and_nothing_else(at: int) -> None:
    sequence = 0x7ABC_DEF0_1234_5678
    text = b"%016x" % sequence
    for character in range(256):
        held = window(1, start=sequence)
        spoilt = text[:at] + bytes([character]) + text[at + 1 :]
        line = bytearray(b"FIN " + spoilt + b"\n")

        assert held.finish_run(line, 0, len(line), OWNER) == (len(line) if spoilt == text else 0)


@pytest.mark.parametrize("sequence", [0, 9, 0xA, 0xF, 0x10, 0x1234_5678, 0x9_ABCD_EF01, (1 << 63) - 2])
def test_every_digit_of_an_id_counts(sequence: int) -> None:
    held = window(1, start=sequence)
    line = fins(sequence)

    assert held.finish_run(line, 0, len(line), OWNER) == len(line)
