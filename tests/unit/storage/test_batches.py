"""The batches of a journal, and how sound ones are found again behind a damaged one."""

from hypothesis import given
from hypothesis import strategies as st

from millstream.storage.batches import batch_at, next_batch, pack_batch

contents = st.binary(min_size=8, max_size=60).map(lambda data: b"P" + data)


@given(contents, st.binary(max_size=20), st.binary(max_size=20))
def test_a_batch_is_read_where_it_is(entries: bytes, before: bytes, behind: bytes) -> None:
    data = before + pack_batch(entries) + behind

    assert batch_at(data, len(before)) == entries
    assert next_batch(data, 0) in range(len(before) + 1)


@given(contents, st.data())
def test_a_batch_with_a_changed_byte_is_none(entries: bytes, data: st.DataObject) -> None:
    image = bytearray(pack_batch(entries))
    image[data.draw(st.integers(0, len(image) - 1))] ^= data.draw(st.integers(1, 255))

    assert batch_at(bytes(image), 0) is None


@given(contents, st.integers(0, 60))
def test_a_torn_batch_is_none(entries: bytes, kept: int) -> None:
    batch = pack_batch(entries)

    assert batch_at(batch[: min(kept, len(batch) - 1)], 0) is None


@given(st.lists(contents, min_size=2, max_size=5), st.data())
def test_behind_damage_the_next_sound_batch_is_found(batches: list[bytes], data: st.DataObject) -> None:
    first, *others = map(pack_batch, batches)
    image = bytearray(first)
    for _ in range(data.draw(st.integers(1, 8))):
        image[data.draw(st.integers(0, len(image) - 1))] ^= data.draw(st.integers(1, 255))

    found = next_batch(bytes(image) + b"".join(others), 1)

    assert found == len(first)


@given(st.binary(max_size=400))
def test_in_anything_a_batch_is_found_or_none(data: bytes) -> None:
    found = next_batch(data, 0)

    assert found is None or batch_at(data, found) is not None
