"""Bearer tokens for the HTTP API of a daemon: who does not send one that the token file holds gets 401.

The file is read at the start, and again when the daemon is told to; `BearerTokens.guard` puts the check before the
routes of a router, so that no handler knows of it and no body of a stranger is kept. Only digests of the tokens are.
"""

import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final

from millstream.base.errors import OptionError
from millstream.net.http_messages import HttpError, Response
from millstream.net.http_router import Router

OPEN_PATHS: Final = frozenset({"/ping"})
"""What load balancers ask, who have no token."""

FILE_BYTES_MAX: Final = 65_536
TOKENS_MAX: Final = 100

_SCHEME: Final = "bearer"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_CHALLENGE: Final = (("WWW-Authenticate", "Bearer"),)


class BearerTokens:
    """The tokens of one file: one in each line, blank lines and lines from `#` on left out.

    Several tokens let clients change over from one to the next; `refused` counts the requests without one. Raises
    OptionError when the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self.refused = 0
        self._path = path
        self._digests = _digests(path)

    @property
    def count(self) -> int:
        """How many tokens there are, at least one."""
        return len(self._digests)

    def reload(self) -> bool:
        """Read the file again; whether the tokens have changed. Raises OptionError, and then they are as before."""
        before, self._digests = self._digests, _digests(self._path)
        return before != self._digests

    def admits(self, authorization: str) -> bool:
        """Whether the value of an Authorization header has a token. The time it takes tells nothing about them."""
        scheme, _, token = authorization.partition(" ")
        # Digests have one length, and every one is looked at.
        digest = _digest(token.strip(" "))
        found = False
        for known in self._digests:
            found |= compare_digest(digest, known)
        return found and scheme.lower() == _SCHEME

    def guard(self, router: Router, *, open_paths: Collection[str] = OPEN_PATHS) -> None:
        """Ask for a token at each route that the router has, but those of `open_paths`."""
        router.guard(self._ask, open_paths=open_paths)

    def _ask(self, headers: Mapping[str, str]) -> Response | None:
        if self.admits(headers.get("authorization", "")):
            return None
        self.refused += 1
        refusal = HttpError(401, "UNAUTHORIZED").response()
        return Response(refusal.status, refusal.body, refusal.content_type, _CHALLENGE)


class OwnToken:
    """The token that this daemon shows to another: the first one of a file. Raises OptionError as `BearerTokens`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._token = _read(path)[0]

    def reload(self) -> bool:
        """Read the file again; whether the token has changed. Raises OptionError, and then it is as before."""
        before, self._token = self._token, _read(self._path)[0]
        return before != self._token

    def headers(self) -> dict[str, str]:
        """What a request carries."""
        return {"Authorization": f"Bearer {self._token}"}


def _read(path: str) -> list[str]:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        text = content.decode("ascii")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds more than ASCII"
        raise OptionError(f"failed to read token file {path} - {reason or error}") from error
    if len(content) > FILE_BYTES_MAX:
        raise OptionError(f"failed to read token file {path} - it is larger than {FILE_BYTES_MAX} bytes")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    tokens = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not 0 < len(tokens) <= TOKENS_MAX:
        raise OptionError(f"token file {path} has {len(tokens)} tokens: use 1 to {TOKENS_MAX}, one in each line")
    for number, token in tokens:
        if not _TOKEN.fullmatch(token):
            # The token itself is nothing for a log.
            raise OptionError(f"line {number} of token file {path} is no token: use letters, digits and -._~+/ only")
    return [token for _, token in tokens]


def _digests(path: str) -> tuple[bytes, ...]:
    return tuple(_digest(token) for token in _read(path))


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
