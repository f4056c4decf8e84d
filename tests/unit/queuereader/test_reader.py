from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from millstream.base.errors import OptionError, UsageError
from millstream.queuereader import settings
from millstream.queuereader.message import NsqMessage
from millstream.queuereader.middleware import timing
from millstream.queuereader.reader import PROCESS_REGISTRY, HandlerOptions, Reader, Registry
from millstream.queuereader.stats import ReaderStats
from millstream.queuereader.verdict import FINISH, Reject

DOCUMENT = Path(__file__).parents[3] / "docs" / "queuereader.md"


def handler(_: Any, __: NsqMessage) -> None: ...


def make(**arguments: Any) -> Reader:
    defaults: dict[str, Any] = {
        "topic": "clicks",
        "channel": "spam",
        "message_handler": handler,
        "registry": Registry(),
    }
    return Reader(**(defaults | arguments))


def test_a_reader_registers_itself() -> None:
    registry = Registry()

    first = make(registry=registry)
    second = make(registry=registry, channel="archive")

    assert registry.readers() == (first, second)


def test_without_a_registry_it_is_the_one_of_the_process() -> None:
    assert Reader("clicks", "spam", handler) in PROCESS_REGISTRY.readers()


@pytest.mark.parametrize("given", ["a:4161,b:4161", "a:4161, b:4161,", ["a:4161", "b:4161"], ("a:4161", " b:4161")])
def test_addresses_are_a_list_or_text_with_commas(given: Any) -> None:
    assert make(lookupd_http_addresses=given).addresses() == ((), ("a:4161", "b:4161"))
    assert make(nsqd_tcp_addresses=given).addresses() == (("a:4161", "b:4161"), ())


def test_without_addresses_they_come_from_the_settings() -> None:
    settings.override({"nsq_lookupd": "a:4161,b:4161"})
    assert make().addresses() == ((), ("a:4161", "b:4161"))

    settings.override({"nsqd_tcp_address": "c:4150"})
    assert make().addresses() == (("c:4150",), ())
    settings.override({})


@pytest.mark.parametrize(
    "arguments",
    [{"topic": ""}, {"topic": "a b"}, {"channel": "x" * 65}, {"publish_to": "a/b"}, {"message_handler": None}],
)
def test_what_cannot_work_is_refused_at_once(arguments: dict[str, Any]) -> None:
    registry = Registry()

    with pytest.raises(UsageError):
        make(registry=registry, **arguments)

    assert registry.readers() == ()


def test_options_out_of_bounds_are_refused() -> None:
    with pytest.raises(OptionError):
        make(max_in_flight=0)
    with pytest.raises(OptionError):
        HandlerOptions(max_threads=0)


def test_the_name_is_the_channel_unless_it_is_given() -> None:
    assert make().name == "spam"
    assert make(name="metrics").name == "metrics"


def test_handle_bytes_goes_the_way_of_a_real_message() -> None:
    reader = make(validate_method=lambda event: "o" in event)

    assert reader.handle_bytes(b'{"o": 1}').verdict is FINISH
    assert isinstance(reader.handle_bytes(b'{"x": 1}').verdict, Reject)
    assert isinstance(reader.handle_bytes(b"x").verdict, Reject)


async def test_handle_bytes_async_goes_for_every_handler() -> None:
    async def later(_: Any, __: NsqMessage) -> None: ...

    for reader in (make(), make(message_handler=later), make(middleware=[timing("x")])):
        assert (await reader.handle_bytes_async(b"{}")).verdict is FINISH


def test_handle_bytes_says_when_the_handler_is_async() -> None:
    async def later(_: Any, __: NsqMessage) -> None: ...

    with pytest.raises(UsageError, match="handle_bytes_async"):
        make(message_handler=later).handle_bytes(b"{}")


def test_stats_start_at_zero() -> None:
    stats = make().stats()

    assert (stats.handled, stats.finished, stats.requeued, stats.rejected, stats.gave_up, stats.in_hand) == (0,) * 6


def test_the_documentation_lists_every_option_and_counter() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    assert [field.name for field in fields(HandlerOptions) if f"| `{field.name}` |" not in text] == []
    assert [field.name for field in fields(ReaderStats) if field.name not in text] == []
