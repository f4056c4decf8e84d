"""`net.any_certificate`: what is read of a Certificate message. The handshakes are in test_tls."""

from hypothesis import given
from hypothesis import strategies as st

from millstream.net.any_certificate import CERTIFICATE_BYTES_MAX, first_certificate


def message(*certificates: bytes, context: bytes | None = None) -> bytes:
    """A Certificate message as TLS 1.2 has it, or with a request context as TLS 1.3 has it."""
    entries = b"".join(
        len(found).to_bytes(3, "big") + found + (b"" if context is None else b"\x00\x00") for found in certificates
    )
    body = len(entries).to_bytes(3, "big") + entries
    if context is not None:
        body = bytes([len(context)]) + context + body
    return b"\x0b" + len(body).to_bytes(3, "big") + body


def test_the_first_certificate_is_found_in_both_forms() -> None:
    assert first_certificate(message(b"leaf", b"issuer"), is_tls13=False) == b"leaf"
    assert first_certificate(message(b"leaf", b"issuer", context=b""), is_tls13=True) == b"leaf"
    assert first_certificate(message(b"leaf", context=b"ctx"), is_tls13=True) == b"leaf"


def test_a_message_without_certificates_has_none() -> None:
    assert first_certificate(message(), is_tls13=False) == b""
    assert first_certificate(message(context=b""), is_tls13=True) == b""


def test_a_certificate_of_any_length_is_not_taken() -> None:
    assert first_certificate(message(bytes(CERTIFICATE_BYTES_MAX + 1)), is_tls13=False) == b""


@given(st.binary(max_size=64), st.booleans())
def test_rubbish_gives_a_part_of_it_or_nothing(data: bytes, is_tls13: bool) -> None:
    assert first_certificate(data, is_tls13=is_tls13) in data
