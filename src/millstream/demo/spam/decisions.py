"""The spam service's own database: one decision for each click.

`queuereader_spam` writes here before it emits.  A click that is delivered again finds its decision: it is decided once,
whatever the blocklists say by then, and emitted again under the same event id.
"""

from pathlib import Path

from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from millstream.demo.spam.rules import Decision

_metadata = MetaData()
_decisions = Table(
    "decisions",
    _metadata,
    Column("click_id", String(80), primary_key=True),
    Column("decision_id", String(80), nullable=False, unique=True),
    Column("spam", Boolean, nullable=False),
    Column("login", String(2048), nullable=False),
    Column("blocklist", String(64), nullable=False),
    Column("time_s", Integer, nullable=False),
)


class Decisions:
    """The table of decisions. `open` it, and `close` it at the end."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use `open`."""
        self._engine = engine

    @classmethod
    async def open(cls, path: Path) -> "Decisions":
        """Opens the database file, and makes it when it is not there."""
        # SQLite has one writer at a time: one connection queues for it here rather than many in the file's lock.
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=1, max_overflow=0)
        event.listen(engine.sync_engine, "connect", _set_pragmas)
        async with engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)
        return cls(engine)

    async def record(self, decision: Decision) -> Decision:
        """Stores the decision unless the click has one already. Returns the one that counts."""
        async with self._engine.begin() as connection:
            added = await connection.execute(
                insert(_decisions)
                .values(
                    click_id=decision.click_id,
                    decision_id=decision.decision_id,
                    spam=decision.spam,
                    login=decision.login,
                    blocklist=decision.blocklist,
                    time_s=decision.time_s,
                )
                .on_conflict_do_nothing()
            )
            if added.rowcount:
                return decision
            asked = select(_decisions).where(_decisions.c.click_id == decision.click_id)
            row = (await connection.execute(asked)).one()
        return Decision(**row._asdict())

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
