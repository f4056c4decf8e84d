"""`nsqd.batches`: the two forms of a body with many messages, and every way in which one can be malformed."""

import pytest

from millstream.net.http import HttpError, Request
from millstream.nsqd.batches import bodies_of
from millstream.nsqd.options import DaemonOptions

OPTIONS = DaemonOptions(max_msg_size=4, max_body_size=64)


def counted(*bodies: bytes) -> bytes:
    return len(bodies).to_bytes(4, "big") + b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def read(body: bytes, query: str = "") -> list[bytes]:
    return bodies_of(Request("POST", "/mpub", query, body=body), OPTIONS)


def test_lines_and_counted_messages_are_read() -> None:
    assert read(b"a\n\nbc\r\n") == [b"a", b"bc\r"]
    assert read(b"") == []
    assert read(counted(b"a\nb", b"\xff") + b"what follows", "binary=true") == [b"a\nb", b"\xff"]


@pytest.mark.parametrize("value", ["true", "1", "maybe"])
def test_any_value_but_a_clear_no_means_counted(value: str) -> None:
    assert read(counted(b"a"), f"binary={value}") == [b"a"]


@pytest.mark.parametrize("value", ["false", "0"])
def test_a_clear_no_means_lines(value: str) -> None:
    assert read(b"a\nb", f"binary={value}") == [b"a", b"b"]


@pytest.mark.parametrize(
    ("body", "query", "code"),
    [
        (b"12345", "", "MSG_TOO_BIG"),
        (b"\0\0\0", "binary=true", "BAD_BODY"),
        (b"\0\0\0\0", "binary=true", "BAD_BODY"),
        (b"\xff\xff\xff\xff", "binary=true", "BAD_BODY"),
        (b"\0\0\0\x7f", "binary=true", "BAD_BODY"),
        (b"\0\0\0\1\0\0\0\5" + b"12345", "binary=true", "BAD_MESSAGE"),
        (b"\0\0\0\1\0\0\0\0", "binary=true", "BAD_MESSAGE"),
        (b"\0\0\0\1\0\0\0\4" + b"123", "binary=true", "BAD_MESSAGE"),
        (b"\0\0\0\2\0\0\0\1a", "binary=true", "BAD_MESSAGE"),
    ],
)
def test_a_malformed_body_is_refused(body: bytes, query: str, code: str) -> None:
    with pytest.raises(HttpError) as refused:
        read(body, query)

    assert (refused.value.status, refused.value.code) == (413, code)
