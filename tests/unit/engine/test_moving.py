"""Frames of stragglers leave files that hold little else, a part at a time, and every message keeps its frame."""

from typing import Any

from millstream.engine.moving import move_frames

ORIGIN = 1000
SECOND_NS = 10**9


def frame_files(bench: Any) -> list[str]:
    return [name for name in bench.files.names("data") if name.endswith(".frames")]


def keep_one_in_ten(bench: Any) -> None:
    """200 deferred messages, of which all but each tenth are delivered and finished."""
    consumer = bench.join(200)
    for place in range(200):
        bench.publish(1, delay_ns=1_000 * SECOND_NS if place % 10 == 0 else SECOND_NS)
    bench.channel.save()
    bench.wait(SECOND_NS)
    bench.deal()
    for place in range(200):
        if place % 10:
            assert bench.channel.finish(consumer, ORIGIN + place)


def test_what_is_left_of_many_files_is_brought_together_by_saving(bench: Any) -> None:
    keep_one_in_ten(bench)
    before = len(frame_files(bench))

    saves = 1
    while bench.channel.save():
        saves += 1

    assert 1 < saves < 50
    assert len(frame_files(bench)) < before / 2
    bench.wait(1_000 * SECOND_NS)
    assert [place for _, place, _ in bench.deal()] == list(range(0, 200, 10))


def test_what_was_moved_is_found_after_a_crash(bench: Any) -> None:
    keep_one_in_ten(bench)
    while bench.channel.save():
        pass

    bench.files = bench.files.crash()
    bench.open()
    bench.publish(0)
    bench.clock.advance(ns=1_000 * SECOND_NS)
    bench.wait(0)
    bench.join(200)

    assert [place for _, place, _ in bench.deal()] == list(range(0, 200, 10))


def test_a_file_that_cannot_be_read_is_left_alone(bench: Any) -> None:
    keep_one_in_ten(bench)
    bench.channel.save()
    thin = bench.channel.progress.thin
    assert thin is not None
    bench.files.fail("read")

    assert not move_frames(bench.channel)

    assert bench.channel.progress.thin != thin
    assert bench.channel.deferred_count == 20


def test_a_message_whose_frame_is_spoilt_is_counted_as_lost(bench: Any) -> None:
    keep_one_in_ten(bench)
    path = f"data/{frame_files(bench)[0]}"
    bench.files.overwrite(path, bench.files.read(path)[:8] + bytes(1_000))

    while bench.channel.save():
        pass

    assert bench.channel.deferred_count < 20
    assert bench.channel.stragglers.lost_count == 20 - bench.channel.deferred_count


def test_nothing_is_moved_while_little_is_wasted(bench: Any) -> None:
    bench.publish(5, delay_ns=SECOND_NS)
    bench.channel.save()

    assert not move_frames(bench.channel)
