"""The index may go away and come back: every call to it is tried again until it answers.

Retries are harmless: point ids are fixed, and nothing counts as done before it was acknowledged. Several threads call
at the same time, and the index may answer some calls while others fail (a full disk can be read): it is away while any
call fails.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_any,
    stop_when_event_set,
    wait_random_exponential,
)

from ingest.loop import Stopping
from recq.errors import IndexFailing, IndexRefused, IndexUnreachable, RecqError

P = ParamSpec("P")
T = TypeVar("T")

_FIRST_WAIT = 0.2  # seconds; jittered and doubled up to
_LONGEST_WAIT = 5.0
_SLOW = 5.0  # seconds without an answer after which that is reported


@dataclass(eq=False)
class _Call:
    """A call under way: since when (monotonic) its present try lasts, and the error of the try before.

    `at_fault`: the index answers others, and this one fails for what is in it.
    """

    since: float
    error: str | None = None
    at_fault: bool = False


class Retrier:
    """Calls the index, and again with jittered back-off while it is unreachable.

    `stop` ends the waiting: the call raises Stopping. `give_up_after`: seconds until the error is raised after all
    (None: never). `waiting` is called once when the index goes away, `recovered` once when it is back. `explain`, which
    may be replaced, turns a refusal into a more precise error.
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
        self._lock = threading.Lock()
        self._calls: list[_Call] = []  # the longest under way first
        stopped = stop_when_event_set(stop)
        self._limit = stopped if give_up_after is None else stop_any(stopped, stop_after_delay(give_up_after))
        self._retrying = Retrying(
            retry=retry_if_exception_type(IndexUnreachable),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            stop=self._limit,
            sleep=sleep_using_event(stop),
            reraise=True,
        )

    @property
    def away(self) -> bool:
        """Whether a call is being repeated, or was given up, since the index did not answer."""
        with self._lock:
            return any(call.error is not None for call in self._calls)

    @property
    def reason(self) -> str | None:
        """Why the index is waited for: its last error, or for how long it has not answered. None: it answers."""
        now = time.monotonic()
        with self._lock:
            errors = [call.error for call in self._calls if call.error is not None]
            longest = max((now - call.since for call in self._calls), default=0.0)
        if errors:
            return errors[-1]
        return f"the index has not answered for {longest:.0f} s" if longest >= _SLOW else None

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result. Raises Stopping, or what the function raises but IndexUnreachable."""
        return self._call(_Call(time.monotonic()), self._retrying, function, *args, **kwargs)

    def unless_at_fault(
        self, probe: Callable[[], object], tries: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same, but raises IndexFailing when this call has failed so many times and `probe` does not fail.

        Then the call itself is the cause, and waiting does not help.
        """

        call = _Call(time.monotonic())

        def at_fault(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome is not None else None
            if not isinstance(error, IndexFailing) or self._stop.is_set():
                return False
            if state.attempt_number < tries and not self._limit(state):
                return False
            try:
                probe()
            except IndexUnreachable:
                return False
            call.at_fault = True
            return True

        retrying = self._retrying.copy(stop=lambda state: at_fault(state) or self._limit(state))
        return self._call(call, retrying, function, *args, **kwargs)

    def _call(self, call: _Call, retrying: Retrying, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            self._calls.append(call)
        retrying = retrying.copy(before=partial(_begin, call), before_sleep=partial(self._note, call))
        try:
            result = retrying(function, *args, **kwargs)
        except IndexUnreachable as error:
            if call.at_fault:
                self._answered(call)
                raise
            call.error = str(error)  # it stays among the calls: the index is away
            if self._stop.is_set():
                raise Stopping from error
            raise
        except IndexRefused as error:
            self._answered(call)
            raise self.explain(error) from error
        except BaseException:
            self._answered(call)
            raise
        self._answered(call)
        return result

    def _note(self, call: _Call, state: RetryCallState) -> None:
        error = str(state.outcome.exception()) if state.outcome is not None else ""
        with self._lock:
            news = all(each.error is None for each in self._calls)
            call.error = error
        if news:
            self._waiting(error)

    def _answered(self, call: _Call) -> None:
        with self._lock:
            self._calls.remove(call)
            back = call.error is not None and all(each.error is None for each in self._calls)
        if back:
            self._recovered()


def _begin(call: _Call, _: RetryCallState) -> None:
    """The next try of a call."""
    call.since = time.monotonic()
