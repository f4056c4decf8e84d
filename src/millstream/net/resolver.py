"""Looks host names up, and connects to what they stand for, so that a dead name server keeps nobody from ending.

`nsqd`, the HTTP client and the client's connections dial through it. The loop's own look-ups are waited for when it is
closed, by uvloop without a bound, also when whoever asked is gone; so are an executor's threads. Here a name is looked
up in a thread that nobody waits for. Whoever asks for the same name meanwhile waits for the same thread: as long as
there is no answer there is one for each name, however often it is tried.
"""

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from millstream.base.units import Address

_TRIED_MAX: Final = 4

Place = tuple[str, int]
"""A numeric host, and a port."""

_Answer = list[Place] | Exception
_lock: Final = threading.Lock()
_waiting: Final[dict[tuple[Address, int], list[Callable[[_Answer], None]]]] = {}

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


async def places_of(address: Address, kind: int = socket.SOCK_STREAM) -> list[Place]:
    """Where `address` is: at least one place, the best first; without a host it is here.

    Raises OSError when there is no such host, and UnicodeError when that cannot be one's name.
    """
    host = address.host or "localhost"
    if _is_number(host):
        return [(host, address.port)]
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Place]] = loop.create_future()

    def settle(answer: _Answer) -> None:
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def tell(answer: _Answer) -> None:
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, answer)

    wanted = (Address(host, address.port), int(kind))
    with _lock:
        is_first = wanted not in _waiting
        _waiting.setdefault(wanted, []).append(tell)
    if is_first:
        threading.Thread(target=_look_up, args=wanted, name="resolver", daemon=True).start()
    return await future


async def connect(
    factory: Callable[[], ProtocolT], address: Address, *, tls: ssl.SSLContext | None = None
) -> ProtocolT:
    """Connect to the first place of `address` that takes it. Raises what `places_of` and `connect_to` do."""
    return await connect_to(factory, await places_of(address), tls=tls, name=address.host)


async def connect_to(
    factory: Callable[[], ProtocolT],
    places: Sequence[Place],
    *,
    tls: ssl.SSLContext | None = None,
    name: str = "",
    each_s: float | None = None,
) -> ProtocolT:
    """Connect to the first of a few places that takes it; each is given `each_s` seconds, if any.

    With `tls` the other side has to prove that it is `name`. Raises OSError with what the last place said.
    """
    loop = asyncio.get_running_loop()
    server = name if tls is not None else None
    *others, last = places[:_TRIED_MAX]
    for host, port in others:
        try:
            async with asyncio.timeout(each_s):
                _, protocol = await loop.create_connection(factory, host, port, ssl=tls, server_hostname=server)
        except OSError:
            continue
        return protocol
    async with asyncio.timeout(each_s):
        _, protocol = await loop.create_connection(factory, *last, ssl=tls, server_hostname=server)
    return protocol


def _look_up(address: Address, kind: int) -> None:
    answer: _Answer
    try:
        found = socket.getaddrinfo(address.host, address.port, type=kind)
        answer = [(str(target[0]), int(target[1])) for *_, target in found]
    except (OSError, UnicodeError) as error:
        answer = error
    with _lock:
        waiting = _waiting.pop((address, kind))
    for tell in waiting:
        tell(answer)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
