"""`client.addresses`: what users write, and what is wrong with it."""

import pytest

from millstream.base.errors import UsageError
from millstream.base.units import Address
from millstream.client.addresses import parse_lookupd_addresses, parse_nsqd_addresses


def test_nsqd_addresses_are_host_and_port() -> None:
    assert parse_nsqd_addresses(["127.0.0.1:4150", "[::1]:4150"]) == [Address("127.0.0.1", 4150), Address("::1", 4150)]


@pytest.mark.parametrize("text", ["", "localhost", ":4150", "localhost:0", "localhost:x", "http://localhost:4150"])
def test_an_nsqd_address_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nsqd_tcp_addresses"):
        parse_nsqd_addresses([text])


def test_a_single_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(UsageError, match="list"):
        parse_nsqd_addresses("127.0.0.1:4150")
    with pytest.raises(UsageError, match="list"):
        parse_lookupd_addresses("127.0.0.1:4161")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:4161", "http://127.0.0.1:4161/lookup"),
        ("http://127.0.0.1:4161", "http://127.0.0.1:4161/lookup"),
        ("http://127.0.0.1:4161/", "http://127.0.0.1:4161/lookup"),
        ("https://lookup.example:443/nsq/lookup", "https://lookup.example:443/nsq/lookup"),
    ],
)
def test_a_lookup_goes_to_the_path_lookup_unless_there_is_another(text: str, url: str) -> None:
    assert parse_lookupd_addresses([text]) == [url]


@pytest.mark.parametrize("text", ["127.0.0.1", "http://127.0.0.1/", "ftp://127.0.0.1:4161", "127.0.0.1:x", ""])
def test_an_nsqlookupd_address_without_a_port_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nsqlookupd"):
        parse_lookupd_addresses([text])
