"""The shortener's own database: which code stands for which link.

`shortener_api` asks it; nobody else may.  SQLite through SQLAlchemy Core, so that PostgreSQL is another URL.
"""

import secrets
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Column, Integer, MetaData, String, Table, event, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

CODE_LENGTH: Final = 6
_CODE_TRIES_MAX: Final = 5
_ALPHABET: Final = string.ascii_letters + string.digits

_metadata = MetaData()
_links = Table(
    "links",
    _metadata,
    Column("code", String(32), primary_key=True),
    Column("url", String(2048), nullable=False),
    Column("login", String(64), nullable=False),
    Column("created_s", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One shortened link."""

    code: str
    url: str
    login: str
    created_s: int


class CodesExhausted(Exception):
    """No free code in a bounded number of tries; the link was not stored."""


class Links:
    """The table of links. `open` it, and `close` it at the end."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use `open`."""
        self._engine = engine

    @classmethod
    async def open(cls, path: Path) -> "Links":
        """Opens the database file, and makes it when it is not there."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        event.listen(engine.sync_engine, "connect", _set_pragmas)
        async with engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)
        return cls(engine)

    async def add(self, url: str, login: str) -> Link:
        """Stores a link under a new code. Raises CodesExhausted."""
        for _ in range(_CODE_TRIES_MAX):
            code = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LENGTH))
            link = Link(code=code, url=url, login=login, created_s=int(time.time()))
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(
                        insert(_links).values(code=code, url=url, login=login, created_s=link.created_s)
                    )
            except IntegrityError:
                continue
            return link
        raise CodesExhausted(f"no free code in {_CODE_TRIES_MAX} tries")

    async def find(self, code: str) -> Link | None:
        """The link of a code, if there is one."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(_links).where(_links.c.code == code))).one_or_none()
        return None if row is None else Link(code=row.code, url=row.url, login=row.login, created_s=row.created_s)

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


def _set_pragmas(connection: object, entry: ConnectionPoolEntry) -> None:
    del entry
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection has no common type
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
