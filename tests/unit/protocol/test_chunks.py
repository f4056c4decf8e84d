"""The newest records of a topic in memory: cursors over many chunks, chunks that go, buffers that come back."""

from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.chunks import CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, BufferPool, ChunkQueue, Cursor

ORIGIN = 500
sizes = st.one_of(st.integers(1, 400), st.integers(4_000, 20_000), st.sampled_from([16_350, 16_351, 70_000, 300_000]))


def body_of(number: int, size: int) -> bytes:
    return (b"%d," % number * size)[:size]


def publish(queue: ChunkQueue, body: bytes, due_ns: int | None = None) -> None:
    if due_ns is None:
        queue.append(bytearray(body), 0, len(body), 1)
    else:
        queue.append_deferred(bytearray(body), 0, len(body), 1, due_ns)


def publish_batch(queue: ChunkQueue, bodies: list[bytes]) -> None:
    data = bytearray(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
    queue.append_batch(data, 0, len(bodies), 1)


def split(part: memoryview, count: int) -> list[bytes]:
    found, at = [], 0
    for _ in range(count):
        size = int.from_bytes(part[at : at + 4], "big")
        found.append(bytes(part[at + 34 : at + 4 + size]))
        at += 4 + size
    assert at == len(part)
    return found


def read(queue: ChunkQueue, cursor: Cursor, count: int = 1 << 30, size_bytes: int = 1 << 30) -> list[bytes]:
    found: list[bytes] = []
    while cursor.sequence < queue.ready_seq:
        part = queue.slice(cursor, min(count, queue.ready_seq - cursor.sequence), size_bytes)
        if part is None:
            cursor.move(max(queue.skip(cursor.sequence), cursor.sequence + 1))
        else:
            found += split(part, cursor.taken)
    return found


@given(st.lists(st.lists(sizes, min_size=1, max_size=8), max_size=8), st.integers(1, 9), st.integers(1, 100_000))
def test_cursors_get_everything_in_order_over_many_chunks(
    batches: list[list[int]], count: int, size_bytes: int
) -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    bodies: list[bytes] = []
    for number, batch in enumerate(batches):
        made = [body_of(number, size) for size in batch]
        if number % 2:
            publish_batch(queue, made)
        else:
            for body in made:
                publish(queue, body)
        bodies += made
    queue.commit()

    assert read(queue, Cursor(ORIGIN), count, size_bytes) == bodies
    assert read(queue, Cursor(ORIGIN + len(bodies) // 2)) == bodies[len(bodies) // 2 :]
    assert queue.next_seq == queue.ready_seq == queue.durable_seq == ORIGIN + len(bodies)
    bases = [chunk.base for chunk in queue.chunks]
    assert bases == sorted(set(bases))


@given(st.lists(st.tuples(st.integers(1, 6_000), st.none() | st.integers(0, 1 << 60)), max_size=30))
def test_deferred_records_lie_between_and_are_stepped_over(records: list[tuple[int, int | None]]) -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    for number, (size, due_ns) in enumerate(records):
        publish(queue, body_of(number, size), due_ns)
    queue.commit()

    plain = [body_of(number, size) for number, (size, due_ns) in enumerate(records) if due_ns is None]
    deferred = [ORIGIN + number for number, (_, due_ns) in enumerate(records) if due_ns is not None]
    assert read(queue, Cursor(ORIGIN)) == plain
    assert list(queue.deferred) == deferred
    for sequence in deferred:
        stored = queue.record(sequence)
        assert stored is not None
        assert stored[6] == 1


def test_nothing_is_ready_before_the_commit() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    publish(queue, b"a")

    assert (queue.ready_seq, queue.next_seq) == (ORIGIN, ORIGIN + 1)
    queue.commit()
    assert (queue.ready_seq, queue.next_seq) == (ORIGIN + 1, ORIGIN + 1)


def test_a_first_batch_that_is_larger_than_a_chunk_leaves_no_empty_chunk() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)

    publish_batch(queue, [body_of(1, CHUNK_BYTES_MIN), b"b"])

    assert next((chunk.base, chunk.end > chunk.base) for chunk in queue.chunks) == (ORIGIN, True)


def test_a_cursor_that_waits_at_the_end_goes_on_in_the_same_chunk_and_in_the_next() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    cursor = Cursor(ORIGIN)
    for number in range(200):
        publish(queue, body_of(number, 1000))
        queue.commit()

        part = queue.slice(cursor, 1, 1)

        assert part is not None
        assert split(part, 1) == [body_of(number, 1000)]


def test_a_cursor_into_a_chunk_that_was_let_go_gets_nothing_and_may_skip() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    cursor = Cursor(ORIGIN)
    for number in range(40):
        publish(queue, body_of(number, 1000))
    queue.commit()
    queue.slice(cursor, 2, 1 << 20)

    queue.release(ORIGIN + 30)

    assert queue.slice(cursor, 1, 1 << 20) is None
    assert cursor.taken == 0
    assert queue.record(ORIGIN + 1) is None
    assert queue.skip(cursor.sequence) == queue.first_seq > ORIGIN
    assert read(queue, Cursor(queue.first_seq))[-1] == body_of(39, 1000)


def test_deferred_records_are_listed_for_as_long_as_they_are_here() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    for number in range(40):
        publish(queue, body_of(number, 1000), number)
    queue.commit()

    queue.release(ORIGIN + 30)

    assert ORIGIN < queue.first_seq < ORIGIN + 30
    assert list(queue.deferred) == list(range(queue.first_seq, ORIGIN + 40))


def test_skipping_past_everything_ends_at_what_is_ready() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    publish(queue, b"a", 5)
    queue.commit()
    publish(queue, b"b")

    assert queue.skip(ORIGIN) == ORIGIN + 1
    assert queue.skip(ORIGIN + 9) == ORIGIN + 9


def test_a_log_resumes_behind_what_was_seen_and_never_before() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)

    queue.resume_at(ORIGIN + 10)
    queue.resume_at(ORIGIN + 5)
    publish(queue, b"a")
    queue.commit()

    assert queue.first_seq == ORIGIN + 10
    assert read(queue, Cursor(ORIGIN)) == [b"a"]


def test_is_far_counts_the_chunks_between() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    for number in range(70):
        publish(queue, body_of(number, CHUNK_BYTES_MAX))
    queue.commit()

    assert queue.is_far(ORIGIN, ORIGIN + 70)
    assert not queue.is_far(ORIGIN + 10, ORIGIN + 70)


def test_a_buffer_given_back_is_not_reused_before_the_turn_ends() -> None:
    pool = BufferPool()
    buffer = pool.take(CHUNK_BYTES_MAX)
    pool.give(buffer)

    assert pool.take(CHUNK_BYTES_MAX) is not buffer
    pool.turn()
    assert pool.take(CHUNK_BYTES_MAX) is buffer


def test_a_pool_keeps_buffers_of_one_size_up_to_its_limit() -> None:
    pool = BufferPool(buffers_max=2)
    buffers = [pool.take(CHUNK_BYTES_MAX) for _ in range(6)]
    for _ in range(3):
        pool.give(buffers.pop())
    pool.turn()
    for buffer in buffers:
        pool.give(buffer)
    pool.turn()
    pool.give(None)
    pool.give(bytearray(5))

    again = [pool.take(CHUNK_BYTES_MAX) for _ in range(5)]

    assert len({id(buffer) for buffer in again}) == 5
    assert pool.take(CHUNK_BYTES_MAX + 1) not in again


def test_memory_knows_its_bytes_and_keeps_nothing_that_is_done_with() -> None:
    queue = ChunkQueue(BufferPool(), ORIGIN)
    for number in range(20):
        publish(queue, body_of(number, 4_000))
    queue.commit()
    record_bytes = 4_000 + 34

    assert queue.bytes_from(ORIGIN) == 20 * record_bytes
    assert queue.bytes_from(ORIGIN + 7) == 13 * record_bytes
    assert queue.bytes_from(ORIGIN + 20) == 0
    assert queue.first_within(5 * record_bytes) == ORIGIN + 15
    assert queue.first_within(5 * record_bytes - 1) == ORIGIN + 16
    assert (queue.first_since(1), queue.first_since(2)) == (ORIGIN, ORIGIN + 20)
    assert queue.kept_from(ORIGIN + 5, 1 << 30, 1) == ORIGIN + 5
    queue.settle_in()
    queue.bound_files(1, 1)
