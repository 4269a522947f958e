"""The index may go away and come back: every call to it is tried again until it answers.

Retries are harmless: point ids are fixed, and nothing counts as done before it was acknowledged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_random_exponential,
)

from ingest.loop import Stopping
from recq.errors import IndexRefused, IndexUnreachable, RecqError

P = ParamSpec("P")
T = TypeVar("T")

_FIRST_WAIT = 0.2  # seconds; jittered and doubled up to
_LONGEST_WAIT = 5.0


class Patience:
    """Calls the index, and again with jittered back-off while it is unreachable.

    `stop` ends the waiting: the call raises Stopping. `give_up_after`: seconds until the error is raised after all
    (None: never). `waiting` is told once when the index goes away, `recovered` once when it is back. `explain`, which
    may be replaced, turns a refusal into the error that says more.
    """

    def __init__(
        self,
        stop: threading.Event,
        *,
        give_up_after: float | None,
        waiting: Callable[[str], None],
        recovered: Callable[[], None],
    ) -> None:
        self.explain: Callable[[IndexRefused], RecqError] = lambda error: error
        self._stop = stop
        self._waiting = waiting
        self._recovered = recovered
        self._away = threading.Event()
        limit = stop_when_event_set(stop)
        self._retrying = Retrying(
            retry=retry_if_exception_type(IndexUnreachable),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            stop=limit if give_up_after is None else limit | stop_after_delay(give_up_after),
            sleep=sleep_using_event(stop),
            before_sleep=self._note,
            reraise=True,
        )

    @property
    def away(self) -> bool:
        """Whether the index did not answer when it was last asked."""
        return self._away.is_set()

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result. Raises Stopping, or what the function raises but IndexUnreachable."""
        try:
            result = self._retrying.copy()(function, *args, **kwargs)
        except IndexUnreachable as error:
            if self._stop.is_set():
                raise Stopping from error
            raise
        except IndexRefused as error:
            raise self.explain(error) from error
        if self._away.is_set():
            self._away.clear()
            self._recovered()
        return result

    def _note(self, state: RetryCallState) -> None:
        if not self._away.is_set():
            self._away.set()
            self._waiting(str(state.outcome.exception()) if state.outcome is not None else "")
