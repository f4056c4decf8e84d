"""One question to an nsqlookupd, and what its answer says: where a topic is, and how to wait for news of it.

`client.discovery` asks at intervals, as every client of NSQ does. An nsqlookupd of ours gives its answers a version;
`client.lookup_watch` sends that back, and is answered when there is another.
"""

import json
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from millstream.base.errors import MillstreamError, OptionError
from millstream.base.log import get_logger
from millstream.base.units import Address, parse_address
from millstream.net.http_client import HttpClient

VERSION_HEADER: Final = "x-millstream-version"
RESPONSE_BYTES_MAX: Final = 16 << 20

_PRODUCERS_MAX: Final = 10_000
_HTTP_OK: Final = 200
_HTTP_NOT_FOUND: Final = 404
_VERSION: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")

_log = get_logger("millstream.client")


class LookupFailed(MillstreamError):
    """An nsqlookupd gave no answer that can be used."""


@dataclass(frozen=True, slots=True)
class LookupAnswer:
    """Where a topic is. `version` is empty when lookups cannot wait there."""

    addresses: frozenset[Address]
    version: str = ""


def lookup_url(url: str, topic: str) -> str:
    """The question that every nsqlookupd understands."""
    return f"{url}?topic={quote(topic, safe='')}"


async def ask(http: HttpClient, url: str, headers: dict[str, str]) -> LookupAnswer:
    """The answer to the question. Raises HttpFailed and LookupFailed."""
    response = await http.get(url, headers=headers)
    version = response.headers.get(VERSION_HEADER, "")
    if not _VERSION.fullmatch(version):
        version = ""
    if response.status == _HTTP_NOT_FOUND:
        return LookupAnswer(frozenset(), version)
    if response.status != _HTTP_OK:
        raise LookupFailed(f"{url} answered {response.status}")
    is_wrapped = "x-nsq-content-type" not in response.headers
    return LookupAnswer(read_producers(response.body, is_wrapped=is_wrapped), version)


def read_producers(body: bytes, *, is_wrapped: bool = False) -> frozenset[Address]:
    """The addresses in the answer to a lookup, those of no use left out; LookupFailed when it has not that shape.

    `is_wrapped`: the answer of an nsqlookupd before 1.0, which has it one level deeper.
    """
    try:
        answer = json.loads(body)
        answer = answer["data"] if is_wrapped and "producers" not in answer else answer
        producers = answer["producers"] or []
        addresses = [(producer["broadcast_address"], producer["tcp_port"]) for producer in producers[:_PRODUCERS_MAX]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise LookupFailed("the answer to the lookup has no producers") from error
    usable: set[Address] = set()
    for host, port in addresses:
        address = _usable(host, port)
        if address is None:
            _log.warning("reader.bad_producer", host=str(host)[:100], port=str(port)[:100])
        else:
            usable.add(address)
    return frozenset(usable)


def _usable(host: object, port: object) -> Address | None:
    if not isinstance(host, str) or not host or not isinstance(port, int) or isinstance(port, bool) or port <= 0:
        return None
    try:
        return parse_address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except OptionError:
        return None
