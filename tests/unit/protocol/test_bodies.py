"""`protocol.bodies`: a body in JSON and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.protocol.bodies import NoBody, body_field, body_of


@given(st.binary(max_size=200))
def test_a_body_comes_back(body: bytes) -> None:
    assert body_of(body_field(body)) == body


def test_text_stays_readable_and_other_bytes_are_base64() -> None:
    assert body_field("größe".encode()) == {"body": "größe"}
    assert body_field(b"\xff") == {"body_base64": "/w=="}


@pytest.mark.parametrize("found", [{}, {"body": 1}, {"body_base64": "!"}, {"body_base64": "a"}, {"body_base64": None}])
def test_an_object_without_a_body_is_refused(found: dict[str, object]) -> None:
    with pytest.raises(NoBody):
        body_of(found)
