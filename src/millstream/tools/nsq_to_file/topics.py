"""Which topics exist: asks every nsqlookupd for its list, for `tools.nsq_to_file.service` when no topic is named."""

import json
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from millstream.base.errors import MillstreamError
from millstream.base.log import get_logger
from millstream.client.addresses import parse_lookupd_addresses
from millstream.net.http_client import HttpClient, HttpFailed
from millstream.protocol.names import is_valid_name

RESPONSE_BYTES_MAX: Final = 16 << 20

_TOPICS_MAX: Final = 10_000
_ACCEPT: Final = "application/vnd.nsq; version=1.0"
_HTTP_OK: Final = 200

_log = get_logger("millstream.nsq_to_file")


class TopicsFailed(MillstreamError):
    """An nsqlookupd gave no list of topics that can be used."""


def topics_urls(addresses: Iterable[str]) -> list[str]:
    """The URLs that are asked for topics; UsageError when an address cannot be used."""
    parts = [urlsplit(url) for url in parse_lookupd_addresses(addresses)]
    return [f"{part.scheme}://{part.netloc}/topics" for part in parts]


async def find_topics(http: HttpClient, urls: Sequence[str]) -> frozenset[str]:
    """Return the topics that any nsqlookupd knows; one that cannot be asked is logged."""
    found: set[str] = set()
    for url in urls:
        try:
            response = await http.get(url, headers={"Accept": _ACCEPT})
            if response.status != _HTTP_OK:
                raise TopicsFailed(f"{url} answered {response.status}")
            found |= read_topics(response.body)
        except (HttpFailed, TopicsFailed) as error:
            _log.warning("topics.failed", url=url, error=error)
    return frozenset(found)


def read_topics(body: bytes) -> frozenset[str]:
    """The valid names in the answer of an nsqlookupd, before 1.0 or after; TopicsFailed when it has not that shape."""
    try:
        answer = json.loads(body)
        topics = (answer["topics"] if "topics" in answer else answer["data"]["topics"]) or []
        return frozenset(name for name in topics[:_TOPICS_MAX] if isinstance(name, str) and is_valid_name(name))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TopicsFailed("the answer has no topics") from error
