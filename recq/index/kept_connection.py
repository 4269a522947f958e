"""One connection to an index that all threads of a service share: to a server, to a daemon, or to the folder itself.

An embedded data folder has one owner. A service that has opened it keeps it open between questions, and hands it over
as soon as another process waits for it (`recq.index.lock.Wanted`): a daemon that starts, or a command. The next
question asks the daemon then, or opens the folder again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recq.errors import IndexFailing, IndexRefused, IndexUnreachable, RecqError, RequestRefused, UsageError
from recq.index.lock import Wanted

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from recq.settings import Settings

_log = logging.getLogger(__name__)

_LOOK_EVERY = 0.05  # seconds between two looks whether somebody waits for the folder
_TAKEN_WITHIN = 1.0  # seconds for whoever waits to take the folder that was left


@dataclass(eq=False)
class _Open:
    """An open connection. `own`: of the folder itself, which nobody can open before it is closed; `over`: no further
    question gets it, and the last of its `users` closes it."""

    client: QdrantClient
    closing: ExitStack
    own: bool
    users: int = 0
    over: bool = False


class _Mine(threading.local):
    """What this thread uses now."""

    client: QdrantClient | None = None


class KeptConnection:
    """Opened with the first question, shared by all threads, closed by `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._open: _Open | None = None
        self._opening = False
        """Whether it is being opened, or somebody else takes the folder: questions wait meanwhile."""
        self._failures: list[RecqError] = []
        """The last failed opening, for those who waited for it."""
        self._attempts = 0
        self._closed = False
        self._mine = _Mine()

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        """The index, for the length of the block. Raises what `recq.index.connect.connect` raises.

        A connection that breaks is given up: the next question makes a new one. So is that to a daemon which has gone,
        when the questions under way have their answers from who came after it.
        """
        if self._mine.client is not None:
            yield self._mine.client
            return
        used = self._taken()
        self._mine.client = used.client
        broken = False
        try:
            yield used.client
        except (IndexUnreachable, IndexRefused) as error:
            broken = not isinstance(error, (IndexFailing, RequestRefused))
            raise
        finally:
            self._mine.client = None
            self._let_go(used, broken=broken)

    def _taken(self) -> _Open:
        """The connection, of which the caller is a user now."""
        with self._changed:
            before = self._attempts
            while True:
                if self._closed:
                    raise UsageError("the service is about to end: ask again in a moment")
                if self._open is not None and not self._open.over:
                    self._open.users += 1
                    return self._open
                if self._failures and self._attempts > before:  # while this thread waited
                    raise self._failures[-1]
                if self._open is None and not self._opening:
                    self._opening = True
                    break
                self._changed.wait()
        return self._opened()

    def _opened(self) -> _Open:
        from recq.index.edge.client import EmbeddedClient
        from recq.index.successor import connect_for_questions

        closing, made, failures = ExitStack(), None, []
        try:
            client = closing.enter_context(connect_for_questions(self._settings))
            made = _Open(client, closing, isinstance(client, EmbeddedClient), users=1)
        except RecqError as error:
            failures = [error]
            raise
        finally:
            with self._changed:
                self._attempts += 1
                self._failures, self._open, self._opening = failures, made, False
                self._changed.notify_all()
        if made.own:
            threading.Thread(target=self._watch, args=(made,), name="recq-hand-over", daemon=True).start()
        return made

    def _let_go(self, used: _Open, *, broken: bool) -> None:
        with self._changed:
            used.users -= 1
            if broken or getattr(used.client, "succeeded", False):  # nobody watches over a folder opened meanwhile
                self._end(used)
            elif used.over and not used.users:
                self._close(used)
            self._changed.notify_all()

    def _end(self, one: _Open) -> None:
        """No further question gets the connection."""
        one.over = True
        if not one.users:
            self._close(one)
        elif not one.own and self._open is one:
            self._open = None

    def _close(self, one: _Open) -> None:
        try:
            one.closing.close()
        except Exception as error:  # the next question has to open another one, whatever became of this
            _log.warning("the connection to the index could not be closed: %s: %s", type(error).__name__, error)
        finally:
            if self._open is one:
                self._open = None

    def _watch(self, mine: _Open) -> None:
        """Hand the folder over when somebody waits for it."""
        wanted = Wanted(self._settings.data_dir)
        while not wanted:
            with self._changed:
                if self._changed.wait_for(lambda: self._open is not mine, _LOOK_EVERY):
                    return
        with self._changed:
            if self._open is not mine:
                return
            self._opening = True
        try:
            with self._changed:
                self._end(mine)
                self._changed.wait_for(lambda: self._open is not mine)
            deadline = time.monotonic() + _TAKEN_WITHIN
            while wanted and time.monotonic() < deadline:
                time.sleep(_LOOK_EVERY / 5)
        finally:
            with self._changed:
                self._opening = False
                self._changed.notify_all()

    def close(self, within: float = 1.0) -> None:
        """Close it when the questions under way have their answers; later questions raise UsageError.

        Those that take longer than `within` seconds close it at their end.
        """
        with self._changed:
            self._closed = True
            if self._open is not None:
                self._end(self._open)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._open is None and not self._opening, within)
