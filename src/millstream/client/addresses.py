"""Reads the addresses that users of readers and writers give, and says what is wrong with one."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from millstream.base.errors import OptionError, UsageError
from millstream.base.units import Address, parse_address


def parse_lookupd_addresses(texts: Iterable[str]) -> list[str]:
    """The URLs that are asked for lookups; UsageError when an address cannot be used."""
    return [_lookup_url(text) for text in _listed("lookupd_http_addresses", texts)]


def parse_nsqd_addresses(texts: Iterable[str]) -> list[Address]:
    """Read `host:port` addresses; UsageError when one has no host or no port."""
    addresses: list[Address] = []
    for text in _listed("nsqd_tcp_addresses", texts):
        try:
            address = parse_address(text)
        except OptionError as error:
            raise UsageError(f"nsqd_tcp_addresses: {error}") from error
        if not address.host or not address.port:
            raise UsageError(f"nsqd_tcp_addresses: {text!r} needs a host and a port, such as 127.0.0.1:4150")
        addresses.append(address)
    return addresses


def _listed(what: str, texts: Iterable[str]) -> list[str]:
    """The addresses of an argument; UsageError for the single text that one writes by mistake."""
    if isinstance(texts, str):
        raise UsageError(f"{what} is a list of addresses: write [{texts!r}]")
    return list(texts)


def _lookup_url(address: str) -> str:
    """The URL that is asked, from `host:port` or a URL with a port; UsageError when it is neither."""
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
    except ValueError as error:
        raise UsageError(f"nsqlookupd address {address!r} cannot be used: {error}") from error
    if not is_usable:
        raise UsageError(f"nsqlookupd address {address!r} cannot be used: write host:port, such as 127.0.0.1:4161")
    path = parts.path if parts.path not in ("", "/") else "/lookup"
    return f"{parts.scheme}://{parts.netloc}{path}"
