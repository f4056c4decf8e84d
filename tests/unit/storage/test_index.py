"""The index of a segment: entries that vouch for themselves one by one."""

from hypothesis import given
from hypothesis import strategies as st

from millstream.storage.index import INDEX_MAGIC, SEALED, Entry, pack, read_index, unpack
from millstream.testing import FaultyFiles

sequences, positions, checksums = st.integers(0, (1 << 63) - 1), st.integers(-3, 1 << 40), st.integers(0, (1 << 32) - 1)
entries = st.lists(st.builds(Entry, sequences, positions, checksums), max_size=10)


@given(entries)
def test_what_was_packed_is_unpacked(given_entries: list[Entry]) -> None:
    assert unpack(INDEX_MAGIC + pack(given_entries)) == given_entries


@given(entries.filter(bool), st.integers(0, 23), st.data())
def test_a_damaged_entry_is_none_and_says_nothing_of_the_others(
    given_entries: list[Entry], byte: int, data: st.DataObject
) -> None:
    victim = data.draw(st.integers(0, len(given_entries) - 1))
    image = bytearray(INDEX_MAGIC + pack(given_entries))
    image[len(INDEX_MAGIC) + 24 * victim + byte] ^= data.draw(st.integers(1, 255))

    assert unpack(image) == [None if place == victim else entry for place, entry in enumerate(given_entries)]


@given(entries, st.integers(1, 23))
def test_half_an_entry_at_the_end_is_none(given_entries: list[Entry], kept: int) -> None:
    torn = pack([Entry(1, SEALED, 0)])[:kept]

    assert unpack(INDEX_MAGIC + pack(given_entries) + torn) == given_entries


@given(st.binary(max_size=200))
def test_anything_can_be_unpacked(data: bytes) -> None:
    assert unpack(data) == [] or data.startswith(INDEX_MAGIC)


def test_an_index_that_is_not_there_is_another_thing_than_an_empty_one() -> None:
    files = FaultyFiles()
    files.overwrite("a.idx", b"")

    assert read_index(files, "a.idx") == []
    assert read_index(files, "b.idx") is None
