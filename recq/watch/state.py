"""What a watch remembers: how far each rule has read, what is to be delivered, and what was.

One SQLite file, `watch.sqlite3` in the data folder. What a rule has read and what it is to deliver are written in one
transaction: a kill between the two is no gap. A delivery has the id of its rule and its picture; one that was made is
not made again while it is remembered.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from recq.errors import UsageError
from recq.private_files import make_private_folder, open_private

REMEMBERED = 100_000
"""Deliveries of a rule that were made and are remembered."""

WAITING = 10_000
"""Deliveries of a rule that wait, at the most: it reads no further until some are made."""

_NAME = "watch.sqlite3"
_TABLES = """
CREATE TABLE IF NOT EXISTS rule (name TEXT PRIMARY KEY, cursor TEXT NOT NULL, since INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (
    id TEXT PRIMARY KEY, rule TEXT NOT NULL, event TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0, done REAL);
CREATE INDEX IF NOT EXISTS waiting ON delivery (rule, due) WHERE done IS NULL;
CREATE INDEX IF NOT EXISTS made ON delivery (rule, done) WHERE done IS NOT NULL;
"""


@dataclass(frozen=True)
class Delivery:
    """An event that is to be delivered, as JSON. `attempts` were made; the next is `due` (seconds since 1970)."""

    id: str
    rule: str
    event: str
    attempts: int = 0
    due: float = 0.0


@dataclass(frozen=True)
class Place:
    """How far a rule has read. Pictures whose bytes were indexed with a number up to `since` are not new to it."""

    cursor: str
    since: int


class State:
    """The file: a context manager, for one process and all of its threads. Raises UsageError where it cannot be used.

    `dry`: a copy in memory, of which nothing is kept.
    """

    def __init__(self, data_dir: Path, *, dry: bool = False) -> None:
        self._path = data_dir / _NAME
        self._dry = dry
        self._guard = threading.Lock()
        self._lock = FileLock(data_dir / "watch.lock", mode=0o600, thread_local=False, fallback_to_soft=False)
        self._database: sqlite3.Connection

    def __enter__(self) -> Self:
        try:
            if self._dry:
                self._database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
                if self._path.exists():
                    with sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True) as kept:
                        kept.backup(self._database)
            else:
                make_private_folder(self._path.parent)
                self._lock.acquire(blocking=False)
                os.close(open_private(str(self._path), os.O_RDWR | os.O_CREAT))
                self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            self._database.executescript(_TABLES)
        except Timeout:
            raise UsageError(
                f"another watch uses {self._path.parent}: it has all rules, end it first, or name another folder with "
                "--data-dir"
            ) from None
        except (OSError, sqlite3.Error) as error:
            self._lock.release()
            raise UsageError(f"{self._path} cannot be used: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._guard:
            self._database.close()
        with suppress(OSError):
            self._lock.release()

    def place(self, rule: str) -> Place | None:
        """How far the rule has read; None for a new one."""
        with self._guard:
            row = self._database.execute("SELECT cursor, since FROM rule WHERE name = ?", (rule,)).fetchone()
        return None if row is None else Place(*row)

    def record(self, rule: str, place: Place, deliveries: Iterable[Delivery] = ()) -> list[Delivery]:
        """Note how far the rule has read, and what it is to deliver. Returns what is new of that."""
        with self._transaction() as database:
            fresh = []
            for each in deliveries:
                row = (each.id, each.rule, each.event)
                done = database.execute("INSERT OR IGNORE INTO delivery (id, rule, event) VALUES (?, ?, ?)", row)
                if done.rowcount:
                    fresh.append(each)
            database.execute("INSERT OR REPLACE INTO rule VALUES (?, ?, ?)", (rule, place.cursor, place.since))
        return fresh

    def due(self, rule: str, now: float) -> Delivery | None:
        """A delivery of the rule whose time has come, the one that has waited longest."""
        found = self._waiting(rule)
        return found if found is not None and found.due <= now else None

    def next_due(self, rule: str) -> float | None:
        """When the next delivery of the rule is due; None where none waits."""
        found = self._waiting(rule)
        return None if found is None else found.due

    def _waiting(self, rule: str) -> Delivery | None:
        with self._guard:
            row = self._database.execute(
                "SELECT id, rule, event, attempts, due FROM delivery WHERE rule = ? AND done IS NULL "
                "ORDER BY due, rowid LIMIT 1",
                (rule,),
            ).fetchone()
        return None if row is None else Delivery(*row)

    def hurry(self, rule: str) -> None:
        """Have all deliveries of the rule that wait be due now."""
        with self._transaction() as database:
            database.execute("UPDATE delivery SET due = 0 WHERE rule = ? AND done IS NULL", (rule,))

    def waiting(self, rule: str) -> int:
        """How many deliveries of the rule wait."""
        with self._guard:
            query = "SELECT count(*) FROM delivery WHERE rule = ? AND done IS NULL"
            return int(self._database.execute(query, (rule,)).fetchone()[0])

    def done(self, delivery: Delivery, now: float) -> None:
        """Note that it was made, and forget those that were made long before."""
        with self._transaction() as database:
            database.execute("UPDATE delivery SET done = ?, event = '' WHERE id = ?", (now, delivery.id))
            database.execute(
                "DELETE FROM delivery WHERE rowid IN (SELECT rowid FROM delivery WHERE rule = ? AND done IS NOT NULL "
                "ORDER BY done DESC LIMIT -1 OFFSET ?)",
                (delivery.rule, REMEMBERED),
            )

    def failed(self, delivery: Delivery, due: float) -> None:
        """Note a failed attempt, and when the next one is due."""
        with self._transaction() as database:
            database.execute("UPDATE delivery SET attempts = attempts + 1, due = ? WHERE id = ?", (due, delivery.id))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
