"""The HTTP side of nsqauthd: nsqd ask what a client may do, operators whether it is well.

Requests come from `net.http`, the rules in force from `nsqauthd.source`. Secrets are neither logged nor answered.
"""

from typing import Any, Final

import msgspec

from millstream.base.log import get_logger
from millstream.base.version import NSQ_VERSION
from millstream.net.http import HttpError, Request, Response, Router, json, text
from millstream.net.http_messages import JSON
from millstream.nsqauthd.rules import Identity, TooManyEntries, answer
from millstream.nsqauthd.source import RulesFile

log = get_logger(__name__)

BODY_BYTES_MAX: Final = 65_536

_TRUE: Final = frozenset({"true", "1", "t", "T", "TRUE", "True"})


class AuthdApi:
    """The endpoints of one nsqauthd."""

    def __init__(self, source: RulesFile) -> None:
        self._source = source

    def router(self) -> Router:
        """`/auth` in the two forms in which nsqd asks, and what every daemon has."""
        router = Router()
        router.add("GET", "/ping", self._ping, nsq_header=False)
        router.add("GET", "/info", self._info)
        router.add("GET", "/auth", self._get_auth)
        router.add("POST", "/auth", self._post_auth, body_bytes_max=BODY_BYTES_MAX)
        return router

    def _ping(self, _request: Request) -> Response:
        return text("OK")

    def _info(self, _request: Request) -> Response:
        source = self._source
        return json({"version": NSQ_VERSION, "rules": len(source.rules.rules), "rules_error": source.error})

    def _get_auth(self, request: Request) -> Response:
        return self._auth(request, request.query)

    def _post_auth(self, request: Request) -> Response:
        """Take an object of lists, as nsqd posts it, or of single texts."""
        try:
            body: Any = msgspec.json.decode(request.body, type=dict[str, str | list[str]])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise HttpError(400, "INVALID_REQUEST") from error
        return self._auth(request, {key: _first(value) for key, value in body.items()})

    def _auth(self, request: Request, given: dict[str, str]) -> Response:
        remote_ip, common_name = given.get("remote_ip", ""), given.get("common_name", "")
        identity = Identity.of(
            secret=given.get("secret", ""),
            common_name=common_name,
            remote_ip=remote_ip,
            tls=given.get("tls", "") in _TRUE,
        )
        known = {"remote_ip": remote_ip, "common_name": common_name, "asked_by": request.remote}
        holding = self._source.rules.holding(identity)
        if not holding:
            log.warning("auth.refused", **known)
            raise HttpError(403, "NOT_AUTHORIZED")
        try:
            body = answer(holding)
        except TooManyEntries as error:
            log.error("auth.failed", error=error, **known)
            raise HttpError(500, "TOO_MANY_RULES") from error
        log.info("auth.granted", rules=",".join(str(rule.number) for rule in holding), **known)
        return Response(200, body, JSON)


def _first(value: str | list[str]) -> str:
    if isinstance(value, str):
        return value
    return value[0] if value else ""
