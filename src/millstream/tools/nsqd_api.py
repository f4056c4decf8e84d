"""Asks an nsqd over HTTP what the tools that look at messages need; its refusals become errors that say what to do.

`tools.peek` and `tools.replay` ask here.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from millstream.base.errors import MillstreamError
from millstream.net.http_client import HttpClient, HttpFailed

_HTTP_OK: Final = 200
_HTTP_NOT_FOUND: Final = 404


class Refused(MillstreamError):
    """An nsqd did not do what it was asked; the text says why."""


class NsqdApi:
    """One nsqd, by the `host:port` of its HTTP. A token goes with every request when there is one."""

    def __init__(self, http: HttpClient, address: str, token: str = "") -> None:
        self.address = address
        self._http = http
        self._url = address if "://" in address else f"http://{address}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object of an answer. Raises `Refused`."""
        return self._object(path, await self._ask("GET", path, query, b""))

    async def change(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Have something done; the JSON object of the answer. Raises `Refused`."""
        return self._object(path, await self._ask("POST", path, query, b""))

    async def send(self, path: str, query: Mapping[str, str], body: bytes) -> None:
        """Send a body. Raises `Refused`; whether it was taken in is unknown when no answer came."""
        await self._ask("POST", path, query, body)

    async def _ask(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> bytes:
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        try:
            response = await self._http.request(method, f"{self._url}{path}?{words}", body, headers=self._headers)
        except HttpFailed as error:
            raise Refused(str(error)) from error
        if response.status == _HTTP_OK:
            return response.body
        code = _code(response.body)
        if response.status == _HTTP_NOT_FOUND and code in {"NOT_FOUND", ""}:
            raise Refused(f"{self.address} has no {path}: this needs Millstream's nsqd")
        raise Refused(f"{self.address} answered {response.status} {code or 'without a reason'}")

    def _object(self, path: str, body: bytes) -> dict[str, Any]:
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Refused(f"{self.address}{path} answered no JSON - {error}") from error
        if not isinstance(found, dict):
            raise Refused(f"{self.address}{path} answered no JSON object")
        return found


def _code(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    message = found.get("message") if isinstance(found, dict) else None
    return message[:300] if isinstance(message, str) else ""
